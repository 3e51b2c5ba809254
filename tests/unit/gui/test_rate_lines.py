"""The curve of the learning rate has a line for each rate, of the parts that go by it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gui.form.plan_html import rate_chart
from trainer.contract import families, preset
from trainer.contract.families import Recognised
from trainer.contract.settings import Preset
from trainer.plan.plan import make_plan

TEXT, RATE = "network.text_encoder", "optimizer.text_encoder_learning_rate"
STOP, SECOND = "optimizer.text_encoder_2_stop", "optimizer.text_encoder_2_learning_rate"


@pytest.mark.parametrize(
    ("changes", "peaks", "names"),
    [
        ({}, "0.0001", []),
        ({TEXT: True}, "0.0001", []),
        ({TEXT: True, RATE: 5e-5}, "0.0001 and 5e-5", ["U-Net", "text encoder 1, text encoder 2"]),
        ({TEXT: True, SECOND: 0.0, RATE: 5e-5}, "0.0001 and 5e-5", ["U-Net", "text encoder 1"]),
        ({TEXT: True, STOP: 50.0}, "0.0001", ["U-Net, text encoder 1", "text encoder 2"]),
    ],
)
def test_parts_that_go_alike_share_a_line(
    tmp_path: Path, changes: dict[str, Any], peaks: str, names: list[str]
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    values = {"dataset.folders": [{"path": str(tmp_path)}], "training.length": "100 steps", "validation.split": "off"}
    chosen = preset.resolve(preset.with_values(Preset(), values | changes), families.by_name("SDXL"))
    drawn = rate_chart(make_plan(chosen, 1, Recognised("SDXL", "epsilon", "single file", True)))
    assert f"Learning rate, peak {peaks}<" in drawn and "warmup: 5 steps" in drawn
    keys = re.findall(r'<span class="key [^>]*>(?:<svg.*?</svg>)?([^<]+)</span>', drawn)
    assert keys == (names or ["learning rate"])
