"""The ways of the Train tab in a real browser: search, resets, fix buttons, what blocks a start, folding, the dense
layout, and images without captions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_look import assert_accessible
from playwright.sync_api import Browser, Page, expect
from served import Served, shot

pytestmark = pytest.mark.browser
IMAGES = Path(__file__).resolve().parents[2] / "presets" / "demo" / "images"


def box(page: Page, path: str) -> str:
    """Selector of what one types into, for a setting."""
    block = "#f-" + path.replace(".", "-")
    return f"{block} textarea, {block} input:not([type=radio])"


def toml_says(page: Page, text: str) -> None:
    page.wait_for_function("text => document.querySelector('#toml').textContent.includes(text)", arg=text)


def opened(page: Page, served: Served) -> Page:
    page.goto(served.url)
    page.wait_for_selector("#f-model-path .help")
    toml_says(page, "[network]")
    return page


@pytest.fixture
def form(page: Page, served: Served) -> Page:
    """The open form with the defaults, all groups unfolded."""
    (served.log.parent / "user" / "form.json").unlink(missing_ok=True)
    return opened(page, served)


@pytest.fixture
def fresh(chromium: Browser, served: Served) -> Iterator[Page]:
    """The form as a browser shows it that was never here."""
    (served.log.parent / "user" / "form.json").unlink(missing_ok=True)
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield opened(page, served)
    context.close()
    assert errors == []


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (1366, 768), (2560, 1440)])
def test_model_images_and_start_are_seen_at_once(fresh: Page, width: int, height: int) -> None:
    fresh.set_viewport_size({"width": width, "height": height})
    for block in ("#f-model-path", "#f-dataset-folders", "#start", "#g-training .fold", "#plan"):
        expect(fresh.locator(block)).to_be_in_viewport(ratio=1)
    expect(fresh.locator("#f-network-rank")).to_be_hidden()
    expect(fresh.locator("#g-training .holds")).to_contain_text("rank 16")
    assert fresh.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shot(fresh, f"train-{width}", whole=False)


def test_a_group_unfolds_says_what_it_holds_and_is_remembered(fresh: Page) -> None:
    fold = fresh.locator("#g-training .fold")
    expect(fold).to_have_attribute("aria-expanded", "false")
    fold.focus()
    fresh.keyboard.press("Enter")
    expect(fold).to_have_attribute("aria-expanded", "true")
    fresh.locator(box(fresh, "network.rank")).fill("4")
    toml_says(fresh, "rank = 4")
    fresh.wait_for_timeout(800)  # the form is kept when the plan is asked for, once the typing rests
    fresh.reload()
    fresh.wait_for_selector("#f-network-rank .help")
    expect(fresh.locator(box(fresh, "network.rank"))).to_have_value("4")
    fresh.locator("#g-training .fold").click()
    expect(fresh.locator("#g-training .holds")).to_contain_text("rank 4")
    expect(fresh.locator("#g-training .count-changed")).to_have_text("1 changed")
    fresh.get_by_role("button", name="Unfold all").click()
    expect(fresh.locator("#f-captions-shuffle")).to_be_visible()


def test_search_finds_by_flag_word_and_name_and_jumps(fresh: Page) -> None:
    fresh.keyboard.press("/")
    search = fresh.locator("#search textarea, #search input")
    expect(search).to_be_focused()
    hits = fresh.locator("#search-hits [role=option]")
    for typed, first in (
        ("--network_dim", "Network rank"),
        ("min_snr", "Min-SNR"),
        ("adagrad", "Optimizer"),
        ("early stopping", "Early stopping"),
    ):
        search.fill(typed)
        expect(hits.first).to_contain_text(first)
    search.fill("overfitting")
    found = hits.all_inner_texts()
    assert any("Early stopping" in text for text in found) and any("Length" in text for text in found)
    shot(fresh, "search", whole=False)
    assert_accessible(fresh)
    fresh.keyboard.press("ArrowDown")
    expect(hits.nth(1)).to_have_attribute("aria-selected", "true")
    expect(search).to_have_attribute("aria-activedescendant", "hit-1")
    search.fill("zzzz")
    expect(fresh.locator("#search-hits")).to_contain_text("No setting matches")
    fresh.keyboard.press("Escape")
    expect(fresh.locator("#search-hits")).to_be_hidden()
    fresh.get_by_role("tab", name="Help", exact=True).click()
    fresh.keyboard.press("Control+k")
    search.fill("min_snr_gamma")
    fresh.keyboard.press("Enter")
    expect(fresh.locator(box(fresh, "noise.min_snr_gamma"))).to_be_focused()
    expect(fresh.get_by_role("radio", name="Advanced")).to_be_checked()
    expect(search).to_have_value("")


def test_changed_fields_are_marked_and_reset_one_by_one_or_together(form: Page) -> None:
    group = form.locator("#g-training")
    form.locator(box(form, "network.rank")).fill("4")
    form.locator(box(form, "optimizer.learning_rate")).fill("3e-4")
    form.locator("#f-sampling-prompts textarea").fill("a cat")
    expect(group.locator(".count-changed")).to_have_text("3 changed")
    reset = form.get_by_role("button", name="Reset Network rank")
    expect(reset).to_have_attribute("title", "Reset to: 16")
    reset.focus()
    form.keyboard.press("Enter")
    expect(form.locator(box(form, "network.rank"))).to_have_value("16")
    expect(reset).to_have_count(0)
    toml_says(form, "rank = 16")
    group.get_by_role("button", name="Reset all").click()
    expect(group.locator(".count-changed")).to_have_count(0)
    expect(form.locator(box(form, "optimizer.learning_rate"))).to_have_value("0.0001")
    expect(form.locator("#done")).to_contain_text("2 settings reset")
    form.locator("#done").get_by_role("button", name="Undo").click()
    expect(form.locator(box(form, "optimizer.learning_rate"))).to_have_value("3e-4")
    toml_says(form, "a cat")


def test_what_was_loaded_is_what_fields_are_reset_to(form: Page) -> None:
    form.get_by_role("tab", name="Presets", exact=True).click()
    form.locator('[data-preset="shipped/demo"]').click()
    form.locator("#preset-load").click()
    expect(form.locator("#preset-said")).to_contain_text("Loaded")
    form.get_by_role("tab", name="Train", exact=True).click()
    expect(form.locator(".count-changed")).to_have_count(0)
    form.locator(box(form, "captions.trigger")).fill("other")
    expect(form.get_by_role("button", name="Reset Trigger word")).to_have_attribute("title", "Reset to: zorb")
    toml_says(form, 'trigger = "other"')
    form.wait_for_timeout(800)
    form.reload()
    form.wait_for_selector("#f-network-rank .help")
    form.get_by_role("button", name="Reset Trigger word").click()
    expect(form.locator(box(form, "captions.trigger"))).to_have_value("zorb")


def test_a_problem_is_solved_by_its_button_and_start_says_what_is_left(form: Page) -> None:
    form.get_by_text("Expert", exact=True).click()
    blocked = form.locator("#blocked")
    expect(blocked).to_contain_text("2 things to solve first: Base model Images")
    form.locator(box(form, "dataset.bucket_step")).fill("60")
    wrong = form.locator("#f-dataset-bucket_step .wrong")
    expect(wrong).to_contain_text("60 is not a multiple of 8")
    expect(blocked).to_contain_text("3 things to solve first")
    blocked.get_by_role("button", name="Bucket step").click()
    expect(form.locator(box(form, "dataset.bucket_step"))).to_be_focused()
    wrong.get_by_role("button", name="use 64").click()
    expect(form.locator(box(form, "dataset.bucket_step"))).to_have_value("64")
    expect(wrong).to_have_count(0)
    form.locator(box(form, "network.rank")).fill("5000")
    form.locator("#start").click()
    listed = form.locator("#result .problems")
    listed.get_by_role("button", name="use 1024").click()
    expect(form.locator(box(form, "network.rank"))).to_have_value("1024")
    toml_says(form, "rank = 1024")
    blocked.get_by_role("button", name="Images").click()
    expect(form.locator("#f-dataset-folders [name=path]")).to_be_focused()


def test_advice_has_a_button_and_figures_follow_the_values(form: Page) -> None:
    expect(form.locator("#f-network-alpha .now")).to_have_text("16 / 16 = 1")
    before = form.locator("#f-network-rank .now").inner_text()
    form.locator(box(form, "network.alpha")).fill("8")
    expect(form.locator("#f-network-alpha .now")).to_have_text("8 / 16 = 0.5")
    form.locator("#f-network-alpha .help").hover()
    expect(form.locator("#tip .now")).to_have_text("8 / 16 = 0.5")
    form.locator(box(form, "network.rank")).fill("32")
    expect(form.locator("#f-network-alpha .now")).to_have_text("8 / 32 = 0.25")
    assert form.locator("#f-network-rank .now").inner_text() != before
    form.locator(box(form, "optimizer.name")).click()
    form.get_by_role("option", name="Prodigy").click()
    form.locator("#f-schedule-warmup .offer").get_by_role("button", name="use 0").click()
    toml_says(form, "warmup = 0.0")
    form.locator(box(form, "schedule.warmup")).fill("5")
    form.locator("#f-schedule-warmup .advice").get_by_role("button", name="use 0").click()
    expect(form.locator("#f-schedule-warmup .advice")).to_have_count(0)


def test_the_dense_layout_is_tighter_and_remembered(form: Page) -> None:
    form.get_by_text("Expert", exact=True).click()
    tall = form.locator("#left").bounding_box()
    switch = form.get_by_role("button", name="Dense")
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "true")
    expect(form.locator("#f-network-rank .help")).to_be_hidden()
    low = form.locator("#left").bounding_box()
    assert tall and low and low["height"] < 0.75 * tall["height"]
    shot(form, "train-dense", whole=False)
    form.reload()
    form.wait_for_selector("#f-network-rank")
    expect(form.get_by_role("button", name="Dense")).to_have_attribute("aria-pressed", "true")


def test_images_without_captions_are_a_choice_that_writes_only_what_it_says(form: Page, tmp_path: Path) -> None:
    for image in sorted(IMAGES.glob("*.png"))[:5]:
        shutil.copy(image, tmp_path)
    form.locator("#f-dataset-folders [name=path]").fill(str(tmp_path))
    card = form.locator("#captions-choice")
    expect(card).to_contain_text("None of the 5 images has a caption")
    expect(card.locator("tbody tr").first).to_contain_text("no text")
    write = card.get_by_role("button", name="Write 5 caption files")
    expect(write).to_be_disabled()
    card.get_by_role("textbox").press_sequentially("a <b>zorb</b> badge")
    expect(card.locator("tbody tr").first.locator("td").nth(2)).to_have_text("a <b>zorb</b> badge")
    shot(form, "captions-missing", whole=False)
    assert_accessible(form)
    assert not list(tmp_path.glob("*.txt"))
    write.click()
    expect(form.locator("#done")).to_contain_text("5 caption files written")
    assert [p.read_text(encoding="utf-8") for p in tmp_path.glob("*.txt")] == ["a <b>zorb</b> badge\n"] * 5
    expect(card.locator("h3")).to_have_count(0)
    form.locator("#done").get_by_role("button", name="Undo").click()
    expect(card).to_contain_text("None of the 5 images has a caption")
    assert not list(tmp_path.glob("*.txt"))
    card.get_by_role("textbox").fill("zorb")
    card.get_by_role("button", name="Use it as the trigger word").click()
    toml_says(form, 'mode = "trigger word"')
    toml_says(form, 'trigger = "zorb"')
    expect(card.locator("h3")).to_have_count(0)
    form.locator("#done").get_by_role("button", name="Undo").click()
    card.get_by_role("button", name="Write them yourself").click()
    expect(form.get_by_role("tab", name="Dataset", exact=True)).to_have_attribute("aria-selected", "true")
    assert not list(tmp_path.glob("*.txt"))
