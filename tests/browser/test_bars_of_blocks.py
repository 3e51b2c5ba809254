"""The row of bars in a real browser: bars, fields and TOML say the same, whichever is edited, by mouse or keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, expect
from served import Served, shot

pytestmark = pytest.mark.browser
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
RANKS, DOWN, UP = "#f-network-block_ranks textarea", "#f-network-down_rates input", "#f-network-up_rates input"


@pytest.fixture(scope="module")
def expert(chromium: Browser, served: Served) -> Iterator[Page]:
    """The form in its Expert tier, unfolded, opened once for all of these tests."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    kept = "localStorage.setItem('loratory-folds', '{\"*\": false}'); localStorage.setItem('loratory-tier', 'expert');"
    context.add_init_script(f"try {{ {kept} }} catch {{ /* before a page is there */ }}")
    page, errors = context.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(served.url)
    page.locator("#blocks .block-bar").first.wait_for()
    yield page
    context.close()
    assert errors == []


@pytest.fixture
def form(expert: Page) -> Page:
    """The form as the defaults have it, the bars showing ranks."""
    for kind, fields in (("rate", (DOWN, UP)), ("rank", (RANKS,))):
        for _ in range(4):  # an answer of the test before may still be on its way, and wins over a click then
            expert.locator(f".block-kinds input[value={kind}]").check(force=True)
            expert.get_by_role("button", name="All equal").click()
            expert.wait_for_timeout(300)
            if all(expert.locator(field).input_value() == "" for field in fields):
                break
    expect(expert.locator(RANKS)).to_have_value("")
    return expert


def bar(page: Page, name: str) -> Any:
    return page.get_by_role("slider", name=name, exact=True)


def toml_says(page: Page, text: str) -> None:
    page.wait_for_function("text => document.querySelector('#toml').textContent.includes(text)", arg=text)


def test_a_bar_that_is_dragged_writes_the_field_and_the_toml(form: Page) -> None:
    expect(form.locator("#blocks .block-bar")).to_have_count(25)
    track = bar(form, "IN05").locator(".track")
    track.scroll_into_view_if_needed()
    box = track.bounding_box()
    assert box is not None
    form.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 1)
    form.mouse.down()
    form.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4, steps=4)
    form.mouse.up()
    expect(form.locator(RANKS)).to_have_value("16, 16, 16, 16, 16, 24" + ", 16" * 19)
    toml_says(form, "    24,")
    expect(bar(form, "IN05")).to_have_attribute("aria-valuenow", "24")
    rows = "bars => Object.values(Object.groupBy(bars, (bar) => bar.offsetTop)).map((row) => row.length)"
    for width, lengths in ((2560, [25]), (400, [13, 12]), (1400, [25])):
        form.set_viewport_size({"width": width, "height": 900})
        form.wait_for_timeout(200)
        assert form.locator("#blocks .block-bar").evaluate_all(rows) == lengths


def test_keys_move_a_bar_and_go_to_its_neighbours(form: Page) -> None:
    bar(form, "IN01").focus()
    form.keyboard.press("ArrowUp")
    form.keyboard.press("PageDown")
    form.keyboard.press("ArrowRight")
    expect(bar(form, "IN02")).to_be_focused()
    expect(form.locator(RANKS)).to_have_value("16, 9" + ", 16" * 23)
    form.keyboard.type("12")
    form.keyboard.press("Enter")
    expect(form.locator(RANKS)).to_have_value("16, 9, 12" + ", 16" * 22)
    form.keyboard.press("Home")
    expect(bar(form, "IN02")).to_have_attribute("aria-valuetext", "0, not trained")
    expect(form.locator("#blocks [tabindex='0']")).to_have_count(1)


def test_what_is_typed_into_the_field_moves_the_bars(form: Page) -> None:
    form.locator(RANKS).fill("4, 8" + ", 16" * 23)
    expect(bar(form, "IN00")).to_have_attribute("aria-valuenow", "4")
    expect(bar(form, "IN01")).to_have_attribute("aria-valuenow", "8")
    form.get_by_role("button", name="All equal").click()
    expect(bar(form, "IN00")).to_have_attribute("aria-valuenow", "16")
    expect(form.locator(RANKS)).to_have_value("")


def test_shapes_of_rates_keep_their_names(form: Page) -> None:
    form.locator(".block-kinds input[value=rate]").check(force=True)
    form.get_by_label("Base that is added to the shape").fill("0.25")
    form.get_by_label("Blocks that get the shape").select_option("up")
    form.get_by_role("button", name="cosine", exact=True).click()
    expect(form.locator(UP)).to_have_value("cosine+0.25")
    expect(form.locator(DOWN)).to_have_value("")
    expect(bar(form, "OUT00")).to_have_attribute("aria-valuenow", "1.25")
    expect(bar(form, "OUT11")).to_have_attribute("aria-valuenow", "0.25")
    shot(form, "blocks-rates", whole=False)


def test_a_rule_tells_how_many_layers_it_fits_and_the_curve_follows(form: Page) -> None:
    form.locator("#f-network-layers .more").click()
    rule = form.locator("#f-network-layers .rules-row").last
    rule.locator("[name=match]").fill("attn2_to_")
    expect(rule.locator(".fits")).to_have_text("fits 64 of 192 layers")
    rule.locator("[name=rank]").fill("4")  # a rule with a rank of its own may name residual layers too
    expect(rule.locator(".fits")).to_have_text("fits 64 of 278 layers")
    toml_says(form, "[[network.layers]]")
    rule.locator("[name=match]").fill("attn2(")
    expect(rule.locator(".fits")).to_contain_text("no regular expression")
    rule.locator(".away").click()
    expect(form.locator("#f-network-layers .rules-row")).to_have_count(0)
    form.locator("#f-noise-timestep_max input").fill("700")
    expect(form.locator("#timesteps .left-out .high")).to_have_attribute("style", "width:30.0%")
    form.locator("#f-noise-timestep_max input").fill("1000")
    expect(form.locator("#timesteps .left-out i")).to_have_count(0)


def test_rows_of_images_hold_masks_and_weights(form: Page) -> None:
    row = form.locator("#f-dataset-folders .folders-row").first
    row.locator("[name=path]").fill("pictures/10_cat")
    row.locator("[name=mask]").fill("masks/cat")
    row.locator("[name=weight]").fill("2.5")
    row.locator("[name=regularisation]").check()
    for said in ("regularisation = true", "weight = 2.5", "masks/cat"):
        toml_says(form, said)
    form.get_by_text("Basic", exact=True).click()
    expect(row.locator("[name=mask]")).to_be_visible()
    for name in ("mask", "weight"):
        row.locator(f"[name={name}]").fill("")
    row.locator("[name=regularisation]").uncheck()
    expect(row.locator("[name=mask]")).to_be_hidden()
    form.get_by_text("Expert", exact=True).click()


def test_axe_finds_nothing_grave_in_the_experts_form(form: Page) -> None:
    form.add_script_tag(path=AXE)
    parts = "{include: [['#train']], exclude: [['.is-off']]}"  # what has no effect now is faint
    found: dict[str, Any] = form.evaluate(f"() => axe.run({parts}, {{resultTypes: ['violations']}})")
    grave = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    assert [(each["id"], node["html"][:140]) for each in grave for node in each["nodes"]] == []
