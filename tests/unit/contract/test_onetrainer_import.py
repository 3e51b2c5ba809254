"""OneTrainer's configurations: its defaults for absent keys, every key of its own source explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.contract.importers import onetrainer_keys as keys
from trainer.contract.importers.onetrainer import from_json, is_one, why_dropped
from trainer.contract.importers.read import read_file, read_text
from trainer.contract.preset import value_at
from trainer.contract.settings import BY_PATH, Rule

KEYS = json.loads((Path(__file__).parents[2] / "golden" / "onetrainer-keys.json").read_text(encoding="utf-8"))["keys"]

LORA = {
    "model_type": "STABLE_DIFFUSION_XL_10_BASE",
    "training_method": "LORA",
    "base_model_name": "model.safetensors",
    "learning_rate": 0.0003,
    "layer_filter_preset": "attn-mlp",
    "text_encoder": {"train": False, "weight_dtype": "FLOAT_16"},
    "text_encoder_2": {"train": False},
    "output_model_destination": "models/mine.safetensors",
    "secrets": {"huggingface_token": "hf_abc"},
}


def test_every_key_of_its_source_is_mapped_or_dropped_with_its_reason() -> None:
    """The keys are recorded from OneTrainer's own source (see `tests/golden/record_kohya.py`)."""
    names = list(KEYS["TrainConfig"])
    assert len(names) > 150
    unexplained = [
        name for name in names if "no such key" in why_dropped(name) and name not in (*keys.PARTS, "optimizer")
    ]
    assert unexplained == []
    parts = [f"unet.{name}" for name in KEYS["TrainModelPartConfig"]]
    assert not [name for name in parts if "no such" in why_dropped(name)]
    optimizer = {name.partition(".")[2] for name in keys.DEFAULTS if name.startswith("optimizer.")}
    assert optimizer <= set(KEYS["TrainOptimizerConfig"])
    told = {name.partition(".")[0] for name in (*keys.DEFAULTS, *keys.DROPPED)}
    assert told - {*names, "config_version", "__version", "weight_dtype"} == set()


def test_a_lora_configuration_is_taken_over_with_its_own_defaults() -> None:
    found = read_text(json.dumps(LORA))
    preset = found.preset
    assert found.kind == "OneTrainer configuration" and is_one(LORA)
    assert (preset.model.family, preset.model.path, preset.saving.name) == ("SDXL", "model.safetensors", "mine")
    assert (preset.network.rank, preset.network.alpha, preset.network.conv_rank) == (16, 1.0, 0)
    assert preset.network.unet and not preset.network.text_encoder
    assert (preset.training.length, preset.training.batch_size) == ("100 epochs", 1)
    assert (preset.precision.compute, preset.precision.save, preset.schedule.name) == ("fp16", "float", "constant")
    assert (preset.sampling.every, preset.saving.every, preset.saving.state_every) == (
        "10 minutes",
        "never",
        "30 minutes",
    )
    assert isinstance(preset.optimizer.unet_learning_rate, Rule) and preset.optimizer.learning_rate == 0.0003
    assert "hf_abc" not in repr(found)
    assert all(line.reason for line in found.keys if line.fate == "dropped")


@pytest.mark.parametrize(
    ("changes", "path", "value"),
    [
        ({"text_encoder": {"train": True, "learning_rate": 1e-5}}, "optimizer.text_encoder_learning_rate", 1e-5),
        ({"text_encoder_2": {"train": True}}, "optimizer.text_encoder_learning_rate", 0.0),
        ({"text_encoder": {"train": True}, "epochs": 60}, "optimizer.text_encoder_stop", 50.0),
        ({"layer_filter_preset": "full"}, "network.conv_rank", 16),
        ({"peft_type": "LOKR", "lokr_dim": 8, "lokr_full_matrix": True}, "network.args", {"full_matrix": True}),
        ({"peft_type": "OFT_2"}, "network.rank", 32),
        ({"lora_decompose": True}, "network.dora", True),
        ({"lora_decompose": True}, "network.args", {}),
        ({"lora_decompose": True, "lora_decompose_output_axis": True}, "network.args", {"wd_on_output": True}),
        ({"peft_type": "LOKR", "lokr_weight_decompose": True}, "network.args", {"wd_on_output": True}),
        ({"peft_type": "LOHA", "lora_decompose": True}, "network.dora", False),
        ({"ema": "GPU", "ema_decay": 0.99}, "network.ema", 0.99),
        ({"learning_rate_scheduler": "COSINE", "learning_rate_min_factor": 0.1}, "schedule.minimum", 0.1),
        ({"learning_rate_warmup_steps": 0.1}, "schedule.warmup", 10.0),
        ({"loss_weight_fn": "MIN_SNR_GAMMA", "loss_weight_strength": 4}, "noise.min_snr_gamma", 4.0),
        ({"mse_strength": 0, "huber_strength": 1}, "noise.loss", "huber"),
        ({"min_noising_strength": 0.2}, "noise.timestep_min", 200),
        ({"timestep_distribution": "LOGIT_NORMAL", "noising_weight": 0.5}, "noise.timestep_spread", 1.5),
        ({"resolution": "768,1024"}, "dataset.resolution", 768),
        ({"resolution": "832x1216"}, "dataset.resolution", 1008),
        (
            {"optimizer": {"optimizer": "PRODIGY", "beta1": 0.9, "beta2": 0.99}},
            "optimizer.args",
            {"betas": [0.9, 0.99]},
        ),
        ({"optimizer": {"optimizer": "PRODIGY_ADV"}}, "optimizer.name", "Prodigy"),
        ({"force_v_prediction": True}, "model.prediction", "v"),
        ({"sample_after": 2, "sample_after_unit": "EPOCH"}, "sampling.every", "2 epochs"),
        ({"backup_after": 1, "backup_after_unit": "HOUR"}, "saving.state_every", "60 minutes"),
        ({"unet": {"weight_dtype": "BFLOAT_16"}}, "precision.base", "bf16"),
    ],
)
def test_a_key_is_read_as_onetrainer_means_it(changes: dict[str, Any], path: str, value: Any) -> None:
    assert value_at(from_json({**LORA, **changes}).preset, path) == value


def test_concepts_and_samples_are_read_from_the_files_beside_it(tmp_path: Path) -> None:
    concepts = [
        {
            "path": "/a/cat",
            "balancing": 3.0,
            "image": {"enable_random_flip": True},
            "text": {"enable_tag_shuffling": True, "keep_tags_count": 2},
        },
        {"path": "/a/off", "enabled": False},
        {"path": "/a/held", "type": "VALIDATION"},
        {"path": "/a/prior", "type": "PRIOR_PREDICTION", "balancing": 2.5},
    ]
    sample = {"prompt": "a cat", "width": 512, "seed": 7, "negative_prompt": ""}
    (tmp_path / "concepts.json").write_text(json.dumps(concepts), encoding="utf-8")
    (tmp_path / "samples.json").write_text(json.dumps([sample]), encoding="utf-8")
    names = {"concept_file_name": "training_concepts/concepts.json", "sample_definition_file_name": "t\\samples.json"}
    (tmp_path / "config.json").write_text(json.dumps({**LORA, **names}), encoding="utf-8")
    found = read_file(tmp_path / "config.json")
    rows = [(row.path, row.repeats, row.regularisation) for row in found.preset.dataset.folders]
    assert rows == [("/a/cat", 3, False), ("/a/prior", 2, True)]
    assert found.preset.validation.folder == "/a/held" and found.preset.dataset.flip
    assert found.preset.captions.shuffle and found.preset.captions.keep_tokens == 2
    assert found.preset.sampling.prompts == ["a cat --w 512 --d 7"]


def test_other_families_and_methods_are_told() -> None:
    found = from_json({**LORA, "model_type": "FLUX_DEV_1", "training_method": "FINE_TUNE"})
    told = " ".join(found.notes)
    assert "FLUX_DEV_1, which cannot be trained here yet" in told and "does not train an adapter" in told


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["LORA", "1e999", "10x10x", "STEP", "ALWAYS"]),
    st.lists(
        st.one_of(st.integers(), st.dictionaries(st.sampled_from(["path", "prompt", "text"]), st.text())), max_size=2
    ),
    st.dictionaries(st.sampled_from(["train", "learning_rate", "optimizer", "weight_dtype"]), st.text(), max_size=2),
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS["TrainConfig"]), VALUES, max_size=12))
def test_no_configuration_raises_and_every_key_is_explained(content: dict[str, Any]) -> None:
    found = from_json(content)
    assert set(found.taken) <= set(BY_PATH)
    assert all(line.reason for line in found.keys if line.fate == "dropped")
