"""sd-scripts' configurations and dataset files: its own defaults for absent flags, unknown keys told."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.contract.importers import folder, read, recipe
from trainer.contract.importers.base import HIDDEN
from trainer.contract.importers.flags import known, parser, recorded
from trainer.contract.importers.read import read_file, read_text
from trainer.contract.importers.sdscripts import from_config, from_dataset
from trainer.contract.preset import dumps
from trainer.contract.problems import Problems
from trainer.contract.settings import Preset

CONFIG = """
[model]
pretrained_model_name_or_path = "model.safetensors"
[anything]
network_module = "networks.lora"
network_dim = 32
network_args = ["conv_dim=4", "conv_alpha=2", "made_up=1"]
learning_rate = 1e-4
text_encoder_lr = [5e-5]
optimizer_type = "Lion"
lr_scheduler = "cosine_with_min_lr"
lr_scheduler_min_lr_ratio = 0.1
lr_warmup_steps = 100
max_train_steps = 1000
base_weights = ["a.safetensors", "b.safetensors"]
base_weights_multiplier = [0.5]
huggingface_token = "hf_abc"
netwrok_alpha = 4
"""

DATASET = """
[general]
shuffle_caption = true
caption_extension = ".txt"
keep_tokens = 1
[[datasets]]
resolution = 768
batch_size = 4
enable_bucket = true
  [[datasets.subsets]]
  image_dir = "/a/cat"
  num_repeats = 5
  class_tokens = "cat"
  flip_aug = true
  [[datasets.subsets]]
  image_dir = "/a/reg"
  is_reg = true
  num_repeats = 1
[[datasets]]
resolution = 1024
  [[datasets.subsets]]
  image_dir = "/a/large"
  made_up = 1
"""


def test_every_flag_of_the_real_parsers_is_explained() -> None:
    """The flags are those that sd-scripts' own parsers know (see `tests/golden/record_kohya.py`)."""
    assert len(parser("train_network")) == 193 and len(known()) > 240
    fates = {flag: recipe.fate_of(flag) for flag in known()}
    assert not [flag for flag, (fate, why) in fates.items() if fate != "mapped" and (not why or "no such" in why)]
    keys = {key for level in recorded()["dataset"].values() for key in level} - {"subsets", "image_dir", "class_tokens"}
    keys -= {"is_reg", "num_repeats", "metadata_file", "batch_size"}
    assert not [key for key in keys if "no such" in recipe.fate_of(key)[1]]


def test_a_configuration_is_taken_over_with_sd_scripts_defaults_for_the_rest() -> None:
    found = from_config(tomllib.loads(CONFIG))
    preset = found.preset
    assert (preset.network.rank, preset.network.alpha, preset.network.conv_rank) == (32, 1.0, 4)
    assert preset.optimizer.name == "Lion" and preset.optimizer.weight_decay == 0
    assert (preset.schedule.name, preset.schedule.minimum, preset.schedule.warmup) == ("cosine", 0.1, 10)
    assert preset.optimizer.text_encoder_learning_rate == 5e-5 and preset.network.unet and preset.network.text_encoder
    assert preset.model.adapters == ["a.safetensors @ 0.5", "b.safetensors"]
    assert preset.training.batch_size == 1 and preset.precision.compute == "float" and not preset.dataset.buckets
    assert preset.captions.extension == ".caption" and preset.sampling.sampler == "ddim"
    keys = {key.name: key for key in found.keys}
    assert from_config({"hub": {"token": "hf_abc"}}).keys[0].value == HIDDEN
    assert "did you mean network_alpha?" in keys["anything.netwrok_alpha"].reason
    assert keys["anything.huggingface_token"].value == HIDDEN and "hf_abc" not in repr(found)
    assert preset.about.carried == {"network_args.made_up": "1"}


def test_without_anything_it_is_what_sd_scripts_does_by_itself() -> None:
    preset = from_config({"max_train_epochs": 3, "lr_warmup_steps": 50, "lr_scheduler": "linear"}).preset
    assert preset.optimizer.learning_rate == parser("train_network")["learning_rate"]["default"]
    assert preset.training.length == "3 epochs" and preset.schedule.warmup == Preset().schedule.warmup
    assert preset.network.rank == 4 and preset.optimizer.name == "AdamW" and preset.noise.huber_schedule == "snr"


@pytest.mark.parametrize(
    ("value", "percent"), [(0.1, 10.0), ("10%", 10.0), (100, 10.0), ("100", 10.0), (0, 0.0), ("0.25", 25.0)]
)
def test_a_warmup_is_a_share_of_the_run(value: Any, percent: float) -> None:
    found = from_config({"lr_scheduler": "cosine", "lr_warmup_steps": value, "max_train_steps": 1000})
    assert found.preset.schedule.warmup == percent


def test_a_dataset_file_becomes_rows_and_shared_settings() -> None:
    found = from_dataset(tomllib.loads(DATASET))
    preset = found.preset
    rows = [(row.path, row.repeats, row.regularisation) for row in preset.dataset.folders]
    assert rows == [("/a/cat", 5, False), ("/a/reg", 1, True), ("/a/large", 1, False)]
    assert (preset.dataset.resolution, preset.training.batch_size, preset.dataset.flip) == (768, 4, True)
    assert preset.captions.shuffle and preset.captions.keep_tokens == 1
    told = " ".join(found.notes)
    assert "resolution differs" in told and "flip_aug differs" in told
    keys = {key.name: key for key in found.keys}
    assert keys["class_tokens"].fate == "dropped" and keys["made_up"].fate == "dropped"
    assert preset.captions.trigger == ""


def test_masks_and_alpha() -> None:
    subset = {"image_dir": "/a", "conditioning_data_dir": "/m"}
    both = from_config({"masked_loss": True}, {"datasets": [{"subsets": [subset]}]}).preset
    assert both.dataset.masks == "folders" and both.dataset.folders[0].mask == "/m"
    alpha = from_dataset({"datasets": [{"subsets": [{"image_dir": "/a", "alpha_mask": True}]}]}).preset
    assert alpha.dataset.masks == "alpha" and alpha.dataset.mask_outside == 0


# ---- any file -------------------------------------------------------------------------------------------------------


def test_files_are_told_apart_by_what_is_in_them(tmp_path: Path) -> None:
    texts = {
        "kohya.json": json.dumps(
            {"LoRA_type": "Standard", "epoch": 1, "max_resolution": "512,512", "optimizer": "AdamW"}
        ),
        "config.toml": CONFIG.replace("[model]", 'dataset_config = "elsewhere/dataset.toml"\n[model]'),
        "dataset.toml": DATASET,
        "own.toml": dumps(Preset()),
        "part.toml": "[network]\nrank = 8\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    kinds = {name: read_file(tmp_path / name).kind for name in texts}
    assert kinds == {
        "kohya.json": "kohya_ss preset",
        "config.toml": "sd-scripts configuration",
        "dataset.toml": "sd-scripts dataset configuration",
        "own.toml": read.OWN,
        "part.toml": read.OWN,
    }
    joined = read_file(tmp_path / "config.toml").preset
    assert len(joined.dataset.folders) == 3 and joined.network.rank == 32
    alone = read_text(texts["config.toml"])
    assert alone.preset.dataset.folders == [] and "described by a dataset file" in " ".join(alone.notes)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.json", b"{"),
        ("x.toml", b"= 3"),
        ("x.json", b"[1, 2]"),
        ("x.json", b'{"a": 1}'),
        ("x.toml", b"a = 1"),
        ("x.toml", b"\xff\xfe\x00"),
        ("x.safetensors", b"nonsense"),
        ("x.json", b"[" * 100_000),
        ("x.txt", b""),
    ],
)
def test_garbage_is_one_clear_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Problems) as error:
        read_file(tmp_path / name)
    assert len(error.value.problems) == 1 and "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(Problems):
            read_file(path)


def test_a_folder_is_a_table_of_what_was_taken_changed_carried_and_dropped(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "config.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "notes.json").write_text("{}", encoding="utf-8")
    kohya = {"LoRA_type": "Standard", "epoch": 1, "max_resolution": "512,650", "optimizer": "AdamW", "full_bf16": True}
    (tmp_path / "kohya.json").write_text(json.dumps({**kohya, "resume": "/x", "vae": ""}), encoding="utf-8")
    rows = folder.read_folder(tmp_path).rows
    assert [row.path.name for row in rows] == ["kohya.json", "notes.json", "config.toml"]
    assert rows[0].counts == (3, 1, 1, 1)
    assert rows[1].problem and rows[1].counts == (0, 0, 0, 0)
    assert rows[2].counts[3] == 2 and folder.is_foreign(rows[2])


VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**40), 2**40),
        st.floats(allow_nan=False),
        st.text(max_size=20),
        st.sampled_from(["1e999", "10%", "a=b", "0,0", ".txt", "cat", "/a/b"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=4,
)
FLAGS = st.one_of(st.sampled_from(sorted(known())), st.text(max_size=8))
KEYS = st.sampled_from(sorted({key for level in recorded()["dataset"].values() for key in level}))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(FLAGS, VALUES, max_size=10))
def test_no_configuration_raises(content: dict[str, Any]) -> None:
    found = from_config(content)
    assert all(key.reason for key in found.keys if key.fate != "mapped")


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5), st.lists(st.dictionaries(KEYS, VALUES, max_size=5), max_size=3))
def test_no_dataset_file_raises(general: dict[str, Any], subsets: list[dict[str, Any]]) -> None:
    content = {"general": general, "datasets": [{"subsets": subsets, **general}, {"subsets": general}]}
    found = from_config({"network_dim": 4}, content)
    assert all(key.reason for key in found.keys if key.fate != "mapped")


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=60), VALUES.map(lambda value: json.dumps(value))))
def test_no_text_raises_but_problems(text: str) -> None:
    try:
        read_text(text, "x")
    except Problems as error:
        assert len(error.problems) >= 1
