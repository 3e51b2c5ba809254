"""Captions by a model of this computer, from the Dataset tab: shown first, then written, then taken back."""

from __future__ import annotations

from pathlib import Path

import captioners
import pytest
from axe_look import assert_accessible
from PIL import Image
from playwright.sync_api import Page, expect
from served import Served, shot

pytestmark = pytest.mark.browser


def test_captions_are_shown_written_and_taken_back(page: Page, served: Served, tmp_path: Path) -> None:
    model, folder = captioners.make_tagger(tmp_path / "wd-tagger"), tmp_path / "images"
    folder.mkdir()
    for name, colour in (("red", "red"), ("blue", "blue")):
        Image.new("RGB", (64, 64), colour).save(folder / f"{name}.png")
    (folder / "red.txt").write_text("my own words", encoding="utf-8")
    page.goto(served.url)
    page.get_by_role("tab", name="Dataset", exact=True).click()
    page.locator("#studio-path").fill(str(folder))
    page.locator("#studio-path").press("Enter")
    expect(page.locator("#studio-main")).to_contain_text("blue.png", timeout=20_000)
    page.get_by_role("button", name="Caption automatically").click()
    page.get_by_text("Which models work").click()
    expect(page.locator("#caption-models")).to_contain_text("selected_tags.csv")
    page.locator("#caption-go").click()
    expect(page.locator("#caption-said")).to_contain_text("none is chosen")

    page.locator("#caption-path input, #caption-path textarea").press_sequentially(str(model), delay=1)
    expect(page.locator("#caption-about")).to_contain_text("tagger with 6 tags", timeout=20_000)
    expect(page.locator("#caption-threshold")).to_be_visible()
    page.locator("#caption-prefix input, #caption-prefix textarea").fill("zorb")
    page.locator("#caption-preview").click()
    expect(page.locator("#caption-result")).to_contain_text("nothing was written", timeout=90_000)
    expect(page.locator("#caption-result")).to_contain_text("zorb, miku (voca), 1girl")
    assert not (folder / "blue.txt").exists()
    shot(page, "captioning-shown")

    page.locator("#caption-go").click()
    expect(page.locator("#caption-result")).to_contain_text("1 caption written, 1 kept as it was", timeout=90_000)
    assert (folder / "blue.txt").read_text(encoding="utf-8").startswith("zorb, miku (voca), 1girl")
    assert (folder / "red.txt").read_text(encoding="utf-8") == "my own words"
    blue = page.locator(".studio-card", has_text="blue.png")
    expect(blue.locator(".says")).to_contain_text("zorb, miku (voca), 1girl", timeout=20_000)
    page.get_by_role("button", name="Show them").click()
    expect(page.locator("#studio-main")).to_contain_text("captioned just now", timeout=20_000)
    expect(page.locator(".studio-count")).to_have_text("1 of 2 images")
    page.get_by_role("button", name="Undo these captions").click()
    expect(page.locator("#caption-said")).to_contain_text("taken back")
    expect(blue.locator(".says")).to_have_text("no caption", timeout=20_000)
    assert not (folder / "blue.txt").exists()
    shot(page, "captioning-done")
    assert_accessible(page)
