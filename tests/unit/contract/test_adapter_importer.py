"""Recipes out of adapter files: sd-scripts' own example, ours, and whatever else is written there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.contract import catalog
from trainer.contract.families import default_family
from trainer.contract.importers.adapter import from_metadata
from trainer.contract.preset import resolve, value_at, with_values
from trainer.contract.settings import BY_PATH, Preset
from trainer.plan.network_facts import network_facts

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "sdscripts-sd15-r16.json").read_text(encoding="utf-8"))


def test_the_example_of_sd_scripts_is_taken_over() -> None:
    """The golden file holds the metadata that sd-scripts itself wrote."""
    told = GOLDEN["metadata_example"]
    found = from_metadata(told)
    preset = found.preset
    assert preset.network.rank == int(told["ss_network_dim"])
    assert preset.network.alpha == float(told["ss_network_alpha"])
    assert preset.optimizer.learning_rate == float(told["ss_learning_rate"])
    assert preset.training.seed == int(told["ss_seed"])
    assert preset.training.length == f"{told['ss_max_train_steps']} steps"
    assert f"({preset.dataset.resolution}, {preset.dataset.resolution})" == told["ss_resolution"]
    assert found.left == () and any("choose the base model" in note for note in found.notes)


def test_what_has_no_setting_is_told_and_what_is_off_is_not() -> None:
    told = {"ss_face_crop_aug_range": "1,2", "ss_scale_weight_norms": "None", "ss_fp8_base": "False", "ss_seed": "7"}
    found = from_metadata(told | {"ss_optimizer": "some.Unheard(lr=1)", "ss_network_dim": "99999"})
    assert dict(found.left) == {"ss_face_crop_aug_range": "1,2", "ss_optimizer": "some.Unheard(lr=1)"}
    assert found.preset.training.seed == 7 and found.preset.network.rank == 1024
    assert any("ss_network_dim = 99999" in note and "1024 is put there" in note for note in found.notes)


def test_parts_rates_warmup_and_turned_values() -> None:
    both = {"ss_unet_lr": "1e-4", "ss_text_encoder_lr": "5e-5", "ss_learning_rate": "1e-4"}
    found = from_metadata(
        both | {"ss_max_train_steps": "200", "ss_lr_warmup_steps": "20", "ss_bucket_no_upscale": "True"}
    )
    preset = found.preset
    assert preset.network.unet and preset.network.text_encoder
    assert preset.optimizer.text_encoder_learning_rate == 5e-5
    assert preset.schedule.warmup == 10 and preset.dataset.enlarge is False
    alone = from_metadata({"ss_unet_lr": "None", "ss_text_encoder_lr": "[0.00005]"}).preset
    assert alone.network.text_encoder and not alone.network.unet


def test_a_file_says_how_its_network_noise_and_images_were_set() -> None:
    """As sd-scripts and LyCORIS write it, with a dataset file."""
    network = {"algo": "lokr", "conv_dim": "8", "conv_alpha": "4", "factor": "8", "dora_wd": "True", "rs_lora": "True"}
    dataset = {
        "batch_size_per_device": 3,
        "resolution": [832, 832],
        "enable_bucket": True,
        "subsets": [{"flip_aug": True}],
    }
    found = from_metadata(
        {
            "ss_base_model_version": "sdxl_base_v1-0",
            "modelspec.prediction_type": "v",
            "ss_zero_terminal_snr": "True",
            "ss_network_module": "lycoris.kohya",
            "ss_network_dim": "16",
            "ss_network_args": json.dumps(network),
            "ss_datasets": json.dumps([dataset]),
            "ss_noise_offset": "0.05",
            "ss_noise_offset_random_strength": "True",
            "ss_min_snr_gamma": "5.0",
            "ss_debiased_estimation": "True",
            "ss_huber_schedule": "exponential",
            "ss_optimizer": "prodigyopt.prodigy.Prodigy(decouple=True,betas=(0.9, 0.99),weight_decay=0.1)",
            "ss_scale_weight_norms": "1.0",
        }
    ).preset
    network_here = found.network
    assert (network_here.type, network_here.rank, network_here.conv_rank, network_here.conv_alpha) == ("LoKr", 16, 8, 4)
    assert network_here.dora and network_here.rank_stabilised
    assert network_here.args == {"factor": 8, "wd_on_output": True}, "LyCORIS takes outputs by itself"
    assert (found.model.family, found.model.prediction, found.model.zero_snr) == ("SDXL", "v", "on")
    assert (found.training.batch_size, found.dataset.resolution, found.dataset.flip) == (3, 832, True)
    assert found.noise.noise_offset_random and found.noise.debiased and found.noise.huber_schedule == "exponential"
    assert found.optimizer.name == "Prodigy" and found.optimizer.args == {"weight_decouple": True, "betas": [0.9, 0.99]}
    assert found.network.max_norm == 1 and found.training.length == "1500 steps"


def test_blocks_and_dropouts_of_plain_lora_are_read() -> None:
    args = {
        "block_dims": ",".join(["4"] * 25),
        "down_lr_weight": "cosine",
        "rank_dropout": "0.1",
        "loraplus_lr_ratio": "4",
    }
    found = from_metadata({"ss_network_module": "networks.lora", "ss_network_args": json.dumps(args)}).preset
    assert found.network.block_ranks == [4] * 25 and found.network.down_rates == "cosine"
    assert found.network.rank_dropout == 0.1 and found.optimizer.loraplus == 4


def test_tensors_tell_rank_and_kind_where_the_metadata_does_not() -> None:
    header = {
        "lora_unet_a.lora_down.weight": (32, 320),
        "lora_unet_a.dora_scale": (320, 1),
        "lora_unet_b.lora_down.weight": (8, 320, 3, 3),
    }
    found = from_metadata({}, header).preset.network
    assert (found.type, found.rank, found.conv_rank, found.dora) == ("LoRA", 32, 8, True)
    assert found.args == {"wd_on_output": True}
    header["lora_unet_a.dora_scale"] = (1, 320)
    assert from_metadata({}, header).preset.network.args == {}


@pytest.mark.parametrize("kind", [row.name for row in catalog.NETWORKS])
def test_the_network_of_our_own_files_is_read_as_it_was_set(kind: str) -> None:
    """`network_facts` writes what our files say of their network."""
    row = catalog.network(kind)
    changes: dict[str, Any] = {
        "network.type": kind,
        "network.rank": 8,
        "network.alpha": 4.0,
        "network.conv_rank": 0 if kind == "LoKr" else 4,
        "network.dora": row.dora,
        "network.rank_stabilised": row.scaled,
        "network.rank_dropout": 0.1,
        "network.args": {"factor": 4} if kind == "LoKr" else {},
        "network.layers": [{"match": "attn2", "rank": 2}],
    }
    preset = resolve(with_values(Preset(), changes), default_family())
    found = from_metadata({"ss_network_dim": "8", **dict(network_facts(preset))}).preset
    assert {path: value_at(found, path) for path in changes} == {path: value_at(preset, path) for path in changes}


NAMES = st.sampled_from([*GOLDEN["metadata_keys"], "ss_network_args", "ss_color_aug", "other"])
VALUES = st.one_of(
    st.text(max_size=40), st.sampled_from(["None", "nan", "inf", "1e999", "{}", "[]", "(", "-1", "true"])
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=12))
def test_nothing_in_a_file_raises(metadata: dict[str, str]) -> None:
    found = from_metadata(metadata)
    assert set(found.taken) <= set(BY_PATH)
