"""The Runs tab: all runs, and one of them live. One timer looks for news each second; what has not changed is not sent,
so nothing flickers, jumps or loses its place. All it knows comes from the run folders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.context import Context as Building

from gui import news
from gui.runs import ending, files, gallery, listing, panels, settings
from gui.runs.watch import Watcher, console_tail, pending, preflight_of, watcher
from gui.shared import LATEST, QUIET, SAYS, Shared
from gui.tabs import banner, queue, run_buttons, run_trash
from gui.text import paragraph
from gui.turns import Turns
from trainer.contract.rundir import RunDir
from trainer.report import bars, charts, figures, preflight_page
from trainer.report.figures import Look
from trainer.report.view import RunView, drawn_step

CSS = charts.CSS + figures.CSS + bars.CSS + preflight_page.CSS
"""Of what the report draws too; the tab's own is web/runs.css."""

PARTS = (
    "banner", "trash", "progress", "ending", "preflight", "warnings", "curves", "samples", "time", "console",
    "settings", "files",
)  # fmt: skip
"""The pieces of the view that are HTML, in the order of the page; the list of runs is sent by row."""

_AREA = "window.loratory.area(element, props, trigger, watch);"
_LIST = "window.loratory.runList(element, props, trigger, watch);"
_CURVES = _AREA + "window.loratory.zoom(element, trigger);"
_TRASH = _AREA + "window.loratory.trash(element, trigger);"

_FOLLOW = """
const box = element.closest('#run-console');
let follows = true;
box.addEventListener('scroll', () => { follows = box.scrollHeight - box.scrollTop - box.clientHeight < 24; });
new ResizeObserver(() => { if (follows) box.scrollTop = box.scrollHeight; }).observe(element);
"""
"""Keeps the log's end in sight, from when its tab is opened, until the reader scrolls back."""

_SECTIONS = "".join(
    f'<button type="button" data-section="{name.lower()}"{current}>{name}</button>'
    for name, current in (
        ("Overview", ' aria-current="true"'), ("Samples", ""), ("Log", ""), ("Settings", ""), ("Files", ""),
    )
)  # fmt: skip


def build(shared: Shared) -> None:
    """Put the tab's components into the page that is being built, and start its clock. Put a run's id into
    `shared.chosen` to show it; over the tabs, runs are named that ended in the middle."""
    watching = watcher(shared.context.runs)
    chosen, sent, window, turns = shared.chosen, gr.State({}), gr.State({}), gr.State(Turns())
    areas: dict[str, Any] = {"banner": shared.ended}
    with gr.Row(elem_classes="runs-page"):
        with gr.Column(scale=4, min_width=280, elem_classes="runs-side"):
            queue.build(shared)
            rows = _area("runs-list", _LIST)
            areas["trash"] = _area("runs-trash", _TRASH)
        with gr.Column(scale=8, min_width=320, elem_classes="run-page"):
            areas["progress"] = _area("run-progress")
            controls = run_buttons.build()
            sections = f'<nav aria-label="Parts of this run">{_SECTIONS}</nav>'
            gr.HTML(sections, elem_id="run-sections", apply_default_css=False, js_on_load=None)
            log, clip = _sections(areas)

    def look(
        run_id: str, log: bool, clip: bool, window: dict[str, Any], newest: Turns, known: dict[str, Any]
    ) -> list[Any]:
        before = newest.now()
        answer = _news(watching, run_id, (log, clip, window), known)
        return answer if newest.now() == before else [gr.skip()] * len(answer)  # another run was chosen meanwhile

    def pick(event: gr.EventData, log: bool, clip: bool, window: Any, newest: Turns, known: Any) -> list[Any]:
        how = (log, clip, window, newest)
        if event._data.get("again"):
            return [gr.skip(), *look(str(event._data.get("shown", "")), *how, listing.forget(known))]
        run_id = str(event._data.get("run", ""))
        newest.take(event._data, "run")
        answer = look(run_id, *how, known)
        return [run_id if newest.holds(event._data, "run") else gr.skip(), *answer]

    def zoom(event: gr.EventData, run_id: str, log: bool, clip: bool, newest: Turns, known: Any) -> list[Any]:
        run = _shown(watching, run_id, known)
        at = {"run": run.id, "at": _window(event._data)} if run else {}
        newest.take(event._data, "window")
        answer = look(run_id, log, clip, at, newest, known)
        return [at if newest.holds(event._data, "window") else gr.skip(), *answer]

    number = news.number()
    outputs = [rows, *(areas[name] for name in PARTS), *controls.outputs, number, sent]
    inputs = [chosen, log, clip, window, turns, sent]
    page = Building.root_block
    if page is not None:
        page.load(look, inputs, outputs, **QUIET)
    gr.Timer(1.0).tick(look, inputs, outputs, trigger_mode="once", **QUIET)
    news.wire(number, look, inputs, outputs)
    for box in (log, clip):
        box.input(look, inputs, outputs, **LATEST)
    chosen.change(look, inputs, outputs, **QUIET)
    rows.click(pick, inputs[1:], [chosen, *outputs], **SAYS)
    areas["curves"].click(zoom, [chosen, log, clip, turns, sent], [window, *outputs], **SAYS)
    run_trash.wire(areas["trash"], watching, look, inputs, outputs, chosen)
    run_buttons.wire(controls, lambda id, known: _shown(watching, id, known), look, inputs, outputs)
    run_buttons.wire_clone(controls, lambda id, known: _shown(watching, id, known), shared, sent)


def _sections(areas: dict[str, Any]) -> tuple[gr.Checkbox, gr.Checkbox]:
    """The areas of a run below its buttons; a script shows those of one section."""
    areas["preflight"] = _area("run-preflight")
    areas["ending"], areas["warnings"] = _area("run-ending"), _area("run-warnings")
    with gr.Row(elem_id="run-looks"):
        log = gr.Checkbox(False, label="Logarithmic loss axis", elem_id="run-log", container=False, min_width=150)
        clip = gr.Checkbox(True, label="Clip outliers", elem_id="run-clip", container=False, min_width=120)
    areas["curves"], areas["samples"] = _area("run-curves", _CURVES), _area("run-samples")
    areas["time"], areas["console"] = _area("run-time"), _area("run-console", _AREA + _FOLLOW)
    areas["settings"], areas["files"] = _area("run-settings"), _area("run-files")
    return log, clip


def _area(name: str, script: str = _AREA) -> gr.HTML:
    """A place whose content the page's script brings up to date, keeping all that stays: `html_template` is empty so
    that Gradio leaves it alone."""
    return gr.HTML("", html_template="", elem_id=name, js_on_load=script, apply_default_css=False, elem_classes="area")


def _window(data: dict[str, Any]) -> tuple[float, float] | None:
    """The steps that a browser asks for; None for all."""
    try:
        low, high = float(data["low"]), float(data["high"])
    except (KeyError, TypeError, ValueError):
        return None
    return (low, high) if 0 <= low < high < 1e12 else None


def _shown(watching: Watcher, run_id: str, known: dict[str, Any]) -> RunDir | None:
    """The run that a session looks at: its choice, else the first there is; none right after one was deleted."""
    run = watching.run(run_id)
    return run or (None if known.get("nothing") else watching.run(watching.first_choice()))


Looks = tuple[bool, bool, dict[str, Any]]
"""Logarithmic, clipped, and the window with the run that it belongs to."""


def _news(watching: Watcher, run_id: str, looks: Looks, known: dict[str, Any]) -> list[Any]:
    """What is new for one session since it was last told; `known` is what it was told."""
    told = dict(known)
    rows = watching.rows()
    run = _shown(watching, run_id, known)
    if run is not None:
        told.pop("nothing", None)
    log, clip, window = looks
    look = Look(log, window.get("at") if run and window.get("run") == run.id else None, clip)
    seconds = next((row.seconds for row in rows if run and row.id == run.id), 0.0)
    with watching.lock:
        texts = {"banner": banner.text(watching.runs, rows), "trash": run_trash.text(watching.runs)}
        texts |= _run_parts(watching, run, look, seconds) if run else _nothing(bool(rows))
    listed = listing.news(rows, run.id if run else "", told)
    answers: list[Any] = [gr.skip() if listed is None else listed]
    for name in PARTS:
        text = texts.get(name, "")
        answers.append(gr.skip() if told.get(name, "") == hash(text) else text)
        told[name] = hash(text)
    answers += run_buttons.news(watching, run, told)
    return [*answers, *news.told(told, known)]


def _nothing(any_runs: bool) -> dict[str, str]:
    return {"progress": paragraph("Choose a run from the list.")} if any_runs else {}


def _run_parts(watching: Watcher, run: RunDir, look: Look, seconds: float) -> dict[str, str]:
    state = watching.state(run)
    if state is None:
        return {}
    view, lines = watching.view(run), console_tail(run.console)
    parts: dict[str, Callable[[], str]] = {
        "progress": lambda: panels.progress(state, view, pending(run), seconds),
        "console": lambda: panels.console(lines) or paragraph("Nothing was printed yet."),
        "settings": lambda: settings.settings(run, state),
        "files": lambda: files.files(run, view),
    }
    if state.kind == "preflight":
        found = preflight_of(run)
        parts["preflight"] = lambda: preflight_page.render(found) if found else ending.failure(run, state, view, lines)
        return _drawn(parts)
    parts |= {
        "ending": lambda: ending.ending(run, state, view, lines),
        "warnings": lambda: ending.warnings(view),
        "curves": lambda: panels.curves(view, look) if view.steps or view.validations else "",
        "time": lambda: panels.time_split(run, view),
        "samples": lambda: _samples(run, view),
    }
    return _drawn(parts)


def _samples(run: RunDir, view: RunView) -> str:
    seen = len(view.samples), len(view.asked), tuple(drawn_step(event) for event in view.samples[-1:])
    return view.kept("gallery", seen, lambda: gallery.samples(run, view))


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
