"""The queue on the page, with a stand-in for the trainer: add, reorder, hold, remove, put back, watch them run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import stand_in
from axe_look import assert_accessible
from playwright.sync_api import Browser, Locator, Page, expect
from served import ROOT, Served, serve, shot

from gui.queue import waiting, worker
from trainer.contract.preset import dumps, load, with_values
from trainer.contract.rundir import find_runs
from trainer.contract.settings import Preset

pytestmark = [pytest.mark.browser, pytest.mark.slow]
WAIT_MS = 40_000


@pytest.fixture(scope="module")
def served(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("queue")
    yield from serve(folder, **stand_in.install(folder / "stand-in"))


def preset(name: str, steps: int = 12) -> Preset:
    values = {"saving.name": name, "training.length": f"{steps} steps", "hardware.gpus": "cpu"}
    return with_values(load(ROOT / "presets" / "demo.toml"), values)


def add(page: Page, tmp_path: Path, name: str, steps: int) -> None:
    """Load a preset into the form and press "Add to queue"."""
    file = tmp_path / f"{name}.toml"
    file.write_text(dumps(preset(name, steps)), encoding="utf-8")
    page.get_by_role("tab", name="Presets", exact=True).click()
    page.set_input_files("#preset-drop input[type=file]", file)
    page.locator("#preset-load").click()
    expect(page.locator("#preset-said")).to_contain_text(f"Loaded {name}.toml")
    page.get_by_role("tab", name="Train", exact=True).click()
    page.locator("#add-to-queue").click()
    expect(page.locator("#result")).to_contain_text(f"Added to the queue: {name}", timeout=WAIT_MS)


def entry(page: Page, name: str) -> Locator:
    return page.locator("#queue li").filter(has=page.locator(".name", has_text=name))


def order(page: Page, *names: str) -> None:
    expect(page.locator("#queue .queue-list:not(.over) .name")).to_have_text(list(names), timeout=WAIT_MS)


def press(page: Page, name: str, button: str) -> None:
    entry(page, name).get_by_role("button", name=button, exact=True).click()


def test_runs_wait_for_their_turn(page: Page, served: Served, tmp_path: Path) -> None:
    page.goto(served.url)
    page.wait_for_selector("#f-network-rank .help")
    add(page, tmp_path, "slow-first", 900)
    waiting.add(served.runs, [preset("b-fails"), preset("c")])  # from a terminal meanwhile
    add(page, tmp_path, "d", 12)
    expect(page.locator("#result")).to_contain_text("It is number 3 of 3 that wait.")
    expect(page.locator("#tabs")).to_have_attribute("data-waiting", "3", timeout=WAIT_MS)
    page.locator("#start").click()
    busy = page.locator("#result .busy")
    expect(busy).to_contain_text("slow-first is at work on the same device", timeout=WAIT_MS)
    assert len(find_runs(served.runs)) == 1, "it asks before it starts"
    shot(page, "queue-start-asks", whole=False)
    assert_accessible(page)
    page.locator("#result").get_by_role("button", name="Add to queue").click()
    expect(page.locator("#result")).to_contain_text("It is number 4 of 4 that wait.")
    page.get_by_role("tab", name="Runs").click()
    order(page, "slow-first", "b-fails", "c", "d", "d")
    _reorder(page)
    _hold_and_remove(page)
    expect(entry(page, "slow-first")).to_contain_text("step")
    shot(page, "queue-at-work")
    assert_accessible(page)
    _watch_to_the_end(page, served)


def _reorder(page: Page) -> None:
    """By the keyboard, which keeps its place, and by dragging."""
    press(page, "b-fails", "move down")
    order(page, "slow-first", "c", "b-fails", "d", "d")
    expect(entry(page, "b-fails").get_by_role("button", name="move down")).to_be_focused()
    page.keyboard.press("Enter")
    order(page, "slow-first", "c", "d", "b-fails", "d")
    entry(page, "c").drag_to(entry(page, "b-fails"), target_position={"x": 60, "y": 4})
    order(page, "slow-first", "d", "c", "b-fails", "d")


def _hold_and_remove(page: Page) -> None:
    second = page.locator("#queue li").last
    second.get_by_role("button", name="Remove").click()
    order(page, "slow-first", "d", "c", "b-fails")
    page.get_by_role("button", name="Put back").click()
    order(page, "slow-first", "d", "c", "b-fails", "d")
    second.get_by_role("button", name="Remove").click()
    press(page, "c", "Hold")
    expect(entry(page, "c").get_by_role("button", name="Release")).to_be_visible()
    press(page, "d", "Stop after")
    expect(entry(page, "d")).to_contain_text("The queue is held after this one.")
    expect(entry(page, "b-fails")).to_contain_text("not before you let the queue go on, after d")


def _watch_to_the_end(page: Page, served: Served) -> None:
    press(page, "slow-first", "Stop")
    queue = page.locator("#queue")
    expect(queue).to_contain_text("The queue is held: what is at work goes on", timeout=WAIT_MS)
    order(page, "c", "b-fails")
    press(page, "c", "Release")
    expect(entry(page, "c")).to_contain_text("the queue is held")
    queue.get_by_role("button", name="Go on").click()
    expect(queue).to_contain_text("4 ended, 1 failed", timeout=WAIT_MS)
    expect(entry(page, "b-fails")).to_contain_text("out of memory on purpose")
    states = {entry.name: entry.state for entry in waiting.read(served.runs).of("done", "failed", "stopped")}
    assert states == {"slow-first": "stopped", "d": "done", "c": "done", "b-fails": "failed"}
    entry(page, "c").get_by_role("button", name="c", exact=True).click()
    expect(page.locator("#run-progress h2")).to_have_text("c")
    press(page, "b-fails", "Retry")
    expect(queue).to_contain_text("at work", timeout=WAIT_MS)
    expect(queue).to_contain_text("4 ended, 1 failed", timeout=WAIT_MS)
    shot(page, "queue-ended")
    queue.get_by_role("button", name="Clear this list").click()
    expect(queue).to_contain_text("Nothing waits.")
    for _ in range(100):
        if not worker.lives(served.runs):
            return
        page.wait_for_timeout(100)
    raise AssertionError("the worker leaves when nothing waits")


def test_an_open_page_lets_the_queue_go_on(page: Page, served: Served, tmp_path: Path) -> None:
    """What somebody added while no worker was there begins as soon as a page is open; a damaged queue is told."""
    waiting.add(served.runs, [preset("later")])
    page.goto(served.url)
    page.get_by_role("tab", name="Runs").click()
    expect(entry(page, "later")).to_contain_text("done", timeout=WAIT_MS)
    file = served.runs / ".queue" / "queue.json"
    text = file.read_text(encoding="utf-8")
    file.write_text("[", encoding="utf-8")
    expect(page.locator("#queue")).to_contain_text("queue.json cannot be read", timeout=WAIT_MS)
    file.write_text(text, encoding="utf-8")
    expect(entry(page, "later")).to_contain_text("done", timeout=WAIT_MS)
