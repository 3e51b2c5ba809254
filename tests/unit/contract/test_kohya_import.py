"""kohya_ss's presets: every key explained, its form's defaults for absent ones, its own way of handing values on."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden.kohya_samples import SAMPLES
from tests.golden.kohya_summary import summary
from trainer.contract.importers import kohya_json, kohya_keys, recipe
from trainer.contract.importers.base import HIDDEN, Imported
from trainer.contract.importers.kohya_json import from_json
from trainer.contract.importers.sdscripts import from_config
from trainer.contract.preset import value_at
from trainer.contract.settings import BY_PATH, ITEMS, Rule

GOLDEN = Path(__file__).parents[2] / "golden"


def said(found: Imported, path: str) -> Any:
    return value_at(found.preset, path)


def key(found: Imported, name: str) -> Any:
    return next(line for line in found.keys if line.name == name)


def test_each_of_the_287_keys_is_mapped_carried_or_dropped_with_its_reason() -> None:
    """The keys are those that kohya_ss's own form has (see `tests/golden/record_kohya.py`)."""
    keys = kohya_keys.defaults()
    assert len(keys) == 287
    fates = {name: kohya_json.fate_of(name) for name in keys}
    unexplained = [name for name, (fate, why) in fates.items() if fate != "mapped" and (not why or "no such" in why)]
    assert unexplained == []
    assert Counter(fate for fate, _ in fates.values()) == {"mapped": 128, "carried": 113, "dropped": 46}


def test_every_setting_that_names_a_flag_of_sd_scripts_is_reached_by_it() -> None:
    reached = {path for paths in recipe.PATHS.values() for path in paths}
    elsewhere = {"hardware.gpus", "hardware.threads", "saving.publish", "precision.base"}
    elsewhere |= {"optimizer.text_encoder_2_learning_rate"}
    named = {item.path for item in ITEMS if item.setting.kohya and not item.setting.kohya.startswith("--")}
    assert named - reached == elsewhere


def test_an_absent_key_means_what_kohya_s_form_begins_with() -> None:
    found = from_json({})
    form = kohya_keys.defaults()
    assert found.preset.network.rank == form["network_dim"] and found.preset.network.alpha == form["network_alpha"]
    assert found.preset.optimizer.name == "AdamW"  # its loader puts that there, whatever the form begins with
    assert found.preset.schedule.name == form["lr_scheduler"]
    assert found.preset.training.length == f"{form['max_train_steps']} steps"
    assert found.preset.schedule.warmup == form["lr_warmup"] and not found.preset.dataset.enlarge
    assert found.preset.network.text_encoder and found.preset.optimizer.text_encoder_learning_rate == 1e-4
    assert found.preset.validation.split == "off" and found.preset.noise.huber_schedule == "snr"
    assert found.keys == () and isinstance(found.preset.saving.name, Rule)


def test_null_is_absent_and_empty_text_is_nothing() -> None:
    assert from_json({"max_train_steps": None}).preset.training.length == "1600 steps"
    by_epochs = from_json(
        {"max_train_steps": "", "epoch": "20", "seed": "", "clip_skip": "2", "learning_rate": "5e-05"}
    )
    assert by_epochs.preset.training.length == "20 epochs" and by_epochs.preset.captions.clip_skip == 2
    assert by_epochs.preset.optimizer.learning_rate == 5e-5 and key(by_epochs, "epoch").setting == "training.length"
    epochs_win = from_json({"max_train_steps": "500", "max_train_epochs": "3", "epoch": 9})
    assert epochs_win.preset.training.length == "3 epochs" and key(epochs_win, "epoch").fate == "dropped"


@pytest.mark.parametrize(
    ("given", "path", "value"),
    [
        ({"vae_batch_size": 0}, "memory.vae_batch_size", 1),
        ({"max_timestep": 0}, "noise.timestep_max", 1000),
        ({"min_snr_gamma": "5"}, "noise.min_snr_gamma", 5.0),
        ({"min_snr_gamma": 500}, "noise.min_snr_gamma", 100.0),
        ({"max_resolution": "512,650"}, "dataset.resolution", 576),
        ({"max_resolution": "1024"}, "dataset.resolution", 1024),
        ({"lr_warmup": "8"}, "schedule.warmup", 8.0),
        ({"lr_warmup": 8, "lr_warmup_steps": 160}, "schedule.warmup", 10.0),
        ({"save_every_n_epochs": 0, "save_every_n_steps": "50", "save_last_n_steps": 149}, "saving.keep_last", 3),
        ({"noise_offset": 0.1, "noise_offset_type": "Multires"}, "noise.noise_offset", 0.0),
        ({"multires_noise_iterations": 6, "noise_offset_type": "Original"}, "noise.multires_iterations", 0),
        ({"multires_noise_iterations": 6, "noise_offset_type": "Multires"}, "noise.multires_iterations", 6),
        ({"xformers": False}, "memory.attention", "sdpa"),
        ({"xformers": True}, "memory.attention", "xformers"),
        ({"xformers": "sdpa"}, "memory.attention", "sdpa"),
        ({"xformers": "xformers", "mem_eff_attn": True}, "memory.attention", "sdpa"),
        ({"caption_extension": ""}, "captions.extension", ".caption"),
        ({"max_token_length": "225"}, "captions.max_tokens", 225),
        ({"color_aug": True}, "dataset.jitter", 0.05),
        ({"random_crop": "True"}, "dataset.crop", "random"),
        ({"text_encoder_lr": 0, "unet_lr": "1e-4"}, "network.text_encoder", False),
        ({"text_encoder_lr": 1e-5, "unet_lr": 0}, "network.unet", False),
        ({"text_encoder_lr": 0, "unet_lr": 0, "learning_rate": 3e-4}, "optimizer.text_encoder_learning_rate", 3e-4),
        ({"learning_rate": 0, "unet_lr": 2e-4}, "optimizer.learning_rate", 2e-4),
        ({"max_grad_norm": 0}, "optimizer.max_grad_norm", 0.0),
        ({"v_parameterization": True}, "model.prediction", "v"),
        ({"sdxl": True}, "model.family", "SDXL"),
        ({"v2": True}, "model.family", "SD 2.x"),
        ({"sdxl": True, "clip_skip": 2}, "captions.clip_skip", 1),
        ({"weighting_scheme": "mode"}, "noise.timesteps", "uniform"),
        ({"sd3_checkbox": True, "weighting_scheme": "mode"}, "noise.timesteps", "mode"),
        ({"LoRA_type": "Kohya LoCon", "conv_dim": 8, "conv_alpha": 4}, "network.conv_alpha", 4.0),
        ({"LoRA_type": "Standard", "conv_dim": 8}, "network.conv_rank", 0),
        ({"LoRA_type": "LoCon", "conv_dim": 8, "dora_wd": True}, "network.dora", True),
        ({"LoRA_type": "LoCon", "conv_dim": 8, "dora_wd": True}, "network.args", {"wd_on_output": True}),
        ({"LoRA_type": "LyCORIS/LoKr", "factor": 8}, "network.args", {"factor": 8}),
        ({"LoRA_type": "LyCORIS/LoKr", "network_dim": 100000}, "network.args", {"full_matrix": True}),
        ({"LoRA_type": "LyCORIS/LoHa", "LyCORIS_preset": "attn-mlp"}, "network.conv_rank", 0),
        ({"LoRA_type": "LyCORIS/LoHa", "LyCORIS_preset": "unet-only"}, "network.text_encoder", False),
        ({"LoRA_type": "LyCORIS/DyLoRA", "unit": 4}, "network.args", {"block_size": 4}),
        ({"LoRA_type": "LyCORIS/Diag-OFT", "constrain": 0.01}, "network.args", {"constraint": 0.01}),
        ({"LoRA_type": "LyCORIS/Diag-OFT", "rescaled": True}, "network.args", {"rescaled": True}),
        ({"LoRA_type": "LyCORIS/Native Fine-Tuning"}, "network.type", "LoRA"),
        ({"block_dims": ",".join(["4"] * 25)}, "network.block_ranks", [4] * 25),
        ({"down_lr_weight": "cosine+.25", "block_lr_zero_threshold": "0.1"}, "network.down_rates", "cosine+.25"),
        ({"loraplus_lr_ratio": 4}, "optimizer.loraplus", 4.0),
        ({"lora_network_weights": "old.safetensors"}, "network.start", "old.safetensors"),
        ({"use_8bit_adam": True}, "optimizer.name", "AdamW8bit"),
        ({"use_wandb": "True"}, "logging.wandb", True),
        ({"sample_prompts": "a cat --w 512\n# not this\n\na dog"}, "sampling.prompts", ["a cat --w 512", "a dog"]),
        ({"train_batch_size": 0}, "training.batch_size", 1),
    ],
)  # fmt: skip
def test_a_value_is_read_as_kohya_reads_it(given: dict[str, Any], path: str, value: Any) -> None:
    assert said(from_json(given), path) == value


def test_optimizers_their_arguments_and_schedules() -> None:
    found = from_json(
        {"optimizer": "Prodigy", "optimizer_args": '"decouple=True" "weight_decay=0.4" betas=0.9,0.99 x=1'}
    )
    assert found.preset.optimizer.args == {"weight_decouple": True, "betas": [0.9, 0.99]}
    assert found.preset.optimizer.weight_decay == 0.4 and "x" in key(found, "optimizer_args").reason
    own_rate = from_json({"optimizer": "Adafactor", "optimizer_args": "scale_parameter=False relative_step=False"})
    assert own_rate.preset.optimizer.args == {} and own_rate.changed == ()
    relative = from_json({"optimizer": "Adafactor", "lr_scheduler": "adafactor"})
    assert {line.name for line in relative.changed} == {"optimizer", "lr_scheduler"}
    module = from_json({"optimizer": "pytorch_optimizer.CAME"})
    assert module.preset.optimizer.name == "CAME"
    unheard = from_json({"optimizer": "evil.module.Class"})
    assert unheard.preset.optimizer.name == "AdamW" and key(unheard, "optimizer").changed


def test_additional_parameters_are_parsed_and_win() -> None:
    words = '--max_grad_norm=0 --network_train_unet_only --optimizer_args "weight_decay=0.5" --log_prefix=xl '
    words += "--lr_scheduler_type CosineAnnealingLR --wandb_api_key=abc123 --made_up 7 --min_snr_gama=5 "
    words += "--network_args conv_dim=4 conv_alpha=2"
    found = from_json({"additional_parameters": words, "max_grad_norm": 1, "lr_scheduler": "constant"})
    preset = found.preset
    assert preset.optimizer.max_grad_norm == 0 and not preset.network.text_encoder
    assert preset.optimizer.weight_decay == 0.5 and preset.schedule.name == "cosine"
    assert preset.network.conv_rank == 4 and preset.about.carried == {"log_prefix": "xl"}
    assert "did you mean min_snr_gamma" in key(found, "--min_snr_gama").reason
    assert key(found, "--made_up").fate == "dropped"
    assert key(found, "--wandb_api_key").value == HIDDEN and "abc123" not in repr(found)


def test_no_secret_is_kept_or_shown_and_nothing_acts() -> None:
    secrets = {"huggingface_token": "hf_secret", "wandb_api_key": "wandb_secret"}
    found = from_json({**secrets, "huggingface_repo_id": "me/mine", "async_upload": True, "resume": "/state"})
    assert "secret" not in repr(found).replace(HIDDEN, "").replace("a secret", "")
    assert {line.fate for line in found.keys} == {"dropped"} and found.preset.about.carried == {}


def test_what_has_no_setting_is_carried_once_it_says_something() -> None:
    found = from_json(
        {"full_bf16": True, "highvram": False, "weighted_captions": "True", "max_data_loader_n_workers": "2"}
    )
    assert found.preset.about.carried == {
        "full_bf16": "True",
        "weighted_captions": "True",
        "max_data_loader_n_workers": "2",
    }
    assert "nothing to keep" in key(found, "highvram").reason


def test_families_that_cannot_be_trained_yet_are_told_and_kept() -> None:
    found = from_json(
        {"flux1_checkbox": True, "LoRA_type": "Flux1", "guidance_scale": 1, "t5xxl": "/models/t5.safetensors"}
    )
    assert found.notes[0].startswith("It is for FLUX.1, which cannot be trained here yet")
    assert found.preset.about.carried["script"] == "flux_train_network"
    assert found.preset.about.carried["guidance_scale"] == "1" and "/models" not in str(found.preset.about.carried)
    other = from_json({"guidance_scale": 1})
    assert other.preset.about.carried == {}


def test_image_folders_become_rows() -> None:
    found = from_json({"train_data_dir": "/pictures/img", "reg_data_dir": "/pictures/reg", "prior_loss_weight": "0.5"})
    first, second = found.preset.dataset.folders
    assert (first.path, first.regularisation) == ("/pictures/img", False)
    assert (second.path, second.regularisation) == ("/pictures/reg", True)
    assert found.preset.dataset.regularisation_weight == 0.5


def test_an_unknown_key_is_told_with_the_closest_name() -> None:
    line = key(from_json({"netwrok_dim": 8, "conv_dims": ""}), "netwrok_dim")
    assert line.fate == "dropped" and "did you mean network_dim?" in line.reason


HANDED_ON = json.loads((GOLDEN / "kohya_ss-handed-on.json").read_text(encoding="utf-8"))["samples"]


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_preset_says_what_kohya_s_own_code_hands_to_sd_scripts(name: str) -> None:
    """The configurations were written by kohya_ss itself (see `tests/golden/record_kohya.py`)."""
    sample = SAMPLES[name]
    ours = from_json({**sample, "train_data_dir": "img"})
    script = next((script for box, (script, _) in kohya_keys.FAMILIES.items() if sample.get(box)), "train_network")
    theirs = from_config(HANDED_ON[name], script=script)
    elsewhere = {"dataset.folders", "sampling.prompts", "sampling.prompts_file", "about.carried", "saving.name"}
    for item in ITEMS:
        if item.path not in elsewhere:
            assert value_at(ours.preset, item.path) == value_at(theirs.preset, item.path), item.path


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(["1e999", "-1", "0", "None", "True", "((((", "a=b=c", "--x --y=1 z", '"', "nan", "1,2,3", "D:\\x"]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
NAMES = st.one_of(st.sampled_from([*kohya_keys.defaults(), *kohya_keys.LEGACY]), st.text(max_size=12))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=14))
def test_nothing_in_a_preset_raises_and_every_key_is_explained(content: dict[str, Any]) -> None:
    found = from_json(content)
    assert set(found.taken) <= set(BY_PATH)
    assert all(line.reason for line in found.keys if line.fate != "mapped")
    told = {line.name for line in found.keys}
    assert {name for name, value in content.items() if value is not None} - set(kohya_keys.LEGACY) <= told


SHIPPED = json.loads((GOLDEN / "kohya_ss-lora-presets.json").read_text(encoding="utf-8"))["presets"]


@pytest.mark.skipif(not os.environ.get("LORATORY_KOHYA_SS"), reason="LORATORY_KOHYA_SS names no checkout of kohya_ss")
def test_the_presets_that_kohya_ss_ships_import_with_no_key_unexplained() -> None:
    folder = Path(os.environ["LORATORY_KOHYA_SS"]) / "presets" / "lora"
    for path in folder.rglob("*.json"):
        found = from_json(json.loads(path.read_text(encoding="utf-8")))
        assert not [line for line in found.keys if line.fate != "mapped" and not line.reason], path.name
        assert not [line for line in found.keys if "no such key" in line.reason], path.name
        if path.name in SHIPPED:
            assert json.loads(json.dumps(summary(path))) == SHIPPED[path.name], path.name


def test_the_record_of_the_shipped_presets_holds_settings_that_still_exist() -> None:
    assert len(SHIPPED) == 31
    for name, record in SHIPPED.items():
        assert set(record["settings"]) <= set(BY_PATH), name
