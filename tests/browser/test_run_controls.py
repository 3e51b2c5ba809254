"""Start, save now, sample now, pause, continue, a kill, continue from the banner, stop: clicks on a real trainer."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect
from served import ROOT, Served

from gui import jobs
from trainer.contract.events import Resumed, Sampled, Saved, StepDone, read
from trainer.contract.preset import dumps, load, with_values
from trainer.contract.rundir import RunDir, find_runs

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG_RUN = {
    "dataset.resolution": 64,
    "dataset.bucket_min": 64,
    "dataset.bucket_max": 64,
    "training.length": "4000 steps",
    "training.batch_size": 1,
    "network.rank": 2,
    "network.conv_rank": 0,
    "sampling.at_start": False,
    "sampling.every": "3000 steps",
    "sampling.steps": 2,
    "saving.state_every": "10 steps",
    "logging.tensorboard": False,
    "hardware.gpus": "cpu",
    "hardware.threads": 1,
}
START_MS = 120_000
"""Milliseconds that a trainer may take until its first step on a busy machine."""


@pytest.fixture
def preset(served: Served, tmp_path: Path) -> Path:
    """The demo, small and long enough never to end by itself."""
    dropped = tmp_path / "long.toml"
    dropped.write_text(dumps(with_values(load(ROOT / "presets" / "demo.toml"), LONG_RUN)), encoding="utf-8")
    return dropped


def fill_form(page: Page, served: Served, preset: Path) -> None:
    page.goto(served.url)
    page.wait_for_selector("#f-network-rank .help")
    page.get_by_role("tab", name="Presets", exact=True).click()
    page.set_input_files("#preset-drop input[type=file]", preset)
    page.locator("#preset-load").click()
    expect(page.locator("#preset-said")).to_contain_text("Loaded long.toml")
    page.get_by_role("tab", name="Train", exact=True).click()


def state(page: Page, word: str) -> None:
    expect(page.locator("#run-progress .state")).to_have_text(word, timeout=START_MS)


def until(page: Page, true: Callable[[], object]) -> None:
    """Wait on what the run folder says."""
    for _ in range(START_MS // 200):
        if true():
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"it did not happen; the page says: {page.locator('#run-said').all_inner_texts()}")


def done(run: RunDir) -> int:
    return max([event.step for event in read(run.events) if isinstance(event, StepDone)], default=0)


def count(run: RunDir, kind: type) -> int:
    return sum(isinstance(event, kind) for event in read(run.events))


@pytest.mark.skipif(os.name == "nt", reason="kills by a POSIX signal")
def test_every_button_of_a_run(page: Page, served: Served, preset: Path) -> None:
    fill_form(page, served, preset)
    page.locator("#start").click()
    state(page, "running")
    [run] = find_runs(served.runs)
    try:
        _press_them_all(page, served, run)
    finally:
        jobs.kill(run)
    steps = [event.step for event in read(run.events) if isinstance(event, StepDone)]
    assert steps == list(range(1, len(steps) + 1)), "nothing lost, nothing twice"
    assert run.read_state().state == "stopped" and count(run, Resumed) == 2


def _press_them_all(page: Page, served: Served, run: RunDir) -> None:
    until(page, lambda: done(run) >= 12)
    expect(page.locator("#run-resume")).to_be_hidden()
    page.locator("#run-sample").click()
    until(page, lambda: count(run, Sampled) == 1)
    page.locator("#run-save").click()
    until(page, lambda: count(run, Saved) == 1)
    page.locator("#run-pause").click()
    state(page, "paused")
    expect(page.locator("#run-controls")).to_be_hidden()
    paused = done(run)
    expect(page.locator("#run-resume")).to_have_text(f"Continue from step {paused:,}")
    page.locator("#run-resume").click()
    until(page, lambda: done(run) >= paused + 12)
    os.kill(run.read_state().pid, signal.SIGKILL)
    page.reload()
    ended = page.locator("#ended-runs .ended")
    expect(ended).to_contain_text(
        re.compile(r"zorb stopped at step [\d,]+ of 4,000: its process is gone"), timeout=15_000
    )
    ended.get_by_role("button", name=re.compile("Continue from step")).click()
    expect(page.get_by_role("tab", name="Runs")).to_have_attribute("aria-selected", "true")
    state(page, "running")
    expect(ended).to_have_count(0)
    page.locator("#run-stop").click()
    state(page, "stopped")
    expect(page.locator("#run-ending .card")).to_contain_text("Stopped by you")


def test_discard_asks_first(page: Page, served: Served) -> None:
    """An interrupted run stays as it is when the question is answered with no, and leaves the banner with yes."""
    run = RunDir.create(served.runs, "lost")
    run.preset.write_text("format = 1\n", encoding="utf-8")
    run.update_state(state="running", pid=2**22, process_started=1e9, created=1e9, started=1e9, total_steps=10)
    page.goto(served.url)
    ended = page.locator("#ended-runs .ended").filter(has_text="lost")
    expect(ended).to_contain_text("lost stopped at step 0 of 10", timeout=15_000)
    asked: list[str] = []

    def answer(yes: bool) -> Callable[[Dialog], None]:
        def handle(dialog: Dialog) -> None:
            asked.append(dialog.message)
            dialog.accept() if yes else dialog.dismiss()

        return handle

    page.once("dialog", answer(False))
    ended.get_by_role("button", name="Discard").click()
    page.wait_for_timeout(1500)
    assert run.current_state().state == "interrupted"
    page.once("dialog", answer(True))
    ended.get_by_role("button", name="Discard").click()
    expect(ended).to_have_count(0, timeout=10_000)
    assert run.current_state().state == "stopped" and len(asked) == 2


def test_the_preflight_button_starts_a_preflight(page: Page, served: Served, preset: Path) -> None:
    fill_form(page, served, preset)
    before = {run.id for run in find_runs(served.runs)}
    page.locator("#preflight").click()
    until(page, lambda: len(find_runs(served.runs)) > len(before))
    [run] = [run for run in find_runs(served.runs) if run.id not in before]
    try:
        expect(page.locator("#run-progress h2")).to_have_text("zorb-preflight")
        expect(page.locator(f'tr[data-run="{run.id}"] .tag')).to_have_text("preflight")
        assert run.read_state().kind == "preflight"
        expect(page.locator("#run-stop")).to_be_visible()
        expect(page.locator("#run-pause")).to_be_hidden()
    finally:
        jobs.kill(run)
