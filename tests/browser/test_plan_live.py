"""The live plan, the TOML beside the form, presets from files: what a person does with them."""

from __future__ import annotations

import json
import statistics
import struct
from pathlib import Path

import pytest
from axe_look import assert_accessible
from edit_pace import load_demo, measure
from playwright.sync_api import Page, expect
from served import Served, shot

pytestmark = pytest.mark.browser


def toml(page: Page) -> str:
    return str(page.locator("#toml textarea").input_value())


def test_an_edit_changes_the_plan_soon(page: Page, served: Served) -> None:
    load_demo(page, served.url)
    plan = page.locator("#plan")
    for words in ("16, all train", "16 x 1 repeat = 16 per epoch", "200 in all", "U-Net; text encoder frozen"):
        expect(plan).to_contain_text(words)
    expect(plan).to_contain_text("no run like this on this computer yet")
    plan.get_by_text("3 rounds of 4 pictures").click()
    expect(plan).to_contain_text("before the first step")
    expect(page.locator("#lr-curve .warm")).to_contain_text("warmup: 10 steps")
    shot(page, "plan")
    times = measure(page)
    print(f"edit to plan: median {statistics.median(times):.0f} ms of {len(times)}")
    assert statistics.median(times) < 900, "three times the goal of 300 ms"
    expect(plan).to_contain_text("before the first step")  # what was unfolded stays so


def test_form_and_toml_follow_each_other(page: Page, served: Served) -> None:
    load_demo(page, served.url)
    page.locator("#f-network-rank input").fill("12")
    page.wait_for_function("document.querySelector('#toml textarea').value.includes('rank = 12')")
    area, said = page.locator("#toml textarea"), page.locator("#toml-said")
    area.focus()
    area.fill(toml(page).replace("rank = 12", "rank = 6  # my own reason").replace('trigger = "zorb"', 'trigger = "q"'))
    expect(page.locator("#f-network-rank input")).to_have_value("6")
    expect(page.locator("#f-captions-trigger input, #f-captions-trigger textarea")).to_have_value("q")
    expect(said).to_contain_text("Changed in the form: Trigger word, Network rank (dimension).")
    expect(page.locator("#f-network-alpha input, #f-network-alpha textarea").first).to_have_value("")
    area.fill(toml(page).replace("rank = 6", "rnak = 7"))
    expect(said).to_contain_text("did you mean network.rank?")
    expect(said).to_contain_text("The form keeps its last good values.")
    expect(page.locator("#f-network-rank input")).to_have_value("6")
    assert page.locator("#toml .wrong").count() == 1
    said.get_by_role("button", name="line").click()
    shot(page, "toml-fault")
    assert_accessible(page)
    area.fill(toml(page).replace("rnak = 7", "rank = 5"))
    expect(page.locator("#f-network-rank input")).to_have_value("5")
    area.blur()
    page.locator("#f-training-length input, #f-training-length textarea").fill("77 steps")
    page.wait_for_function("document.querySelector('#toml textarea').value.includes('77 steps')")
    assert "rank = 5  # my own reason" in toml(page)
    page.locator("#toml-help input").check()
    page.wait_for_function("document.querySelector('#toml textarea').value.includes('# Network rank')")
    assert "# my own reason" in toml(page)


def test_a_text_can_be_taken_back(page: Page, served: Served) -> None:
    load_demo(page, served.url)
    area = page.locator("#toml textarea")
    area.focus()
    for rank in (6, 7):
        area.fill(toml(page).replace(f"\nrank = {16 if rank == 6 else 6}", f"\nrank = {rank}"))
        expect(page.locator("#f-network-rank input")).to_have_value(str(rank))
    page.locator(".toml-back").click()
    expect(page.locator("#f-network-rank input")).to_have_value("16")
    page.wait_for_function("document.querySelector('#toml textarea').value.includes('\\nrank = 16')")


def test_a_lora_file_brings_its_recipe_and_own_presets_come_and_go(page: Page, served: Served, tmp_path: Path) -> None:
    load_demo(page, served.url)
    header = json.dumps(
        {
            "__metadata__": {
                "ss_network_dim": "48",
                "ss_unheard_of": "0.1",
                "ss_sd_model_name": "<b>m</b>.safetensors",
            }
        }
    ).encode()
    lora = tmp_path / "found.safetensors"
    lora.write_bytes(struct.pack("<Q", len(header)) + header)
    page.get_by_role("tab", name="Presets", exact=True).click()
    page.set_input_files("#preset-drop input[type=file]", lora)
    said = page.locator("#preset-said")
    expect(said).to_contain_text("It was trained on <b>m</b>.safetensors")
    expect(said).to_contain_text("Left out 1")
    expect(page.locator("#f-network-rank input")).to_have_value("16")
    shot(page, "preset-diff")
    assert_accessible(page)
    page.locator("#preset-cancel").click()
    expect(said).to_contain_text("Nothing was changed.")
    expect(page.locator("#preset-load")).to_be_hidden()
    page.locator("#preset-name textarea, #preset-name input").fill("short lived")
    page.locator("#preset-save").click()
    own = page.locator('[data-preset="own/short-lived"]')
    expect(own).to_have_count(2)
    page.locator(".shelf-search").fill("lived")
    expect(page.locator("#shelf article:visible")).to_have_count(1)
    with page.expect_download() as download:
        page.locator("#preset-share").click()
    assert "/presets/demo" not in Path(download.value.path()).read_text(encoding="utf-8")
    expect(page.locator("#preset-kept")).to_contain_text("became model")
    own.get_by_text("Delete").click()
    expect(said).to_contain_text("Moved to")
    expect(own).to_have_count(0)
    assert (served.log.parent / "user" / "trash" / "short-lived.toml").is_file()
    lora.write_bytes(b"no lora at all")
    page.set_input_files("#preset-drop input[type=file]", lora)
    expect(said).to_contain_text("does not start like a safetensors file")
