"""The Compare tab: runs are ticked in a list; their curves, figures, settings and pictures stand beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import gradio as gr
from gradio.context import Context as Building

from gui import news
from gui.runs import compare
from gui.runs.panels import when
from gui.runs.watch import Row, Watcher, watcher
from gui.shared import LATEST, QUIET, SAYS, Shared
from gui.text import paragraph
from gui.turns import Turns
from trainer.report.words import escape

_AREA = "window.loratory.area(element, props, trigger, watch);"
_PICK = _AREA + "window.loratory.comparePick(element, trigger);"
PARTS = ("curves", "figures", "settings", "samples")
_HEADS = {"figures": "What they came to", "settings": "Settings that differ", "samples": "Samples"}
NONE = "Tick two or more runs to lay them over each other."


def build(shared: Shared) -> None:
    """Lay the tab out and wire it."""
    watching = watcher(shared.context.runs)
    picked, sent, turns = gr.State([]), gr.State({}), gr.State(Turns())
    with gr.Row(elem_classes="runs-page", elem_id="compare-tab"):
        with gr.Column(scale=3, min_width=240):
            runs = _area("compare-runs", _PICK)
        with gr.Column(scale=9, min_width=320):
            with gr.Row(elem_id="compare-how"):
                across = gr.Radio(
                    list(get_args(compare.Across)), value="step", label="Across", elem_id="compare-across", scale=0
                )
                log = gr.Checkbox(False, label="Logarithmic loss axis", elem_id="compare-log", container=False, scale=0)
                step = gr.Textbox(label="Samples of step", placeholder="the last", elem_id="compare-step", scale=0)
            areas = {name: _area(f"compare-{name}") for name in PARTS}

    def look(ids: list[str], across: str, log: bool, step: str, newest: Turns, known: dict[str, Any]) -> list[Any]:
        before = newest.now()
        rows = watching.rows()
        texts = {"runs": _list(rows), **_parts(watching, rows, ids, across, log, step)}
        told = {name: hash(text) for name, text in texts.items()}
        answers = [gr.skip() if known.get(name) == told[name] else text for name, text in texts.items()]
        answer = [*answers, *news.told({**known, **told}, known)]
        return answer if newest.now() == before else [gr.skip()] * len(answer)  # others were ticked meanwhile

    def pick(event: gr.EventData, across: str, log: bool, step: str, newest: Turns, known: Any) -> list[Any]:
        ids = [str(id) for id in event._data.get("runs", [])][: compare.MOST]
        newest.take(event._data)
        answer = look(ids, across, log, step, newest, known)
        return [ids if newest.holds(event._data) else gr.skip(), *answer]

    number = news.number()
    outputs = [runs, *areas.values(), number, sent]
    how = [across, log, step, turns, sent]
    runs.click(pick, how, [picked, *outputs], **SAYS)
    news.wire(number, look, [picked, *how], outputs)
    for box in (across, log, step):
        box.input(look, [picked, *how], outputs, **LATEST)
    if (page := Building.root_block) is not None:
        page.load(look, [picked, *how], outputs, **QUIET)
    gr.Timer(3.0).tick(look, [picked, *how], outputs, trigger_mode="once", **QUIET)


def _area(name: str, script: str = _AREA) -> gr.HTML:
    return gr.HTML("", html_template="", elem_id=name, js_on_load=script, apply_default_css=False, elem_classes="area")


def _list(rows: Sequence[Row]) -> str:
    """Trainings to tick; which of them are ticked and shown is the browser's business."""
    listed = [row for row in rows if row.state.kind == "training"]
    if not listed:
        return paragraph("No runs yet.")
    items = "".join(
        f'<li data-key="{escape(row.id)}"><label><input type="checkbox" value="{escape(row.id)}"> '
        f'<span translate="no">{escape(row.state.name or row.id)}</span>'
        f"<small>{escape(row.state.state)} · {when(row.state.created)}</small></label></li>"
        for row in listed
    )
    return f'<h2>Runs</h2><p class="quiet">Up to {compare.MOST}.</p><ul class="picks">{items}</ul>'


def _parts(
    watching: Watcher, rows: Sequence[Row], ids: Sequence[str], across: str, log: bool, step: str
) -> dict[str, str]:
    seconds = {row.id: row.seconds for row in rows}
    found = [(run, state) for id in ids if (run := watching.run(id)) and (state := watching.state(run))]
    if not found:
        return {**dict.fromkeys(PARTS, ""), "curves": paragraph(NONE)}
    with watching.lock:
        ones = [
            compare.One(run, state, watching.view(run), name, seconds.get(run.id, 0.0))
            for (run, state), name in zip(found, compare.names(found))
        ]
        at = int(step) if step.strip().isdecimal() else None
        drawn = {
            "curves": lambda: compare.curves(ones, across, log),  # type: ignore[arg-type]
            "figures": lambda: compare.figures(ones),
            "settings": lambda: compare.settings(ones),
            "samples": lambda: compare.samples(ones, at),
        }
        return {name: _headed(name, make) for name, make in drawn.items()}


def _headed(name: str, make: Any) -> str:
    """Each part by itself: what cannot be drawn of a stranger's run must not hide the rest."""
    try:
        body = str(make())
    except Exception as error:
        body = paragraph(f"This cannot be shown: {type(error).__name__}: {error}", "bad")
    return (f"<h2>{_HEADS[name]}</h2>" if name in _HEADS else "") + body
