"""Recipes out of adapter files: sd-scripts' own example, ours, and whatever else is written there."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.contract.importers.adapter import from_metadata
from trainer.contract.settings import BY_PATH

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
    assert found.preset.training.seed == 7 and found.preset.network.rank == 16
    assert any(note.startswith("network.rank is not taken over") for note in found.notes)
    assert "network.rank" not in found.taken


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


NAMES = st.sampled_from([*GOLDEN["metadata_keys"], "ss_network_args", "ss_color_aug", "other"])
VALUES = st.one_of(
    st.text(max_size=40), st.sampled_from(["None", "nan", "inf", "1e999", "{}", "[]", "(", "-1", "true"])
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=12))
def test_nothing_in_a_file_raises(metadata: dict[str, str]) -> None:
    found = from_metadata(metadata)
    assert set(found.taken) <= set(BY_PATH)
