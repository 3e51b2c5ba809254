"""The Try tab as a person uses it: an adapter of a run beside the base model, drawn by a real run of its own."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from axe_look import assert_accessible
from playwright.sync_api import Page, expect
from safetensors.numpy import save_file
from served import ROOT, Served, shot

from gui import jobs
from trainer.contract import events as ev
from trainer.contract import families
from trainer.contract import preset as presets
from trainer.contract.rundir import RunDir

PROMPT = "a zorb badge"
SMALL = {
    "sampling.prompts": [PROMPT],
    "sampling.steps": 2,
    "sampling.width": 64,
    "sampling.height": 64,
    "hardware.gpus": "cpu",
    "hardware.threads": 1,
}

pytestmark = pytest.mark.browser


def trained(served: Served) -> RunDir:
    """A run that has ended, with adapters of two steps that change one layer of the demo model."""
    preset = presets.with_values(presets.load(ROOT / "presets" / "demo.toml"), SMALL)
    run = RunDir.create(served.runs, "zorb")
    run.preset.write_text(presets.dumps(jobs.resolve(preset)), encoding="utf-8")
    header = families.recognise(jobs.resolve(preset).model.path).header
    name, shape = next((key, size) for key, size in header.items() if key.endswith("attn2.to_v.weight"))
    key = "lora_" + name.removesuffix(".weight").replace(".", "_")
    writer, random = ev.Writer(run.events), np.random.default_rng(0)
    for step in (10, 20):
        file = f"zorb-step{step:08}.safetensors"
        down, up = random.normal(size=(2, shape[1])), random.normal(size=(shape[0], 2)) * step
        tensors = {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
        save_file({k: v.astype(np.float32) for k, v in tensors.items()}, run.path / file, {"ss_steps": str(step)})
        writer.write(ev.Saved(time=time.time(), step=step, file=file, bytes=1))
    writer.close()
    run.update_state(state="done", exit_code=0, started=time.time(), ended=time.time(), step=20, total_steps=20)
    return run


def test_adapters_are_tried_beside_the_base_model(page: Page, served: Served) -> None:
    trained(served)
    page.goto(served.url)
    page.get_by_role("tab", name="Try", exact=True).click()
    expect(page.locator("#try-head")).to_contain_text("Nothing was tried yet")
    page.locator("#try-draw").click()
    expect(page.locator("#try-said")).to_contain_text("write a prompt")

    page.locator("#try-run input").click()
    page.get_by_role("option", name="zorb").click()
    expect(page.get_by_label("step 20")).to_be_checked()
    page.get_by_label("step 10").check()
    expect(page.locator("#try-prompts textarea")).to_have_value(PROMPT)
    expect(page.locator("#try-width input, #try-width textarea")).to_have_value("64")
    page.locator("#try-strengths input, #try-strengths textarea").fill("0, 1")
    page.locator("#try-draw").click()
    expect(page.locator("#try-head")).to_contain_text("5 pictures drawn", timeout=120_000)
    heads = page.locator(".try-grid thead th").all_inner_texts()
    assert [re.sub(r"\s+", " ", text).strip() for text in heads] == [
        "Prompt", "base model", "step 10 strength 0", "step 10 strength 1", "step 20 strength 0", "step 20 strength 1",
    ]  # fmt: skip
    expect(page.locator(".try-grid img")).to_have_count(5)
    look = """images => images.map(image => { const c = document.createElement("canvas"); c.width = c.height = 64;
        const p = c.getContext("2d"); p.drawImage(image, 0, 0); return p.getImageData(0, 0, 64, 64).data.join(); })"""
    page.wait_for_function("[...document.querySelectorAll('.try-grid img')].every(one => one.naturalWidth === 64)")
    base, ten_off, ten, twenty_off, twenty = page.locator(".try-grid img").evaluate_all(look)
    assert base == ten_off == twenty_off and len({base, ten, twenty}) == 3
    page.locator(".try-grid summary").last.click()
    expect(page.locator(".try-grid details[open] dl")).to_contain_text("LoRA after step")
    shot(page, "try-tab")
    assert_accessible(page)

    page.locator("#try-prompts textarea").fill("something else")
    page.get_by_role("button", name="Use these settings").click()
    expect(page.locator("#try-prompts textarea")).to_have_value(PROMPT)
    expect(page.locator("#try-strengths input, #try-strengths textarea")).to_have_value("0, 1")

    page.locator("#try-steps input, #try-steps textarea").fill("200")
    page.locator("#try-draw").click()
    page.get_by_role("button", name="Stop").last.wait_for()
    page.locator("#try-draw").click()
    expect(page.locator("#try-said")).to_contain_text("another try is being drawn")
    page.locator("#try-head").get_by_role("button", name="Stop").click()
    expect(page.locator("#try-head")).to_contain_text("stopped", timeout=120_000)
    expect(page.locator("#try-head").get_by_role("button", name="Delete")).to_be_visible(timeout=120_000)
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("#try-head").get_by_role("button", name="Delete").click()
    expect(page.locator("#try-head")).to_contain_text("5 pictures drawn", timeout=20_000)
    assert len(list((served.runs / ".trash").iterdir())) == 1, "it can be had back"
