"""Metadata against the keys that sd-scripts itself wrote; privacy; values as text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from trainer.contract import preset as presets
from trainer.contract.families import default_family
from trainer.contract.settings import Preset
from trainer.plan.plan import Plan, make_plan
from trainer.saving.hashes import Hashes
from trainer.saving.metadata import RunFacts, adapter_metadata, optimizer_text

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "sdscripts-sd15-r16.json").read_text(encoding="utf-8"))
ADDED_ON_SAVING = {"sshs_model_hash", "sshs_legacy_hash"}
NOT_OURS = {"ss_sd_scripts_commit_hash"}
"""A version of sd-scripts, which did not make our files."""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    folder = tmp_path / "3_secret subject"
    folder.mkdir()
    for index, size in enumerate([(300, 200), (200, 300), (256, 256)]):
        Image.new("RGB", size).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"Red Hair, tag{index}", encoding="utf-8")
    return plan_of(folder)


def plan_of(folder: Path, **more: object) -> Plan:
    values = {
        "model.path": str(folder / "private name.safetensors"),
        "dataset.folders": [{"path": str(folder)}],
        "dataset.resolution": 256,
        "dataset.bucket_min": 128,
        "dataset.bucket_max": 512,
        "captions.trigger": "zxq",
        "validation.split": "off",
        "saving.name": "lora",
        **more,
    }
    return make_plan(presets.resolve(presets.with_values(Preset(), values), default_family()))


NETWORK = (
    ("ss_network_module", "networks.lora"),
    ("ss_network_dim", "16"),
    ("ss_network_alpha", "16.0"),
    ("ss_network_dropout", "None"),
)


def facts(step: int = 8) -> RunFacts:
    model = Hashes("721421cc", "3c61" * 16)
    return RunFacts(step, 1795218025.4, 1795218132.0, 619318284, NETWORK, "torch.optim.adamw.AdamW", model=model)


def published(plan: Plan) -> Plan:
    return plan_of(plan.images[0].path.parent, **{"saving.publish": True})


def test_the_keys_are_those_of_sd_scripts(plan: Plan) -> None:
    golden = set(GOLDEN["metadata_keys"])
    mine = set(adapter_metadata(published(plan), default_family(), facts()))
    assert golden - mine - ADDED_ON_SAVING == NOT_OURS
    assert mine - golden == {"modelspec.trigger_phrase"}


SAME = """
modelspec.architecture modelspec.implementation modelspec.prediction_type modelspec.resolution
ss_resolution modelspec.sai_model_spec modelspec.title ss_adaptive_noise_scale ss_base_model_version
ss_batch_size_per_device ss_bucket_no_upscale ss_cache_latents ss_caption_dropout_rate
ss_caption_tag_dropout_rate ss_clip_skip ss_v2 ss_color_aug ss_enable_bucket ss_face_crop_aug_range
ss_flip_aug ss_fp8_base ss_full_fp16 ss_huber_c ss_loss_type ss_gradient_accumulation_steps
ss_gradient_checkpointing ss_keep_tokens ss_learning_rate ss_max_bucket_reso ss_max_grad_norm
ss_max_token_length ss_min_bucket_reso ss_min_snr_gamma ss_network_alpha ss_network_dim ss_noise_offset
ss_num_reg_images ss_output_name ss_optimizer ss_random_crop ss_reg_dataset_dirs ss_session_id
ss_shuffle_caption ss_steps ss_text_encoder_lr ss_training_comment ss_zero_terminal_snr ss_sd_model_hash
"""
"""Values that do not depend on the run."""


def test_values_read_like_sd_scripts(plan: Plan) -> None:
    """Values that do not depend on the run are equal to the golden file's; the others have its form."""
    mine, golden = adapter_metadata(published(plan), default_family(), facts()), GOLDEN["metadata_example"]
    differing = {"ss_batch_size_per_device": "2"}
    for name in SAME.split():
        assert mine[name] == differing.get(name, golden[name]), name
    for name in ("ss_bucket_info", "ss_tag_frequency", "ss_dataset_dirs"):
        assert type(json.loads(mine[name])) is type(json.loads(golden[name])), name
    info = json.loads(mine["ss_bucket_info"])
    assert sum(bucket["count"] for bucket in info["buckets"].values()) == 9 and info["mean_img_ar_error"] >= 0
    assert all(isinstance(value, str) and value for value in mine.values())


def test_tags_and_names_only_where_published(plan: Plan) -> None:
    quiet = adapter_metadata(plan, default_family(), facts())
    everything = " ".join([*quiet, *quiet.values()])
    for private in ("secret", "red hair", "tag1", "private name", "zxq"):
        assert private not in everything.lower()
    assert quiet["ss_tag_frequency"] == quiet["ss_dataset_dirs"] == "{}"
    loud = adapter_metadata(published(plan), default_family(), facts())
    assert json.loads(loud["ss_tag_frequency"])["3_secret subject"] == {"red hair": 3, "tag0": 1, "tag1": 1, "tag2": 1}
    assert json.loads(loud["ss_dataset_dirs"]) == {"3_secret subject": {"n_repeats": 3, "img_count": 3}}
    assert loud["ss_sd_model_name"] == "private name.safetensors"
    assert loud["modelspec.trigger_phrase"] == "zxq"


def test_regularisation_images_are_counted_apart_with_their_repeats_as_kohya_does(plan: Plan) -> None:
    folder = plan.images[0].path.parent
    other = folder.with_name("2_class")
    other.mkdir()
    Image.new("RGB", (256, 256)).save(other / "a.png")
    rows = [{"path": str(folder)}, {"path": str(other), "regularisation": True}]
    values = {"dataset.folders": rows, "dataset.regularisation_weight": 0.5, "saving.publish": True}
    told = adapter_metadata(plan_of(folder, **values), default_family(), facts())
    assert (told["ss_num_train_images"], told["ss_num_reg_images"], told["ss_prior_loss_weight"]) == ("9", "2", "0.5")
    assert json.loads(told["ss_reg_dataset_dirs"]) == {"2_class": {"n_repeats": 2, "img_count": 1}}
    assert list(json.loads(told["ss_dataset_dirs"])) == ["3_secret subject"]


def test_step_and_epoch_of_a_save_in_between(plan: Plan) -> None:
    per_epoch = plan.steps.per_epoch
    for step, epoch in ((1, "1"), (per_epoch, "1"), (per_epoch + 1, "2")):
        saved = adapter_metadata(plan, default_family(), facts(step))
        assert (saved["ss_steps"], saved["ss_epoch"]) == (str(step), epoch)


def test_the_noise_is_told_as_sd_scripts_tells_it(plan: Plan) -> None:
    noise = {"noise_offset": 0.1, "noise_offset_random": True, "adaptive_noise_scale": 0.02, "perturbation": 0.3}
    noise |= {"loss": "huber", "huber_c": 0.2, "huber_schedule": "snr", "huber_scale": 2.0, "debiased": True}
    chosen = plan_of(plan.images[0].path.parent, **{f"noise.{name}": value for name, value in noise.items()})
    told = adapter_metadata(chosen, default_family(), facts())
    expected = {
        "noise_offset": "0.1",
        "noise_offset_random_strength": "True",
        "adaptive_noise_scale": "0.02",
        "ip_noise_gamma": "0.3",
        "ip_noise_gamma_random_strength": "False",
        "multires_noise_iterations": "None",
        "multires_noise_discount": "0.3",
        "debiased_estimation": "True",
        "loss_type": "huber",
        "huber_c": "0.2",
        "huber_schedule": "snr",
        "huber_scale": "2.0",
    }
    assert {name: told[f"ss_{name}"] for name in expected} == expected
    layers = plan_of(plan.images[0].path.parent, **{"noise.multires_iterations": 6, "noise.multires_discount": 0.2})
    told = adapter_metadata(layers, default_family(), facts())
    assert (told["ss_multires_noise_iterations"], told["ss_multires_noise_discount"]) == ("6", "0.2")


def test_an_optimizer_reads_like_kohyas() -> None:
    import torch

    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    assert optimizer_text(optimizer, {}) == GOLDEN["metadata_example"]["ss_optimizer"]
    assert optimizer_text(optimizer, {"weight_decay": 0.01}) == "torch.optim.adamw.AdamW(weight_decay=0.01)"
