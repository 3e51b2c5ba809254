"""What will be trained, worked out while the form is filled in, by the code that trains.

The plan comes with the answer to the edit where the one before it, of the same images, was quick; else the page asks
for it once the typing rests, so that no edit waits for a folder to be read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from gui import text
from gui.context import Context
from gui.form import heldout
from gui.form.plan_html import plan_table, rate_chart
from gui.form.planned import NOTHING_PLANNED, Planned, planned
from gui.form.session import Draft, model_of, remember
from gui.shared import LATEST
from trainer.contract.families import Recognised
from trainer.contract.problems import Problems
from trainer.contract.settings import Preset
from trainer.plan.pace import paces
from trainer.plan.plan import make_plan
from trainer.plan.sides import Known

if TYPE_CHECKING:
    from gui.tabs.train import Train

NO_PLAN = "Choose a folder of images: images, buckets, steps and files are worked out here, before anything starts."

PATIENCE_S = 1.5
"""How long a preview waits for images to be compared; that goes on behind it, for the next one."""

QUICK_S = 0.12
"""A plan that took no longer comes with the answer to the next edit."""

PAST_QUICKLY_S, PAST_S = 0.005, 0.4
"""How long a plan may read runs of the past that were not read before: within an edit, and when asked for by itself."""

_ASK = """
let due = 0;
window.loratory.anew = () => trigger('plan');
watch('value', () => {
  clearTimeout(due);
  if (props.value) due = setTimeout(() => trigger('plan'), 120);
});
"""


@dataclass(frozen=True)
class PlanCard:
    """The card's areas: the plan, the held-out images, the learning-rate curve; and what lets the page ask for them."""

    plan: gr.HTML
    held_out: gr.HTML
    curve: gr.HTML
    ask: gr.HTML

    @property
    def areas(self) -> list[gr.components.Component]:
        """Outputs that `say` answers for."""
        return [self.plan, self.held_out, self.curve, self.ask]


def build() -> PlanCard:
    """Lay the card out."""
    with gr.Column(elem_classes="sheet", elem_id="plan-card"):
        gr.HTML("<h3>What will be trained</h3>", js_on_load=None)
        plan = gr.HTML(text.paragraph(NO_PLAN), elem_id="plan", js_on_load="window.loratory.folds(element, watch);")
        curve = gr.HTML("", elem_id="lr-curve", js_on_load=None, apply_default_css=False)
        held_out = gr.HTML("", elem_id="held-out", js_on_load=None)
        ask = gr.HTML("", html_template="", js_on_load=_ASK, elem_id="plan-ask", elem_classes="no-show")
        return PlanCard(plan, held_out, curve, ask)


def wire(card: PlanCard, train: Train, context: Context) -> None:
    """Let the page ask for a plan that did not come with an edit's answer."""

    def plan(draft: Draft) -> list[Any]:
        draft.open_again(context)
        return train.say(draft, asked=True)

    card.ask.plan(plan, train.draft, train.said, **LATEST)  # type: ignore[attr-defined]


def say(draft: Draft, full: Preset, context: Context, asked: bool) -> list[Any]:
    """What the card shows: the plan where it is asked for or comes quickly, else that the page is to ask for it."""
    remember(draft, context)
    if not asked and draft.quick != _images(full):
        return [gr.skip(), gr.skip(), gr.skip(), str(draft.edits)]
    began = time.perf_counter()
    model, patience_s = model_of(draft.preset, context.root), PAST_S if asked else PAST_QUICKLY_S
    (plan, held_out, rates), draft.planned = _plan(full, model, context, patience_s)
    draft.quick = _images(full) if time.perf_counter() - began < QUICK_S else ""
    changed, draft.held_out = held_out != draft.held_out, held_out
    return [plan, held_out if changed or asked else gr.skip(), rates, ""]


def _images(full: Preset) -> str:
    """What decides which files a plan reads."""
    masks = full.dataset.masks
    rows = [(row.path, row.repeats, row.mask if masks == "folders" else "") for row in full.dataset.folders]
    return repr((rows, masks, full.validation.folder, full.captions.extension))


def _plan(full: Preset, model: Recognised | None, context: Context, patience_s: float) -> tuple[list[str], Planned]:
    """The plan, the held-out images and the curve over the steps, and what the form says of it beside its fields; what
    stands in the way, kindly, where there is no plan yet."""
    if not full.dataset.folders:
        return [text.paragraph(NO_PLAN), "", ""], NOTHING_PLANNED
    try:
        plan = make_plan(full, recognised=model, known=Known(context.machine.cache, patience_s=PATIENCE_S))
    except Problems as error:
        return [text.problem_list(error.problems, "No plan yet"), "", ""], NOTHING_PLANNED
    expected = paces(context.runs).expected(plan, model.header if model else {}, patience_s)
    parts = [plan_table(plan, expected.text), heldout.card(plan, context), rate_chart(plan)]
    return parts, planned(plan, context)
