"""The Tools tab as a person uses it: a file looked into at once, resized by a real run, opened in Try."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from safetensors.numpy import load_file, save_file
from served import Served, shot

pytestmark = pytest.mark.browser
KEY = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


def adapter(folder: Path) -> Path:
    random, path = np.random.default_rng(0), folder / "zorb.safetensors"
    tensors = {
        f"{KEY}.lora_down.weight": random.normal(size=(4, 8)),
        f"{KEY}.lora_up.weight": random.normal(size=(8, 4)),
    }
    made = {name: value.astype(np.float32) for name, value in tensors.items()}
    save_file(made, path, {"ss_base_model_version": "sd_v1", "ss_tag_frequency": '{"zorb": {"badge": 3}}'})
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="paths with a drive are typed otherwise")
def test_an_adapter_is_inspected_resized_and_opened_in_try(page: Page, served: Served) -> None:
    file = adapter(served.runs.parent)
    page.goto(served.url)
    page.get_by_role("tab", name="Tools", exact=True).click()
    page.get_by_label("Adapter", exact=True).first.fill(str(file))
    page.keyboard.press("Tab")
    expect(page.locator("section[data-tool=inspect] .tool-glance")).to_contain_text("SD 1.x")
    page.get_by_text("Resize", exact=True).click()
    form = page.locator("section[data-tool=resize]")
    form.get_by_role("button", name="Start").click()
    expect(page.locator("#tool-said")).to_contain_text("nothing is given")
    form.get_by_label("Adapter", exact=True).fill(str(file))
    form.get_by_label("Rank", exact=True).fill("2")
    form.get_by_role("button", name="Start").click()
    expect(page.locator("#tool-said")).not_to_contain_text("nothing is given")
    expect(page.locator("#tool-result")).to_contain_text("Ranks (layers)", timeout=60_000)
    expect(page.locator("#tool-head")).to_contain_text(re.compile(r"resized: \d+"))
    made = file.with_name("zorb-rank2.safetensors")
    assert load_file(made)[f"{KEY}.lora_down.weight"].shape == (2, 8)
    shot(page, "tools-resized")
    page.get_by_role("button", name="Open in Try").click()
    expect(page.locator("#try-own textarea, #try-own input").first).to_have_value(str(made))
