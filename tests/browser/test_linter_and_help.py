"""The linter in the Dataset tab, as a person uses it: check, look, fix, undo; the Help tab, from symptom to setting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from axe_look import assert_accessible
from PIL import Image, ImageFilter
from playwright.sync_api import Page, expect
from served import Served, shot

pytestmark = pytest.mark.browser


def make(folder: Path) -> Path:
    """Sixteen captioned pictures, one of them blurred, and one file that is cut off."""
    folder.mkdir()
    for index in range(16):
        draw = np.random.default_rng(index)
        blocks = Image.fromarray(draw.integers(0, 255, (24, 24, 3), dtype=np.uint8))
        whole = blocks.resize((600, 600), Image.Resampling.NEAREST)
        (whole.filter(ImageFilter.GaussianBlur(5)) if index == 9 else whole).save(folder / f"{index:02d}.png")
        (folder / f"{index:02d}.txt").write_text(f"zwx, thing {index}, <b>solo</b>\n", encoding="utf-8")
    (folder / "cut.png").write_bytes((folder / "00.png").read_bytes()[:900])
    return folder


def test_check_look_fix_undo(page: Page, served: Served, tmp_path: Path) -> None:
    folder = make(tmp_path / "pictures")
    page.goto(served.url)
    page.locator(".folders-row [name=path]").first.fill(str(folder))
    expect(page.locator("#plan")).to_contain_text("1 of 17 images", timeout=15_000)
    page.get_by_role("tab", name="Dataset").click()
    if not page.locator("#lint-begin").is_visible():
        page.get_by_role("button", name="Check the images").first.click()
    page.locator("#lint-begin").click()
    findings = page.locator(".finding")
    expect(page.locator(".lint-head")).to_contain_text("images checked", timeout=30_000)
    expect(findings.first).to_contain_text("1 file cannot be used")
    page.locator("#lint-show-0").press("Enter")
    expect(page.locator(".lint-pictures figcaption")).to_have_text("cut.png")
    expect(page.locator("#lint-show-0")).to_be_focused()
    blurred = findings.filter(has_text="1 image is blurred")
    blurred.get_by_role("button", name="Show the images").click()
    expect(page.locator(".lint-pictures img")).to_have_count(1)
    shot(page, "linter")
    assert_accessible(page)
    expect(page.get_by_role("button", name="Show them in the grid")).to_have_count(0)  # no folder is open in it
    page.locator("#studio-path").fill(str(folder))
    page.locator("#studio-path").press("Enter")
    expect(page.locator(".studio-count")).to_have_text("17 images", timeout=20_000)
    page.locator("#lint-begin").click()
    blurred.get_by_role("button", name="Show them in the grid").click()
    expect(page.locator(".studio-count")).to_have_text("1 of 17 images", timeout=20_000)
    expect(page.locator(".studio-card .title")).to_have_text("09.png")

    page.get_by_role("button", name="Set them aside").first.click()
    expect(page.locator("#lint-said")).to_contain_text("1 image moved")
    expect(findings.filter(has_text="cannot be used")).to_have_count(0, timeout=15_000)
    assert (folder / "set aside" / "cut.png").is_file() and not (folder / "cut.png").exists()

    common = findings.filter(has_text="is in 16 of 16 captions")
    expect(common).to_contain_text("<b>solo</b>")  # shown as text
    common.get_by_role("button", name="Remove").click()
    expect(common).to_have_count(0, timeout=15_000)
    assert (folder / "03.txt").read_text(encoding="utf-8") == "zwx, thing 3\n"
    page.locator("#lint-undo").click()
    expect(common).to_have_count(1, timeout=15_000)
    assert (folder / "03.txt").read_text(encoding="utf-8") == "zwx, thing 3, <b>solo</b>\n"

    page.get_by_role("button", name="Set 'zwx' as the trigger word").click()
    expect(page.locator("#f-captions-trigger textarea, #f-captions-trigger input")).to_have_value("zwx", timeout=15_000)
    expect(findings.filter(has_text="No trigger word is set")).to_have_count(0, timeout=15_000)
    page.get_by_role("button", name="Put back 1 image").click()
    expect(findings.filter(has_text="cannot be used")).to_have_count(1, timeout=15_000)
    assert (folder / "cut.png").is_file()


def test_help_leads_from_a_symptom_to_the_setting(page: Page, served: Served) -> None:
    page.goto(served.url)
    page.get_by_role("tab", name="Help").click()
    memory = page.locator("details.topic", has_text="Out of memory")
    memory.locator("summary").press("Enter")
    expect(memory.get_by_role("button", name="Gradient checkpointing", exact=True)).to_be_visible()
    shot(page, "help")
    memory.get_by_role("button", name="Gradient checkpointing", exact=True).click()
    field = page.locator("#f-memory-gradient_checkpointing")
    expect(field).to_be_visible()
    expect(field).to_be_in_viewport()

    page.get_by_role("tab", name="Help").click()
    page.locator("#reference-search textarea, #reference-search input").fill("no captions")
    terms = ["Shuffle caption", "Training without captions"]
    expect(page.locator(".glossary dt")).to_have_text(terms, timeout=10_000)
