"""The Runs and Compare tabs as a person uses them: filter, zoom, look at pictures, delete and undo, clone, compare."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_look import assert_accessible
from playwright.sync_api import Page, expect
from served import ROOT, Served, shot

from gui.runs.trash import FOLDER
from trainer.contract.events import Sampled, read
from trainer.contract.preset import dumps, load, with_values
from trainer.contract.rundir import RunDir

pytestmark = pytest.mark.browser
FAKE = Path(__file__).with_name("fake_trainer.py")
Start = Callable[..., tuple[RunDir, "subprocess.Popen[bytes]"]]


@pytest.fixture
def start(served: Served) -> Iterator[Start]:
    begun: list[subprocess.Popen[bytes]] = []

    def begin(name: str, *options: str, rank: int = 16) -> tuple[RunDir, subprocess.Popen[bytes]]:
        run = RunDir.create(served.runs, name)
        preset = with_values(load(ROOT / "presets" / "demo.toml"), {"network.rank": rank})
        run.preset.write_text(dumps(preset), encoding="utf-8")
        begun.append(_train(run, *options))
        return run, begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.wait()


def _train(run: RunDir, *options: str) -> subprocess.Popen[bytes]:
    with open(run.console, "wb") as log:
        return subprocess.Popen([sys.executable, str(FAKE), str(run.path), *options], stdout=log, stderr=log)


def open_tab(page: Page, served: Served, name: str) -> None:
    page.goto(served.url)
    page.get_by_role("tab", name=name).click()


def row(page: Page, run: RunDir) -> str:
    return f'tr[data-run="{run.id}"]'


def test_a_run_is_found_looked_into_thrown_away_and_cloned(page: Page, served: Served, start: Start) -> None:
    run, ended = start("finished one", "--steps", "300", "--pause", "0.002", rank=7)
    live, _ = start("still at work", "--steps", "5000", "--pause", "0.05")
    assert ended.wait(60) == 0
    task = RunDir.create(served.runs, "captions of a folder")
    task.update_state(kind="captioning", state="done")
    open_tab(page, served, "Runs")
    _filters(page, run, live, task)
    page.locator(row(page, run)).click()
    expect(page.locator("#run-ending .card")).to_contain_text("Done after 300 steps")
    _zooms(page)
    _pictures(page)
    page.locator("#run-sections button", has_text="Files").click()
    expect(page.locator("#run-files tr[data-key]")).to_contain_text(["badge.safetensors"])
    expect(page.locator("#run-files tr[data-key]").first).to_contain_text("1.2 MB")
    page.locator("#run-sections button", has_text="Settings").click()
    expect(page.locator("#run-settings table").first).to_contain_text("Network rank")
    _asks(page, live)
    _trash(page, served, run)
    page.locator(row(page, run)).click()
    page.locator("#run-clone").click()
    expect(page.locator("#f-network-rank input").first).to_have_value("7")
    expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")


def _filters(page: Page, run: RunDir, live: RunDir, task: RunDir) -> None:
    rows = page.locator("table.runs tr[data-run]")
    expect(rows).to_have_count(2)
    expect(page.locator(row(page, run)).locator("polyline")).to_have_attribute("points", r := _not_empty(page, run))
    assert r.count(",") > 4
    expect(page.locator(row(page, run))).to_contain_text("0.1003")
    page.locator("#runs-list").get_by_label("Kind").select_option("*")
    expect(page.locator(row(page, task))).to_be_visible()
    page.locator("#runs-list").get_by_label("Kind").select_option("")
    expect(rows).to_have_count(2)
    page.locator("#runs-list").get_by_label("Filter runs by name").fill("finished")
    expect(rows).to_have_count(1)
    page.locator("#runs-list").get_by_label("Filter runs by name").fill("")
    page.locator("#runs-list").get_by_label("State").select_option("running")
    expect(rows).to_have_count(1)
    expect(page.locator(row(page, live))).to_be_visible()
    page.locator("#runs-list").get_by_label("State").select_option("")
    page.locator("#runs-list").get_by_label("Order").select_option("name")
    expect(rows.first).to_have_attribute("data-run", run.id)
    page.locator("#runs-list").get_by_label("Order").select_option("0")
    expect(rows.first).to_have_attribute("data-run", live.id)


def _not_empty(page: Page, run: RunDir) -> str:
    line = page.locator(row(page, run)).locator("polyline")
    line.wait_for(state="attached", timeout=20_000)
    return line.get_attribute("points") or ""


def _zooms(page: Page) -> None:
    said, plot = page.locator(".zoom span"), page.locator("#run-curves .plot").first
    expect(said).to_contain_text("All steps")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 70, steps=3)
    page.mouse.up()
    expect(said).to_have_text("Steps 60 to 120")
    shot(page, "runs-zoomed")
    assert_accessible(page)
    page.get_by_label("Later steps").click()
    expect(said).to_have_text("Steps 90 to 150")
    plot.dblclick()
    expect(said).to_contain_text("All steps")


def _pictures(page: Page) -> None:
    page.locator("#run-sections button", has_text="Samples").click()
    expect(page.locator("#run-samples .round")).to_have_count(4)
    shot(page, "runs-samples")
    page.locator("#run-samples .round").first.locator("a").nth(1).click()
    dialog = page.locator("dialog.beside")
    expect(dialog).to_be_visible()
    expect(dialog.locator(".prompt")).to_have_text("a table")
    sources = [image.get_attribute("src") or "" for image in dialog.locator(".stage img").all()]
    assert "000000-1" in sources[0] and "000300-1" in sources[1]
    before = page.evaluate("getComputedStyle(document.querySelector('.beside .stage img + img')).clipPath")
    page.keyboard.press("Home")
    assert page.evaluate("getComputedStyle(document.querySelector('.beside .stage img + img')).clipPath") != before
    dialog.get_by_label("Left picture").select_option(label="step 200")
    assert "000200" in (dialog.locator(".stage img").first.get_attribute("src") or "")
    shot(page, "runs-two-pictures", whole=False)
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def _asks(page: Page, live: RunDir) -> None:
    page.locator(row(page, live)).click()
    page.locator("#run-prompt input, #run-prompt textarea").first.fill("a cat of my own")
    page.locator("#run-sample").click()
    page.locator("#run-sections button", has_text="Samples").click()
    expect(page.locator("#run-samples .asked figcaption")).to_contain_text("a cat of my own", timeout=15_000)
    [asked] = [event for event in read(live.events) if isinstance(event, Sampled) and event.asked]
    assert asked.prompts == ["a cat of my own"]
    expect(page.locator("#run-delete")).to_be_hidden()


def _trash(page: Page, served: Served, run: RunDir) -> None:
    page.locator(row(page, run)).click()
    page.locator("#run-delete").click()
    expect(page.locator(row(page, run))).to_have_count(0)
    expect(page.locator("#run-progress")).to_have_text("Choose a run from the list.")
    assert not run.path.exists() and (served.runs / FOLDER / run.id / "badge.safetensors").is_file()
    page.locator("#runs-trash").get_by_role("button", name="Undo").click()
    expect(page.locator(row(page, run))).to_be_visible()
    assert (run.path / "badge.safetensors").is_file()
    page.locator("#run-delete").click()
    page.locator("#runs-trash summary").click()
    page.on("dialog", lambda dialog: dialog.accept())
    other = served.runs / FOLDER / "an older one"
    shutil.copytree(served.runs / FOLDER / run.id, other)
    page.locator("#runs-trash").get_by_role("button", name="Undo").click()
    expect(page.locator(row(page, run))).to_be_visible()
    page.get_by_role("button", name="Empty the trash").click()
    expect(page.locator("#runs-trash")).not_to_contain_text("Trash")
    assert not other.exists() and run.path.is_dir()


def test_runs_are_compared(page: Page, served: Served, start: Start) -> None:
    runs = [start(f"rank {rank}", "--steps", str(100 * rank), "--pause", "0.001", rank=rank) for rank in (1, 2)]
    assert [process.wait(60) for _, process in runs] == [0, 0]
    open_tab(page, served, "Compare")
    page.get_by_label("Filter runs by name").last.fill("rank")
    for run, _ in runs:
        page.locator(f'.picks input[value="{run.id}"]').check(timeout=20_000)
    lines = page.locator("#compare-curves figure").first.locator(".plot path.line")
    expect(lines).to_have_count(2)
    assert lines.nth(0).get_attribute("stroke-dasharray") != lines.nth(1).get_attribute("stroke-dasharray")
    expect(page.locator("#compare-figures")).to_contain_text("0.1018 (step 200)")
    settings = page.locator("#compare-settings tr")
    expect(settings).to_have_count(2)
    expect(settings.last).to_contain_text("Network rank")
    shown = page.locator("#compare-samples img")
    expect(shown).to_have_count(4)
    assert ["000100" in (image.get_attribute("src") or "") for image in shown.all()] == [True, False, True, False]
    page.locator("#compare-step input, #compare-step textarea").first.fill("0")
    page.keyboard.press("End")
    page.keyboard.type(" ")
    expect(shown.first).to_have_attribute("src", _holds("000000-0"))
    before = lines.first.get_attribute("d") or ""
    page.locator("#compare-across label", has_text="time").click()
    expect(lines.first).not_to_have_attribute("d", before)
    shot(page, "compare")
    assert_accessible(page)
    page.locator("#compare-samples a").first.click()
    expect(page.locator("dialog.beside")).to_be_visible()


def _holds(part: str):  # type: ignore[no-untyped-def]
    import re

    return re.compile(re.escape(part))
