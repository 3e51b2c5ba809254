"""The plan says which parts of the model get an adapter, and which stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trainer.contract import families, preset
from trainer.contract.families import Recognised
from trainer.contract.settings import Preset
from trainer.plan.facts import facts
from trainer.plan.plan import make_plan

TEXT, RATE = "network.text_encoder", "optimizer.text_encoder_2_learning_rate"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(place / f"{number}.png")
    return place


@pytest.mark.parametrize(
    ("family", "changes", "told"),
    [
        ("SD 1.x", {}, "U-Net; text encoder frozen"),
        ("SD 1.x", {TEXT: True}, "U-Net and text encoder"),
        ("SD 1.x", {TEXT: True, "network.unet": False}, "text encoder; U-Net frozen"),
        ("SDXL", {}, "U-Net; text encoder 1 and text encoder 2 frozen"),
        ("SDXL", {TEXT: True}, "U-Net, text encoder 1 and text encoder 2"),
        ("SDXL", {TEXT: True, RATE: 0.0}, "U-Net and text encoder 1; text encoder 2 frozen"),
        (
            "SDXL",
            {TEXT: True, "optimizer.text_encoder_stop": 40.0, "optimizer.text_encoder_2_stop": 20.0},
            "U-Net, text encoder 1 up to step 80 and text encoder 2 up to step 40",
        ),
    ],
)
def test_each_part_is_named(folder: Path, family: str, changes: dict[str, Any], told: str) -> None:
    values = {"dataset.folders": [{"path": str(folder)}], "training.length": "200 steps", "validation.split": "off"}
    chosen = preset.resolve(preset.with_values(Preset(), values | changes), families.by_name(family))
    plan = make_plan(chosen, 1, Recognised(family, "epsilon", "single file", True))
    assert next(fact.value for fact in facts(plan) if fact.name == "Will train") == told
