"""What will be trained, worked out while the form is filled in, by the code that trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from gui import heldout, text
from gui.context import Context
from gui.session import Draft, model_of, remember, resolved
from gui.shared import QUIET
from gui.values import number_text
from trainer.contract import catalog
from trainer.contract.families import Recognised
from trainer.contract.problems import Problems
from trainer.contract.settings import Preset
from trainer.plan.curve import curve
from trainer.plan.plan import describe, make_plan
from trainer.plan.sides import Known

if TYPE_CHECKING:
    from gui.tabs.train import Train

NO_PLAN = "Choose a folder of images: images, buckets, steps and files are worked out here, before anything starts."


@dataclass(frozen=True)
class PlanCard:
    """The card's areas: the plan in words, the held-out images, the learning-rate curve."""

    plan: gr.HTML
    held_out: gr.HTML
    curve: gr.HTML


def build() -> PlanCard:
    """Lay the card out."""
    with gr.Column(elem_classes="sheet"):
        gr.HTML("<h3>What will be trained</h3>", js_on_load=None)
        plan = gr.HTML(text.paragraph(NO_PLAN), elem_id="plan", js_on_load=None)
        held_out = gr.HTML("", elem_id="held-out", js_on_load=None)
        return PlanCard(plan, held_out, gr.HTML("", elem_id="lr-curve", js_on_load=None))


def wire(card: PlanCard, live: Any, train: Train, context: Context) -> None:
    """Let `live`, which tells of every change of the form, ask for the plan."""

    def plan(draft: Draft) -> list[Any]:
        remember(draft, context)
        full = resolved(draft.preset, context.root)
        return [*train.say(draft), *_plan(full, model_of(draft.preset, context.root), context)]

    outputs = [*train.said, card.plan, card.held_out, card.curve]
    live.plan(plan, inputs=train.draft, outputs=outputs, trigger_mode="always_last", **QUIET)


PATIENCE_S = 1.5
"""How long a preview waits for images to be compared; that goes on behind it, for the next one."""


def _plan(full: Preset, model: Recognised | None, context: Context) -> list[str]:
    """The plan in words, the held-out images and the curve over the steps; what stands in the way, kindly, where there
    is no plan yet."""
    if not full.dataset.folders:
        return [text.paragraph(NO_PLAN), "", ""]
    try:
        plan = make_plan(full, recognised=model, known=Known(context.machine.cache, patience_s=PATIENCE_S))
    except Problems as error:
        return [text.problem_list(error.problems, "No plan yet"), "", ""]
    known = catalog.find("schedules", full.schedule.name)
    points = curve(full.schedule, plan.steps.total) if known else []
    return [
        text.lines(describe(plan)),
        heldout.card(plan, context),
        text.curve(points, number_text(full.optimizer.learning_rate)),
    ]
