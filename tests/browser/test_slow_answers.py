"""What is done while the page still waits for an answer counts: on a busy or distant computer answers come late, and
some in another order than they were asked for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect
from served import ROOT, Served, slow

from gui.queue import waiting
from trainer.contract.preset import dumps, load, with_values
from trainer.contract.rundir import RunDir

pytestmark = pytest.mark.browser
LATE_MS = 700
FAKE = Path(__file__).with_name("fake_trainer.py")
IMAGES = ROOT / "presets" / "demo" / "images"
DEMO = load(ROOT / "presets" / "demo.toml")


@pytest.fixture
def form(page: Page, served: Served) -> Page:
    """The form as it is for the first time."""
    (served.log.parent / "user" / "form.json").unlink(missing_ok=True)
    page.goto(served.url)
    page.wait_for_selector("#f-network-rank .help")
    says(page, "[network]")
    return page


@pytest.fixture(scope="module")
def runs(served: Served) -> list[RunDir]:
    """Two runs that have ended."""
    made = [RunDir.create(served.runs, name) for name in ("first", "second")]
    for run in made:
        run.preset.write_text(dumps(DEMO), encoding="utf-8")
        subprocess.run([sys.executable, str(FAKE), str(run.path), "--steps", "20", "--pause", "0"], check=True)
    return made


def says(page: Page, text: str) -> None:
    page.wait_for_function("text => document.querySelector('#toml textarea').value.includes(text)", arg=text)


def open_tab(page: Page, served: Served, name: str) -> None:
    page.goto(served.url)
    page.get_by_role("tab", name=name, exact=True).click()


def test_a_text_that_is_typed_on_is_read_to_its_end(form: Page) -> None:
    area = form.locator("#toml textarea")
    slow(form, 3 * LATE_MS)
    area.click()
    text = area.input_value()
    area.fill(text.replace("\nrank = 16", "\nrank = 7"))
    form.wait_for_timeout(600)  # it has rested for a moment: what stands there is on its way
    area.fill(text.replace("\nrank = 16", "\nrank = 77"))
    expect(form.locator("#f-network-rank input")).to_have_value("77")
    expect(form.locator("#toml-said")).to_contain_text("Changed in the form: Network rank")
    form.wait_for_timeout(3 * LATE_MS)
    expect(form.locator("#f-network-rank input")).to_have_value("77")
    form.locator(".toml-back").click()
    expect(form.locator("#f-network-rank input")).to_have_value("16")


def test_a_button_works_while_a_preview_is_awaited(form: Page, tmp_path: Path) -> None:
    for image in sorted(IMAGES.glob("*.png"))[:5]:
        shutil.copy(image, tmp_path)
    form.locator("#f-dataset-folders [name=path]").fill(str(tmp_path))
    card = form.locator("#captions-choice")
    expect(card).to_contain_text("None of the 5 images has a caption")
    slow(form, LATE_MS)
    card.get_by_role("textbox").fill("zorb")
    form.wait_for_timeout(300)  # the preview of it has been asked for
    card.get_by_role("button", name="Use it as the trigger word").click()
    says(form, 'mode = "trigger word"')
    says(form, 'trigger = "zorb"')


def test_an_answer_that_comes_too_late_is_not_shown(form: Page) -> None:
    """The answer to the first of two edits is held back until the second one's has come."""
    held: list[tuple[Route, bytes]] = []

    def hold(route: Route) -> None:
        if "0.0123" in (route.request.post_data or "") and not held:
            held.append((route, route.fetch().body()))
        else:
            route.continue_()

    form.route("**/gradio_api/run/**", hold)
    form.locator("#f-optimizer-learning_rate textarea, #f-optimizer-learning_rate input").first.fill("0.0123")
    form.wait_for_timeout(1000)
    assert held
    form.locator("#f-network-rank input").fill("5")
    says(form, "\nrank = 5")
    route, body = held[0]
    route.fulfill(body=body, content_type="application/json")
    form.wait_for_timeout(1000)
    says(form, "\nrank = 5")
    says(form, "learning_rate = 0.0123")


def test_runs_that_are_ticked_at_once_are_all_compared(page: Page, served: Served, runs: list[RunDir]) -> None:
    open_tab(page, served, "Compare")
    boxes = [page.locator(f'.picks input[value="{run.id}"]') for run in runs]
    expect(boxes[0]).to_be_visible()
    slow(page, LATE_MS)
    for box in boxes:
        box.check()
    expect(page.locator("#compare-curves figure").first.locator(".plot path.line")).to_have_count(2)


def test_the_run_that_is_clicked_last_is_shown(page: Page, served: Served, runs: list[RunDir]) -> None:
    open_tab(page, served, "Runs")
    rows = [page.locator(f'tr[data-run="{run.id}"] .pick') for run in runs]
    expect(rows[0]).to_be_visible()
    slow(page, LATE_MS)
    for row in rows[::-1]:
        row.click()
    expect(page.locator("#run-progress h2")).to_have_text("first")
    page.wait_for_timeout(2 * LATE_MS)
    expect(page.locator("#run-progress h2")).to_have_text("first")


def test_each_click_on_the_queue_counts(page: Page, served: Served) -> None:
    waiting.change(served.runs, lambda queue: waiting.EDITS["pause"](queue, ""))
    waiting.add(served.runs, [with_values(DEMO, {"saving.name": name}) for name in ("a", "b", "c")])
    open_tab(page, served, "Runs")
    names = page.locator("#queue .queue-list .name")
    expect(names).to_have_text(["a", "b", "c"])
    slow(page, LATE_MS)
    down = page.locator("#queue li").first.get_by_role("button", name="move down")
    down.click()
    down.click()
    expect(names).to_have_text(["b", "c", "a"])


def test_an_older_look_does_not_stay(page: Page, served: Served) -> None:
    """The answer to the first of two clicks is held back until the second one's has come."""
    held: list[tuple[Route, bytes]] = []

    def hold(route: Route) -> None:
        answer = route.fetch()
        if not held and b"Release" in answer.body():
            held.append((route, answer.body()))
        else:
            route.fulfill(response=answer)

    open_tab(page, served, "Runs")
    entries = page.locator("#queue .queue-list li")
    expect(entries).to_have_count(3)
    page.route("**/gradio_api/run/**", hold)
    for number in (0, 1):
        entries.nth(number).get_by_role("button", name="Hold").click()
        page.wait_for_timeout(700)
    releases = page.locator("#queue").get_by_role("button", name="Release")
    expect(releases).to_have_count(2)
    route, body = held[0]
    route.fulfill(body=body, content_type="application/json")
    page.wait_for_timeout(500)
    expect(releases).to_have_count(2)
