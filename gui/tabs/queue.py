"""The queue on the page: its card over the list of runs, and "Add to queue" beside Start."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.context import Context as Building

from gui import jobs, news, text
from gui.context import Context
from gui.form.session import Draft, prepare
from gui.queue import card, devices, times, waiting, worker
from gui.runs.watch import Watcher, watcher
from gui.shared import QUIET, SAYS, Shared
from gui.tabs import engine
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset

if TYPE_CHECKING:
    from gui.tabs.train import Train

LOOK_S = 2.0
"""Seconds between two looks at the queue's file."""

SAID_S = 10.0
"""How long the card says why a click could not be obeyed."""

AGAIN_S = 20.0
"""Seconds after which an open page starts a worker again that has died."""

_tried: dict[Path, float] = {}
"""Runs folder -> when a page last started a worker there."""


def keep_going(runs: Path) -> None:
    """Let an open page start a worker where one is needed, whichever tab is shown (what is within a tab does not tick
    before it is opened); and tell the script how many wait, for the mark on the Runs tab."""
    mark = gr.HTML(card.mark(runs), elem_id="queue-mark", elem_classes="no-show", js_on_load=None)

    def look(before: str) -> Any:
        _go_on(runs)
        now = card.mark(runs)
        return gr.skip() if now == before else now

    page = Building.root_block
    if page is not None:
        page.load(look, mark, mark, **QUIET)
    gr.Timer(LOOK_S).tick(look, mark, mark, trigger_mode="once", **QUIET)


def build(shared: Shared) -> None:
    """Put the card into the page that is being built, and start its clock."""
    runs, chosen = shared.context.runs, shared.chosen
    watching, sent = watcher(runs), gr.State({})
    area = gr.HTML(
        elem_id="queue",
        js_on_load="window.loratory.queue(element, trigger);",
        apply_default_css=False,
        elem_classes="area",
    )

    def look(known: dict[str, Any]) -> list[Any]:
        return _news(runs, watching, known, _go_on(runs))

    def act(event: gr.EventData, known: dict[str, Any]) -> list[Any]:
        show, wrong = "", ""
        try:
            show = _obey(runs, {key: str(event._data.get(key, "")) for key in ("what", "entry", "before")})
        except Problems as problems:
            wrong = "; ".join(problem.why for problem in problems.problems)
        return [show or gr.skip(), *_news(runs, watching, known, wrong)]

    number = news.number()
    outputs = [area, number, sent]
    page = Building.root_block
    if page is not None:
        page.load(look, sent, outputs, **QUIET)
    gr.Timer(LOOK_S).tick(look, sent, outputs, trigger_mode="once", **QUIET)
    area.click(act, sent, [chosen, *outputs], **SAYS)
    news.wire(number, look, [sent], outputs)


def _go_on(runs: Path) -> str:
    """Let a worker be there where one is needed; why there can be none."""
    if time.monotonic() - _tried.get(runs, -AGAIN_S) < AGAIN_S:
        return ""
    try:
        if worker.ensure(runs):
            _tried[runs] = time.monotonic()
    except Problems as problems:
        return str(problems)
    return ""


def _obey(runs: Path, said: dict[str, str]) -> str:
    """Do what was clicked; the id of a run to show, or "". Problems where it cannot be done (any more)."""
    what, id = said["what"], said["entry"]
    if what in ("show", "stop"):
        run = RunDir(runs / waiting.read(runs).find(id).run)
        if what == "stop":
            jobs.ask(run, "stop")
        return run.id
    if what == "place":
        waiting.change(runs, lambda queue: waiting.place(queue, id, said["before"]))
    elif what in waiting.EDITS:
        waiting.change(runs, lambda queue: waiting.EDITS[what](queue, id))
    worker.ensure(runs)
    return ""


def _news(runs: Path, watching: Watcher, known: dict[str, Any], wrong: str) -> list[Any]:
    """The card where it has changed since one session was last told; `known` is what it was told."""
    told, now = dict(known), time.time()
    if wrong:
        told["wrong"], told["until"] = wrong, now + SAID_S
    said = told.get("wrong", "") if now < told.get("until", 0.0) else ""
    shown = _card(runs, watching, said)
    changed = told.get("card") != hash(shown)
    told["card"] = hash(shown)
    return [shown if changed else gr.skip(), *news.told(told, known)]


def _card(runs: Path, watching: Watcher, wrong: str) -> str:
    try:
        queue = waiting.read(runs)
    except Problems as problems:
        return text.paragraph(str(problems), "bad")
    rows = watching.rows() if queue.entries else []
    left = times.lengths(runs, queue.of("waiting"))
    for entry in queue.of("running"):
        run = watching.run(entry.run)
        seconds = watching.view(run).eta_s if run else None
        if seconds is not None:
            left[entry.run] = seconds
    return card.card(runs, queue, rows, left, wrong)


def add_button() -> gr.Button:
    """ "Add to queue", for the row of Start."""
    return gr.Button("Add to queue", elem_id="add-to-queue", scale=1, min_width=125)


def anyway_button() -> gr.Button:
    """Start in spite of a run at work: pressed by the offer that `asks_first` makes."""
    return gr.Button("Start anyway", elem_id="start-anyway", elem_classes="no-show")


def asks_first(preset: Preset, context: Context) -> str:
    """What is asked before a run is started beside another one on the same device; "" where the device is free."""
    names = card.busy(context.runs, watcher(context.runs).rows(), preset.hardware.gpus)
    return card.offer(names, devices.words(preset.hardware.gpus)) if names else ""


def beside(preset: Preset, context: Context, own: str) -> list[str]:
    """Names of the other runs at work on the device of a run that has just started."""
    rows = [row for row in watcher(context.runs).rows() if row.id != own]
    return card.busy(context.runs, rows, preset.hardware.gpus)


def wire_add(parts: Mapping[str, Any], train: Train, shared: Shared) -> None:
    """Let a click put the form, checked as Start checks it, at the end of the queue, for the trainer that is chosen;
    another click, where that cannot do all of it, without what it cannot."""
    inputs, outputs = {*train.everything(), parts["engine"]}, [train.result, *train.said]
    for button, leave_out in ((parts["queue"], False), (parts["queue_without"], True)):
        add = _adder(train, shared.context, parts["engine"], leave_out)
        button.click(add, inputs, outputs, api_visibility="private")


def _adder(train: Train, context: Context, radio: gr.Radio, leave_out: bool) -> Callable[..., list[Any]]:
    def add(values: dict[Any, Any]) -> list[Any]:
        draft: Draft = values[train.draft]
        other = engine.chosen(values, radio)
        try:
            preset = prepare(draft, train.shown(values), context)
            preset = engine.checked(preset, context, leave_out) if other else jobs.resolve(preset)
            [entry] = waiting.add(context.runs, [preset], other)
            queue = waiting.read(context.runs)
            worker.ensure(context.runs)
        except Problems as error:
            return [engine.told(error, queued=True), *train.say(draft)]
        return [card.added(entry, queue), *train.say(draft)]

    return add
