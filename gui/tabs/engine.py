"""Which trainer Start starts: Loratory's own, or the user's sd-scripts where this computer has one. It is chosen
here and nowhere else: no preset and no file can choose it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.context import Context as Building

from gui import jobs, text
from gui.context import Context
from gui.engine import checkout, starting
from gui.shared import QUIET
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset

OWN = "Loratory"


def choice(context: Context) -> gr.Radio:
    """The choice beside Start; it is there once the Computer tab names an sd-scripts and the page is loaded anew."""
    radio = gr.Radio(
        [OWN, checkout.NAME],
        value=OWN,
        label="Trained by",
        visible=checkout.is_named(context.machine),
        elem_id="engine",
        info=(
            "Your own sd-scripts trains in a run like any other. It waits in the queue too; Preflight stays "
            "Loratory's own."
        ),
    )
    page = Building.root_block
    if page is not None:
        page.load(lambda: gr.update(visible=checkout.is_named(context.machine), value=OWN), None, radio, **QUIET)
    return radio


def without_button() -> gr.Button:
    """Start in spite of what the other program cannot do: pressed by the offer that `told` makes."""
    return gr.Button("Start without these", elem_id="start-without", elem_classes="no-show")


def queue_without_button() -> gr.Button:
    """The same for "Add to queue"."""
    return gr.Button("Add without these", elem_id="queue-without", elem_classes="no-show")


def chosen(values: Mapping[Any, Any], radio: gr.Radio) -> str:
    """The other program that is to train, "" for our own trainer."""
    return checkout.NAME if values.get(radio) == checkout.NAME else ""


def start(preset: Preset, context: Context, leave_out: bool) -> RunDir:
    """Start a run by the other program. Problems where it cannot."""
    return starting.start(preset, context.machine, runs=context.runs, leave_out=leave_out)


def checked(preset: Preset, context: Context, leave_out: bool) -> Preset:
    """The preset as the other program would train it. Problems where it cannot."""
    return starting.check(jobs.resolve(preset), context.machine, leave_out)[1]


def told(error: Problems, queued: bool = False) -> str:
    """What is in the way of a start, or of being `queued`, as one list; of what the other program cannot do, with a
    button that goes on without it where that is harmless."""
    if not isinstance(error, starting.Refused):
        return text.problem_list(error.problems)
    said = text.problem_list(error.problems, f"{checkout.NAME} cannot do all of this")
    id, word = ("queue-without", "Add without these") if queued else ("start-without", "Start without these")
    button = f'<button type="button" data-press="{id}">{word}</button>'
    return said + (f'<p class="moves engine-moves">{button}</p>' if error.harmless else "")


def command(run: RunDir, engine: str, leave_out: bool) -> str:
    """The command that starts the same without the page."""
    words = f" --engine {engine}{' --leave-out' if leave_out else ''}" if engine else ""
    return f'python launch.py --preset "{run.preset}"{words}'
