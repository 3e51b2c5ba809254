"""The Runs tab, live, in a real browser, on runs that a fake trainer writes: the page must not know the difference."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from safetensors.numpy import save_file
from served import Served

from trainer.contract import checkpoints
from trainer.contract.events import Resumed, read
from trainer.contract.rundir import RunDir
from trainer.report.preflight import JSON_FILE, Chart, Curve, Preflight, Rung, dumps

pytestmark = pytest.mark.browser
FAKE = Path(__file__).with_name("fake_trainer.py")
Start = Callable[..., RunDir]
BOX = "document.querySelector('#run-console')"


@pytest.fixture
def start(served: Served) -> Iterator[Start]:
    """Starts fake trainers beside the page, as a headless run would be; what still runs at the end is ended."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(name: str, *options: str) -> RunDir:
        run = RunDir.create(served.runs, name)
        run.preset.write_text('format = 1\n[captions]\ntrigger = "ringbadge"\n', encoding="utf-8")
        with open(run.console, "wb") as log:
            argv = [sys.executable, str(FAKE), str(run.path), *options]
            begun.append(subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT))
        return run

    yield begin
    for process in begun:
        process.kill()
        process.wait()


def open_runs(page: Page, served: Served) -> None:
    page.goto(served.url)
    page.get_by_role("tab", name="Runs").click()


def choose(page: Page, run: RunDir) -> None:
    page.locator(f'tr[data-run="{run.id}"]').click()
    expect(page.locator("#run-progress h2")).to_have_text(run.read_state().name)


def section(page: Page, name: str) -> None:
    """Open a part of the run's page."""
    page.locator("#run-sections button", has_text=name).click()


def step(page: Page) -> int:
    found = re.search(r"step (\d+) of", page.locator("#run-progress .under").inner_text())
    return int(found[1]) if found else 0


def reached(page: Page, number: int) -> None:
    said = "document.querySelector('#run-progress .under')?.innerText.match(/step (\\d+)/)"
    script = f"() => Number(({said} || [])[1]) >= {number}"
    page.wait_for_function(script, timeout=20_000)


def test_a_run_is_shown_live(page: Page, served: Served, start: Start) -> None:
    run = start("live", "--steps", "2000")
    open_runs(page, served)
    reached(page, 5)
    first = step(page)
    reached(page, first + 20)
    under = page.locator("#run-progress .under").inner_text()
    assert "of 2000" in under and "left" in under
    figures = page.locator("#run-progress .figures").inner_text()
    assert "it/s" in figures and "LR, U-Net" in figures and "fake device" in figures
    expect(page.locator("#run-progress .state")).to_have_text("running")
    for number, kind in ((0, "line"), (0, "faint"), (1, "line")):
        route = (
            page.locator("#run-curves figure").nth(number).locator(f".plot path.{kind}").first.get_attribute("d") or ""
        )
        assert route.count("L") > 10
    expect(page.locator("#run-console")).to_contain_text("step 20/2000")
    expect(page.locator("#run-time .stack i")).to_have_count(2)
    expect(page.locator("#run-time .verdict")).to_contain_text("60 % of the time waits for data")
    row = page.locator(f'tr[data-run="{run.id}"]')
    expect(row).to_contain_text(re.compile(r"\d+ / 2000"))


def test_samples_come_and_stay_in_place(page: Page, served: Served, start: Start) -> None:
    """New samples appear; the pictures that are there are never taken out and put in again, and nothing jumps."""
    start("samples", "--steps", "2000", "--pause", "0.08")
    open_runs(page, served)
    rounds = page.locator("#run-samples .round")
    expect(rounds).to_have_count(1, timeout=20_000)
    section(page, "Samples")
    picture = page.locator("#run-samples img").first
    expect(picture).to_have_js_property("naturalWidth", 96)
    page.mouse.wheel(0, 400)
    page.wait_for_timeout(300)
    place = page.evaluate("window.scrollY")
    page.evaluate("document.querySelector('#run-samples [data-key=round-0] img').mine = '1'")
    before = step(page)
    reached(page, before + 15)
    assert page.evaluate("document.querySelector('#run-samples [data-key=round-0] img').mine") == "1"
    assert page.evaluate("window.scrollY") == place
    expect(rounds).to_have_count(2, timeout=20_000)
    assert page.evaluate("document.querySelector('#run-samples [data-key=round-0] img').mine") == "1"
    expect(rounds.first).to_contain_text("step 100")
    expect(rounds.last).to_contain_text("before training")
    expect(rounds.last).to_contain_text("a ring badge on a table")
    assert page.evaluate("window.scrollY") == place


def test_stop_saves_and_ends_in_the_card(page: Page, served: Served, start: Start) -> None:
    run = start("to stop", "--steps", "5000")
    open_runs(page, served)
    reached(page, 10)
    page.locator("#run-stop").click()
    card = page.locator("#run-ending .card")
    expect(card).to_contain_text("Stopped by you", timeout=15_000)
    expect(card).to_contain_text("badge.safetensors")
    expect(page.locator("#run-controls")).to_be_hidden()
    state = run.read_state()
    assert (state.state, state.exit_code) == ("stopped", 130) and state.step < 5000


def test_a_run_that_does_not_stop_can_be_ended(page: Page, served: Served, start: Start) -> None:
    """One step takes minutes: after Stop the harder way is offered, and it leaves an interrupted run."""
    run = start("stuck", "--pause", "300")
    open_runs(page, served)
    expect(page.locator("#run-progress .state")).to_have_text("running", timeout=15_000)
    expect(page.locator("#run-end")).to_be_hidden()
    page.locator("#run-stop").click()
    expect(page.locator("#run-progress")).to_contain_text("stopping after the step in hand")
    page.locator("#run-end").click()
    expect(page.locator("#run-progress .state")).to_have_text("interrupted", timeout=15_000)
    assert not run.process_runs()


def test_save_now_and_sample_now(page: Page, served: Served, start: Start) -> None:
    run = start("asked", "--steps", "5000", "--pause", "0.1")
    open_runs(page, served)
    reached(page, 3)
    page.locator("#run-sample").click()
    expect(page.locator("#run-samples .round")).to_have_count(2, timeout=15_000)
    page.locator("#run-save").click()
    page.wait_for_timeout(1500)
    assert list(run.path.glob("badge-step*.safetensors"))


def test_a_finished_run_ends_in_a_card(page: Page, served: Served, start: Start) -> None:
    run = start("finished", "--steps", "60", "--pause", "0.01")
    open_runs(page, served)
    card = page.locator("#run-ending .card")
    expect(card).to_contain_text("Done after 60 steps", timeout=20_000)
    file = run.path / "badge.safetensors"
    text = card.inner_text()
    assert str(file) in text and "1.2 MB" in text and "ringbadge" in text and "0.6 to 0.8" in text
    expect(card.locator(".pair")).to_have_count(2)
    pair = card.locator(".pair").first
    expect(pair).to_contain_text("same seed 42")
    expect(pair).to_contain_text("before")
    expect(pair).to_contain_text("after, step 60")
    expect(pair.locator("img").last).to_have_js_property("naturalWidth", 96)
    with page.expect_download() as download:
        card.get_by_text("Download the LoRA").click()
    assert Path(download.value.path()).read_bytes() == file.read_bytes()
    assert download.value.suggested_filename == "badge.safetensors"


def test_the_path_is_copied(page: Page, served: Served, start: Start) -> None:
    run = start("copied", "--steps", "5", "--pause", "0.01")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=served.url.rstrip("/"))
    open_runs(page, served)
    path = str(run.path / "badge.safetensors")
    button = page.locator(f'#run-ending button.copy[data-copy="{path}"]')
    button.click(timeout=20_000)
    expect(button).to_have_text("copied")
    assert page.evaluate("navigator.clipboard.readText()") == path


def test_a_failed_run_says_why(page: Page, served: Served, start: Start) -> None:
    start("failing", "--steps", "100", "--pause", "0.01", "--fail-at", "8")
    open_runs(page, served)
    card = page.locator("#run-ending .card.bad")
    expect(card).to_contain_text("Failed: out of memory on purpose", timeout=20_000)
    expect(card).to_contain_text("memory.gradient_checkpointing: off")
    expect(card).to_contain_text("RuntimeError: out of memory on purpose")
    expect(page.locator("#run-progress .state")).to_have_text("failed")


@pytest.mark.skipif(os.name == "nt", reason="kills by a POSIX signal")
def test_a_killed_run_is_interrupted(page: Page, served: Served, start: Start) -> None:
    run = start("killed", "--steps", "5000")
    open_runs(page, served)
    reached(page, 5)
    os.kill(run.read_state().pid, signal.SIGKILL)
    expect(page.locator("#run-progress .state")).to_have_text("interrupted", timeout=15_000)
    expect(page.locator("#run-ending .card.bad")).to_contain_text("its process is gone")


def test_a_reload_finds_the_running_run(page: Page, served: Served, start: Start) -> None:
    running = start("still running", "--steps", "5000")
    start("newer but over", "--steps", "3", "--pause", "0.01")
    open_runs(page, served)
    reached(page, 5)
    expect(page.locator("#run-progress h2")).to_have_text(running.read_state().name)
    page.reload()
    page.get_by_role("tab", name="Runs").click()
    reached(page, 10)
    expect(page.locator("#run-progress h2")).to_have_text(running.read_state().name)
    assert running.current_state().state == "running", "a reload changes nothing for the run"


def test_two_sessions_choose_for_themselves(page: Page, served: Served, start: Start) -> None:
    one, two = start("first run", "--steps", "5000"), start("second run", "--steps", "5000")
    other = page.context.new_page()
    for session in (page, other):
        open_runs(session, served)
    choose(page, one)
    choose(other, two)
    page.wait_for_timeout(2500)
    expect(page.locator("#run-progress h2")).to_have_text(one.read_state().name)
    expect(other.locator("#run-progress h2")).to_have_text(two.read_state().name)
    expect(page.locator("tr.chosen")).to_have_attribute("data-run", one.id)


def test_a_run_is_chosen_from_the_keyboard(page: Page, served: Served, start: Start) -> None:
    run = start("by keyboard", "--steps", "3", "--pause", "0.01")
    open_runs(page, served)
    page.locator(f'tr[data-run="{run.id}"] .pick').focus()
    page.keyboard.press("Enter")
    expect(page.locator(f'tr[data-run="{run.id}"]')).to_have_class("chosen")


def test_the_keyboard_keeps_its_place_while_the_list_changes(page: Page, served: Served, start: Start) -> None:
    run = start("place", "--steps", "5000")
    open_runs(page, served)
    reached(page, 3)
    page.locator(f'tr[data-run="{run.id}"] .pick').focus()
    page.evaluate("document.activeElement.dataset.old = '1'")
    reached(page, step(page) + 40)
    assert page.evaluate("document.activeElement.dataset.old") == "1", "the row stays, only its figures change"
    assert page.evaluate("document.activeElement.closest('tr')?.dataset.run") == run.id


def test_the_log_holds_its_end_and_lets_one_read_back(page: Page, served: Served, start: Start) -> None:
    start("log", "--steps", "5000", "--pause", "0.005")
    open_runs(page, served)
    reached(page, 400)
    section(page, "Log")
    page.locator("#run-console").scroll_into_view_if_needed()
    page.wait_for_timeout(2500)
    assert page.evaluate(f"{BOX}.scrollHeight") > 400
    assert page.evaluate(f"{BOX}.scrollHeight - {BOX}.scrollTop - {BOX}.clientHeight") <= 2
    page.evaluate(f"{BOX}.scrollTop = 30")
    page.wait_for_timeout(2500)
    assert page.evaluate(f"{BOX}.scrollTop") == 30


def test_log_axis(page: Page, served: Served, start: Start) -> None:
    start("log axis", "--steps", "80", "--pause", "0.01")
    open_runs(page, served)
    expect(page.locator("#run-ending .card")).to_contain_text("Done", timeout=20_000)
    line = page.locator("#run-curves figure").first.locator(".plot path.line").first
    linear = line.get_attribute("d")
    page.locator("#run-log input").check()
    expect(line).not_to_have_attribute("d", linear or "")


def test_the_chart_reads_out_its_values(page: Page, served: Served, start: Start) -> None:
    start("read out", "--steps", "80", "--pause", "0.01")
    open_runs(page, served)
    expect(page.locator("#run-ending .card")).to_contain_text("Done", timeout=20_000)
    plot = page.locator("#run-curves .plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(plot.locator(".at:hover span")).to_contain_text(re.compile(r"step \d+\s+smoothed 0\.\d+"))


def test_a_run_that_ended_too_soon_is_offered_to_go_on(page: Page, served: Served, start: Start) -> None:
    """A killed one from its newest state, or from the beginning; not one that runs or is done."""
    done, killed = start("done", "--steps", "3"), start("killed", "--steps", "5000")
    open_runs(page, served)
    choose(page, killed)
    reached(page, 2)
    button = page.locator("#run-resume")
    expect(button).to_be_hidden()
    os.kill(killed.read_state().pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    expect(button).to_have_text("Start again from step 0: no state was saved", timeout=15_000)
    choose(page, done)
    expect(page.locator("#run-progress .state")).to_have_text("done", timeout=15_000)
    expect(button).to_be_hidden()
    killed.checkpoints.mkdir()
    facts = {"format": 1, "step": 2, "events_bytes": killed.events_bytes()}
    save_file({"x": np.zeros(2)}, checkpoints.path_of(killed, 2), {checkpoints.FACTS: json.dumps(facts)})
    choose(page, killed)
    expect(button).to_have_text("Continue from step 2")
    button.click()
    expect(page.locator("#run-progress .state")).to_have_text("failed", timeout=90_000)  # its preset names no model
    assert killed.read_state().exit_code == 2
    events = read(killed.events)
    assert [event.step for event in events if isinstance(event, Resumed)] == [2]
    expect(page.locator("#run-ending h3")).to_have_text(re.compile("^Failed"))
    expect(button).to_have_text("Continue from step 2")


def test_a_report_opens_from_the_card_and_runs_nothing(page: Page, served: Served, start: Start) -> None:
    """Also one that a stranger has put there: its script must not run in the page's origin, nor anywhere."""
    run = start("with a report", "--steps", "60", "--pause", "0.005")
    open_runs(page, served)
    choose(page, run)
    card = page.locator("#run-ending .card")
    expect(card).to_contain_text("Done after 60 steps", timeout=20_000)
    with page.expect_popup() as opened:
        card.get_by_role("link", name="Open the report").click()
    report = opened.value
    expect(report.locator("h1")).to_have_text("badge")
    expect(report.locator("#before-after img").first).to_have_js_property("naturalWidth", 96)
    assert report.locator("#curves svg").count() >= 3 and report.evaluate("self.origin") == "null"
    hostile = "<h1>x</h1><script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\">"
    run.report.write_text(hostile, encoding="utf-8")
    report.reload()
    expect(report.locator("h1")).to_have_text("x")
    report.wait_for_timeout(300)
    assert report.title() != "ran"
    report.close()
    section(page, "Samples")
    page.locator("#run-samples .picture a").first.click()
    with page.expect_popup() as opened:
        page.locator("dialog.beside a").click()
    expect(opened.value.locator("img")).to_have_js_property("naturalWidth", 96)


def test_what_draws_a_picture_stays_open_and_is_copied(page: Page, served: Served, start: Start) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    run = start("recipes", "--steps", "2000", "--pause", "0.02")
    open_runs(page, served)
    choose(page, run)
    section(page, "Samples")
    fold = page.locator("#run-samples .round").last.locator("details[data-fold]").first
    fold.locator("summary").click()
    expect(fold).to_contain_text("CFG scale")
    section(page, "Overview")
    curves = page.locator("#run-curves details[data-fold=curves-norms]")
    curves.locator("summary").click()
    before = step(page)
    reached(page, before + 60)
    expect(curves).to_have_attribute("open", "")
    section(page, "Samples")
    fold.locator("button.copy").click()
    said = page.evaluate("navigator.clipboard.readText()")
    assert said.splitlines()[-1].startswith("Steps: 20, Sampler: DDIM, CFG scale: 4, Seed: 42")


def test_a_preflight_shows_its_report_and_nothing_of_a_training(page: Page, served: Served) -> None:
    run = RunDir.create(served.runs, "ladder")
    run.update_state(kind="preflight", state="done", exit_code=4)
    chart = Chart("Range test", "learning rate", [Curve("loss", [(1e-5, 1.0), (1e-3, 0.5)])], log_x=True)
    rungs = [
        Rung(1, "One image", "green", "The adapter learns one image by heart.", charts=[chart]),
        Rung(3, "Base model", "red", "<b>Wrong</b> type.", link="prediction type", fixes=["set model.prediction"]),
    ]
    report = Preflight(run.id, "My preset", "CPU", 1.0, 61.0, rungs)
    (run.path / JSON_FILE).write_text(dumps(report), encoding="utf-8")
    open_runs(page, served)
    choose(page, run)
    shown = page.locator("#run-preflight")
    for words in ("Do not start yet", "One image", "by heart", "<b>Wrong</b> type.", "set model.prediction"):
        expect(shown).to_contain_text(words)
    expect(shown.locator("svg").first).to_be_visible()
    expect(page.locator(f'tr[data-run="{run.id}"] .tag')).to_have_text("preflight")
    expect(page.locator("#run-progress")).not_to_contain_text("not begun")
    for part in ("#run-log", "#run-curves .chart", "#run-pause", "#run-resume", "#run-sample"):
        expect(page.locator(part)).to_be_hidden()
