"""The Runs tab: all runs, and one of them live. One timer looks for news each second; what has not changed is not sent,
so nothing flickers, jumps or loses its place. All it knows comes from the run folders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.context import Context as Building

from gui import card, panels
from gui.shared import QUIET, Shared
from gui.tabs import banner, queue, run_buttons
from gui.text import paragraph
from gui.watch import Watcher, console_tail, pending, watcher
from trainer.contract.rundir import RunDir, RunState
from trainer.report import bars, charts, figures, preflight, preflight_page
from trainer.report.view import RunView

CSS = charts.CSS + figures.CSS + bars.CSS + preflight_page.CSS
"""Of what the report draws too; the tab's own is web/runs.css."""

PARTS = ("banner", "list", "progress", "ending", "preflight", "warnings", "curves", "samples", "time", "console")
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


def build(shared: Shared) -> None:
    """Put the tab's components into the page that is being built, and start its clock. Put a run's id into
    `shared.chosen` to show it; over the tabs, runs are named that ended in the middle."""
    watching = watcher(shared.context.runs)
    chosen, sent = shared.chosen, gr.State({})
    areas: dict[str, Any] = {"banner": shared.ended}
    with gr.Row(elem_classes="runs-page"):
        with gr.Column(scale=4, min_width=280, elem_classes="runs-side"):
            queue.build(shared)
            areas["list"] = _area("runs-list", _PICK)
        with gr.Column(scale=8, min_width=320):
            areas["progress"] = _area("run-progress")
            controls = run_buttons.build()
            areas["preflight"] = _area("run-preflight", _FOLD)
            areas["ending"], areas["warnings"] = _area("run-ending", _COPY + _FOLD), _area("run-warnings", _FOLD)
            log = gr.Checkbox(False, label="Logarithmic loss axis", elem_id="run-log", container=False)
            areas["curves"], areas["samples"] = _area("run-curves", _FOLD), _area("run-samples", _FOLD + _COPY)
            areas["time"], areas["console"] = _area("run-time"), _area("run-console", _FOLLOW)

    def look(run_id: str, logarithmic: bool, known: dict[str, Any]) -> list[Any]:
        return _news(watching, run_id, logarithmic, known)

    def pick(event: gr.EventData, logarithmic: bool, known: dict[str, Any]) -> list[Any]:
        run_id = str(event._data.get("run", ""))
        return [run_id, *look(run_id, logarithmic, known)]

    def find(run_id: str) -> RunDir | None:
        return watching.run(run_id) or watching.run(watching.first_choice())

    outputs = [*(areas[name] for name in PARTS), *controls.outputs, sent]
    inputs = [chosen, log, sent]
    page = Building.root_block
    if page is not None:
        page.load(look, inputs, outputs, **QUIET)
    gr.Timer(1.0).tick(look, inputs, outputs, trigger_mode="once", **QUIET)
    log.input(look, inputs, outputs, trigger_mode="always_last", **QUIET)
    chosen.change(look, inputs, outputs, **QUIET)
    areas["list"].click(pick, [log, sent], [chosen, *outputs], **QUIET)
    run_buttons.wire(controls, find, look, inputs, outputs)


def _area(name: str, script: str | None = None) -> gr.HTML:
    return gr.HTML(elem_id=name, js_on_load=script, apply_default_css=False, elem_classes="area")


def _news(watching: Watcher, run_id: str, log: bool, known: dict[str, Any]) -> list[Any]:
    """What is new for one session since it was last told; `known` is what it was told."""
    told, answers = dict(known), []
    rows = watching.rows()
    run = watching.run(run_id) or watching.run(watching.first_choice(rows))
    seconds = next((row.seconds for row in rows if run and row.id == run.id), 0.0)
    with watching.lock:
        texts = {"banner": banner.text(watching.runs, rows)}
        texts |= {"list": panels.run_list(rows, run.id if run else ""), **_run_parts(watching, run, log, seconds)}
    for name in PARTS:
        text = texts.get(name, "")
        answers.append(gr.skip() if told.get(name, "") == hash(text) else text)
        told[name] = hash(text)
    answers += run_buttons.news(watching, run, told)
    return [*answers, told if told != known else gr.skip()]


def _run_parts(watching: Watcher, run: RunDir | None, log: bool, seconds: float) -> dict[str, str]:
    state = watching.state(run) if run else None
    if run is None or state is None:
        return {}
    view, lines = watching.view(run), console_tail(run.console)
    always: dict[str, Callable[[], str]] = {
        "progress": lambda: panels.progress(state, view, pending(run), seconds),
        "console": lambda: panels.console(lines),
    }
    if state.kind == "preflight":
        return {**_drawn(always), **_drawn({"preflight": lambda: _preflight(run, state, view, lines)})}
    others: dict[str, Callable[[], str]] = {
        "ending": lambda: card.ending(run, state, view, lines),
        "warnings": lambda: card.warnings(view),
        "curves": lambda: panels.curves(view, log) if view.steps or view.validations else "",
        "time": lambda: panels.time_split(run, view),
        "samples": lambda: panels.samples(run, view),
    }
    return _drawn({**always, **others})


def _drawn(parts: dict[str, Callable[[], str]]) -> dict[str, str]:
    """Each part by itself: a run folder may come from anybody, and what cannot be drawn must not hide the rest."""
    drawn = {}
    for name, make in parts.items():
        try:
            drawn[name] = make()
        except Exception as error:
            said = f"The run folder holds something that cannot be shown here: {type(error).__name__}: {error}"
            drawn[name] = paragraph(said, "bad")
    return drawn


def _preflight(run: RunDir, state: RunState, view: RunView, lines: list[str]) -> str:
    found = preflight.load(run.path)
    return preflight_page.render(found) if found else card.failure(run, state, view, lines)
