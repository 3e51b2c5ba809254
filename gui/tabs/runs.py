"""The Runs tab: all runs, and one of them live. One timer looks for news each second; what has not changed is not sent,
so nothing flickers, jumps or loses its place. All it knows comes from the run folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context as Building

from gui import card, jobs, panels
from gui.context import Context
from gui.watch import Watcher, console_tail, pending
from trainer.contract import checkpoints
from trainer.contract.problems import Problems
from trainer.contract.rundir import Request, RunDir, RunState
from trainer.report import bars, charts, figures
from trainer.report.view import RunView

CSS = charts.CSS + figures.CSS + bars.CSS + (Path(__file__).with_suffix(".css")).read_text(encoding="utf-8")

PARTS = ("list", "progress", "ending", "warnings", "curves", "time", "samples", "console")
"""The pieces of the view, in the order of the page."""

_PICK = """
const rowOf = event => event.target.closest('tr[data-run]');
let held = '';
element.addEventListener('click', event => { if (rowOf(event)) trigger('click', {run: rowOf(event).dataset.run}); });
element.addEventListener('focusin', event => { held = rowOf(event)?.dataset.run ?? ''; });
element.addEventListener('focusout', event => { if (event.relatedTarget) held = ''; });
document.addEventListener('pointerdown', () => { held = ''; });
new MutationObserver(() => {
  if (!held || document.activeElement !== document.body) return;
  element.querySelector(`tr[data-run="${CSS.escape(held)}"] .pick`)?.focus({preventScroll: true});
}).observe(element, {childList: true, subtree: true});
"""
"""A click chooses a run. The list is drawn anew each second while something runs: the keyboard's place is kept."""

_FOLD = """
const open = new Set(), shut = new Set();
element.addEventListener('toggle', event => {
  const key = event.target.dataset?.fold;
  if (!key) return;
  (event.target.open ? open : shut).add(key);
  (event.target.open ? shut : open).delete(key);
}, true);
new MutationObserver(() => {
  for (const part of element.querySelectorAll('details[data-fold]')) {
    const key = part.dataset.fold;
    if (open.has(key) && !part.open) part.open = true;
    if (shut.has(key) && part.open) part.open = false;
  }
}).observe(element, {childList: true, subtree: true});
"""
"""What the reader has opened or closed stays so when the area is drawn anew."""

_COPY = """
element.addEventListener('click', async event => {
  const button = event.target.closest('button.copy');
  if (!button) return;
  const text = button.dataset.copy;
  try { await navigator.clipboard.writeText(text); }
  catch { const box = document.createElement('textarea'); box.value = text; document.body.append(box);
          box.select(); document.execCommand('copy'); box.remove(); }
  button.textContent = 'copied';
  setTimeout(() => { button.textContent = 'copy'; }, 1500);
});
"""

_FOLLOW = """
const box = element.closest('#run-console');
let follows = true;
box.addEventListener('scroll', () => { follows = box.scrollHeight - box.scrollTop - box.clientHeight < 24; });
new ResizeObserver(() => { if (follows) box.scrollTop = box.scrollHeight; }).observe(element);
"""
"""Keeps the log's end in sight, from when its tab is opened, until the reader scrolls back."""

_watchers: dict[Path, Watcher] = {}


def watcher(runs: Path) -> Watcher:
    """The watcher of a runs folder: one for all sessions."""
    return _watchers.setdefault(Path(runs).resolve(), Watcher(Path(runs).resolve()))


@dataclass(frozen=True)
class RunsTab:
    """What other tabs use: put a run's id into `chosen` to show it; "" shows the newest that runs."""

    chosen: gr.State


@dataclass(frozen=True)
class _Controls:
    row: gr.Row
    stop: gr.Button
    save: gr.Button
    sample: gr.Button
    end: gr.Button
    resume: gr.Button


def build(context: Context) -> RunsTab:
    """Put the tab's components into the page that is being built, and start its clock."""
    watching = watcher(context.runs)
    chosen, sent = gr.State(""), gr.State({})
    areas: dict[str, Any] = {}
    with gr.Row(elem_classes="runs-page"):
        with gr.Column(scale=4, min_width=280, elem_classes="runs-side"):
            areas["list"] = _area("runs-list", _PICK)
        with gr.Column(scale=8, min_width=320):
            areas["progress"] = _area("run-progress")
            controls = _controls()
            areas["ending"], areas["warnings"] = _area("run-ending", _COPY), _area("run-warnings", _FOLD)
            log = gr.Checkbox(False, label="Logarithmic loss axis", elem_id="run-log", container=False)
            areas["curves"], areas["time"] = _area("run-curves", _FOLD), _area("run-time")
            areas["samples"] = _area("run-samples", _FOLD + _COPY)
            areas["console"] = _area("run-console", _FOLLOW)

    def look(run_id: str, logarithmic: bool, known: dict[str, Any]) -> list[Any]:
        return _news(watching, run_id, logarithmic, known)

    def pick(event: gr.EventData, logarithmic: bool, known: dict[str, Any]) -> list[Any]:
        run_id = str(event._data.get("run", ""))
        return [run_id, *look(run_id, logarithmic, known)]

    outputs = [*(areas[name] for name in PARTS), controls.row, controls.end, controls.resume, sent]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
    inputs = [chosen, log, sent]
    page = Building.root_block
    if page is not None:
        page.load(look, inputs, outputs, **quiet)
    gr.Timer(1.0).tick(look, inputs, outputs, trigger_mode="once", **quiet)
    log.input(look, inputs, outputs, trigger_mode="always_last", **quiet)
    chosen.change(look, inputs, outputs, **quiet)
    areas["list"].click(pick, [log, sent], [chosen, *outputs], **quiet)
    asked: tuple[tuple[gr.Button, Request], ...] = (
        (controls.stop, "stop"),
        (controls.save, "save"),
        (controls.sample, "sample"),
    )
    for button, what in asked:
        button.click(_asker(watching, what), inputs, outputs, **quiet)
    controls.end.click(_ender(watching), inputs, outputs, **quiet)
    controls.resume.click(_resumer(watching), inputs, outputs, **quiet)
    return RunsTab(chosen)


def _area(name: str, script: str | None = None) -> gr.HTML:
    return gr.HTML(elem_id=name, js_on_load=script, apply_default_css=False, elem_classes="area")


def _controls() -> _Controls:
    with gr.Row(visible=False, elem_id="run-controls") as row:
        stop = gr.Button("Stop", variant="stop", size="sm", scale=0, elem_id="run-stop")
        save = gr.Button("Save now", size="sm", scale=0, elem_id="run-save")
        sample = gr.Button("Sample now", size="sm", scale=0, elem_id="run-sample")
        end = gr.Button(
            "End at once, lose the step in hand", variant="stop", size="sm", visible=False, elem_id="run-end"
        )
    resume = gr.Button("Continue", variant="primary", size="sm", visible=False, elem_id="run-resume")
    return _Controls(row, stop, save, sample, end, resume)


def _news(watching: Watcher, run_id: str, log: bool, known: dict[str, Any]) -> list[Any]:
    """What is new for one session since it was last told; `known` is what it was told."""
    told, answers = dict(known), []
    rows = watching.rows()
    run = watching.run(run_id) or watching.run(watching.first_choice(rows))
    seconds = next((row.seconds for row in rows if run and row.id == run.id), 0.0)
    with watching.lock:
        texts = {"list": panels.run_list(rows, run.id if run else ""), **_run_parts(watching, run, log, seconds)}
    for name in PARTS:
        text = texts.get(name, "")
        answers.append(gr.skip() if told.get(name, "") == hash(text) else text)
        told[name] = hash(text)
    alive, stopping = _alive(watching, run)
    for name, shown in (("controls", alive), ("end", stopping)):
        answers.append(gr.skip() if told.get(name) == shown else gr.update(visible=shown))
        told[name] = shown
    label = _resume_label(watching, run)
    same = told.get("resume", "") == label
    answers.append(gr.skip() if same else gr.update(value=label or "Continue", visible=bool(label)))
    told["resume"] = label
    return [*answers, told if told != known else gr.skip()]


def _alive(watching: Watcher, run: RunDir | None) -> tuple[bool, bool]:
    """Whether the run takes requests, and whether it has been asked to stop."""
    state = watching.state(run) if run else None
    alive = state is not None and state.state in ("starting", "running")
    return alive, alive and run is not None and "stop" in pending(run)


def _resume_label(watching: Watcher, run: RunDir | None) -> str:
    """What the button says that goes on with a run; "" for one that is at work, done or not to be read."""
    state = watching.state(run) if run else None
    if run is None or state is None or state.state not in ("interrupted", "stopped", "paused", "failed"):
        return ""
    found = checkpoints.newest(run)
    return f"Continue from step {found.step}" if found else "Start again from step 0: no state was saved"


def _run_parts(watching: Watcher, run: RunDir | None, log: bool, seconds: float) -> dict[str, str]:
    state = watching.state(run) if run else None
    if run is None or state is None:
        return {}
    view, lines = watching.view(run), console_tail(run.console)
    return {
        "progress": panels.progress(state, view, pending(run), seconds),
        "ending": card.ending(run, state, view, lines),
        "warnings": card.warnings(view),
        "curves": _curves(state, view, log),
        "time": panels.time_split(run, view),
        "samples": panels.samples(run, view),
        "console": panels.console(lines),
    }


def _curves(state: RunState, view: RunView, log: bool) -> str:
    """No empty chart under a run that ended before its first step."""
    over = state.state not in ("starting", "running")
    return "" if over and not view.steps else panels.curves(view, log)


def _asker(watching: Watcher, what: Request) -> Callable[..., list[Any]]:
    def ask(run_id: str, log: bool, known: dict[str, Any]) -> list[Any]:
        run = watching.run(run_id) or watching.run(watching.first_choice())
        if run is not None and _alive(watching, run)[0]:
            run.request(what)
        return _news(watching, run_id, log, known)

    return ask


def _ender(watching: Watcher) -> Callable[..., list[Any]]:
    def end(run_id: str, log: bool, known: dict[str, Any]) -> list[Any]:
        run = watching.run(run_id) or watching.run(watching.first_choice())
        if run is not None and _alive(watching, run)[0]:
            jobs.kill(run)
        return _news(watching, run_id, log, known)

    return end


def _resumer(watching: Watcher) -> Callable[..., list[Any]]:
    def resume(run_id: str, log: bool, known: dict[str, Any]) -> list[Any]:
        run = watching.run(run_id) or watching.run(watching.first_choice())
        if _resume_label(watching, run) and run is not None:
            try:
                jobs.resume(run)
            except Problems as problems:
                raise gr.Error(str(problems)) from None
        return _news(watching, run_id, log, known)

    return resume
