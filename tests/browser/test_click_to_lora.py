"""The path that everything rests on, nothing replaced: clicks, a real trainer, a LoRA, and the same bits headless."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from safetensors.numpy import load_file
from served import ROOT, Served

from trainer.contract.preset import dumps, load, with_values
from trainer.contract.rundir import find_runs

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHORT = {
    "training.length": "3 steps",
    "sampling.at_start": False,
    "sampling.every": "never",
    "logging.tensorboard": False,
    "hardware.gpus": "cpu",
    "hardware.threads": 1,
}


def tensors(path: Path) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in load_file(path).items()}


def test_clicks_make_a_lora_and_the_saved_preset_makes_the_same_one(page: Page, served: Served, tmp_path: Path) -> None:
    dropped = tmp_path / "short.toml"
    dropped.write_text(dumps(with_values(load(ROOT / "presets" / "demo.toml"), SHORT)), encoding="utf-8")
    page.goto(served.url)
    page.wait_for_selector("#f-network-rank .help")
    page.get_by_role("tab", name="Presets", exact=True).click()
    page.set_input_files("#preset-drop input[type=file]", dropped)
    page.locator("#preset-load").click()
    expect(page.locator("#preset-said")).to_contain_text("Loaded short.toml")
    page.locator("#preset-name textarea, #preset-name input").fill("click")
    page.locator("#preset-save").click()
    expect(page.locator("#preset-kept")).to_contain_text("Saved as click.toml")
    page.get_by_role("tab", name="Train", exact=True).click()
    expect(page.locator("#plan")).to_contain_text("3 in all")
    page.locator("#start").click()
    expect(page.get_by_role("tab", name="Runs", exact=True)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#run-ending .card")).to_contain_text("Done after 3 steps", timeout=120_000)
    [clicked] = find_runs(served.runs)

    saved = served.log.parent / "user" / "click.toml"
    argv = [sys.executable, str(ROOT / "launch.py"), "--preset", str(saved), "--runs", str(tmp_path / "runs")]
    environment = {**os.environ, "LORATORY_BOOTSTRAPPED": "1"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [headless] = find_runs(tmp_path / "runs")
    assert tensors(clicked.path / "zorb.safetensors") == tensors(headless.path / "zorb.safetensors")
