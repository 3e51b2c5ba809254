"""The tab where a run is set up: the form on the left; the plan, the curve, the TOML and Start on the right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from gui import form, heldout, jobs, text
from gui.context import Context
from gui.session import Draft, live, model_of, prepare, recall, remember, resolved
from gui.values import number_text
from trainer.contract import catalog
from trainer.contract.families import Recognised
from trainer.contract.preset import dumps
from trainer.contract.problems import Problems
from trainer.contract.rundir import Kind, RunDir
from trainer.contract.settings import Preset
from trainer.plan.curve import curve
from trainer.plan.plan import describe, make_plan
from trainer.plan.sides import Known

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
"""Options of handlers that answer an edit."""

NO_PLAN = "Choose a folder of images: images, buckets, steps and files are worked out here, before anything starts."


@dataclass(frozen=True)
class Train:
    """What other tabs need of this one. `fields`: the component of each setting. `draft`: the session's form.
    `said`: the components that `say` fills after any change of the form. `result`: what Check or Start answered."""

    fields: dict[str, gr.components.Component]
    draft: gr.State
    said: list[gr.components.Component]
    start: gr.Button
    preflight: gr.Button
    result: gr.HTML
    say: Callable[[Draft], list[Any]]

    def everything(self) -> set[gr.blocks.Block]:
        """Inputs of a handler that takes the whole form."""
        return {*self.fields.values(), self.draft}

    def shown(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        """The form's content by setting path, out of what such a handler is given."""
        return {path: values[component] for path, component in self.fields.items()}

    def filled(self, draft: Draft) -> list[Any]:
        """Updates that put a draft into every field."""
        return [gr.update(value=draft.shown[path]) for path in self.fields]


def build(context: Context) -> Train:
    """Lay the tab out and wire it, but for Start, which `wire_start` joins to the Runs tab."""
    draft = gr.State(Draft())
    with gr.Row(elem_id="train"):
        with gr.Column(elem_id="left", scale=7):
            fields = form.build()
            gr.HTML(text.paragraph("No setting matches."), elem_id="nothing-found", js_on_load=None)
        with gr.Column(elem_id="right", scale=4):
            right = _right_column()
    train = Train(
        fields=fields,
        draft=draft,
        said=[right["live"], right["toml"]],
        start=right["start"],
        preflight=right["preflight"],
        result=right["result"],
        say=lambda draft: _say(draft, context),
    )
    _wire_edits(train, context)
    _wire_plan(train, right, context)
    _wire_check(train, right, context)
    return train


_RESULT = "watch('value', () => element.closest('#result').classList.remove('stale'));"

_LIVE = """
let due = 0;
watch('value', () => {
  window.loratory.live(props.value);
  clearTimeout(due);
  due = setTimeout(() => trigger('plan'), 250);
});
"""
"""Show what the server says of the fields, and ask for the plan once the typing rests."""


def _right_column() -> dict[str, Any]:
    parts: dict[str, Any] = {}
    with gr.Column(elem_classes="sheet", elem_id="start-card"):
        with gr.Row():
            parts["start"] = gr.Button("Start training", variant="primary", elem_id="start", scale=3, min_width=120)
            parts["check"] = gr.Button("Check", elem_id="check", scale=1, min_width=70)
            parts["preflight"] = gr.Button("Preflight", elem_id="preflight", scale=1, min_width=90)
        parts["result"] = gr.HTML("", elem_id="result", js_on_load=_RESULT)
    with gr.Column(elem_classes="sheet"):
        gr.HTML("<h3>What will be trained</h3>", js_on_load=None)
        parts["plan"] = gr.HTML(text.paragraph(NO_PLAN), elem_id="plan", js_on_load=None)
        parts["held_out"] = gr.HTML("", elem_id="held-out", js_on_load=None)
        parts["curve"] = gr.HTML("", elem_id="lr-curve", js_on_load=None)
    with gr.Column(elem_classes=["sheet", "no-comments"], elem_id="toml-card"):
        with gr.Row():
            gr.HTML("<h3>This preset as TOML</h3>", js_on_load=None)
            comments = gr.Checkbox(False, label="with help", elem_id="toml-help", min_width=0, scale=0)
        parts["toml"] = gr.HTML("", elem_id="toml", js_on_load=None)
    comments.input(
        None, comments, js="on => document.getElementById('toml-card').classList.toggle('no-comments', !on)", **QUIET
    )
    parts["live"] = gr.HTML(
        "{}",
        html_template="",
        js_on_load=_LIVE,
        elem_id="live",
        elem_classes="no-show",
    )
    return parts


def _say(draft: Draft, context: Context) -> list[Any]:
    """What is shown after an edit: what the fields' notes say, and the TOML."""
    full = resolved(draft.preset, context.root)
    return [live(draft, full, context.root), text.toml(dumps(full))]


def _wire_edits(train: Train, context: Context) -> None:
    for path, component in train.fields.items():
        component.input(  # type: ignore[attr-defined]
            _editor(path, train, context),
            inputs=[component, train.draft],
            outputs=train.said,
            trigger_mode="always_last",
            **QUIET,
        )


def _editor(path: str, train: Train, context: Context) -> Callable[[Any, Draft], list[Any]]:
    def edit(content: Any, draft: Draft) -> list[Any]:
        draft.open_again(context)
        draft.edit(path, content)
        return train.say(draft)

    return edit


def _wire_plan(train: Train, right: Mapping[str, Any], context: Context) -> None:
    def plan(draft: Draft) -> list[Any]:
        remember(draft, context)
        full = resolved(draft.preset, context.root)
        return [*train.say(draft), *_plan(full, model_of(draft.preset, context.root), context)]

    outputs = [right["live"], right["toml"], right["plan"], right["held_out"], right["curve"]]
    right["live"].plan(plan, inputs=train.draft, outputs=outputs, trigger_mode="always_last", **QUIET)


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


def _wire_check(train: Train, right: Mapping[str, Any], context: Context) -> None:
    def check(values: dict[Any, Any]) -> list[Any]:
        draft: Draft = values[train.draft]
        try:
            prepare(draft, train.shown(values), context)
        except Problems as error:
            return [text.problem_list(error.problems), *train.say(draft)]
        return [text.paragraph("Everything fits: this can be started.", "good"), *train.say(draft)]

    right["check"].click(check, train.everything(), [right["result"], *train.said], api_visibility="private")


def wire_start(train: Train, context: Context, chosen_run: gr.State, tabs: gr.Tabs) -> None:
    """Let Start launch the run, put its id into `chosen_run` and open the Runs tab of `tabs`; Preflight likewise, with
    a run that tries the recipe for a minute and keeps no adapter."""

    def launcher(kind: Kind) -> Callable[..., list[Any]]:
        def start(values: dict[Any, Any]) -> list[Any]:
            draft: Draft = values[train.draft]
            try:
                run = jobs.start(prepare(draft, train.shown(values), context), runs=context.runs, kind=kind)
            except Problems as error:
                return [text.problem_list(error.problems), gr.skip(), gr.skip(), *train.say(draft)]
            said = _started(run, jobs.running(context.runs), kind)
            return [said, run.id, gr.Tabs(selected="runs"), *train.say(draft)]

        return start

    outputs = [train.result, chosen_run, tabs, *train.said]
    train.start.click(launcher("training"), train.everything(), outputs, api_visibility="private")
    train.preflight.click(launcher("preflight"), train.everything(), outputs, api_visibility="private")


def _started(run: RunDir, running: Sequence[RunDir], kind: Kind) -> str:
    others = [other.id for other in running if other.id != run.id]
    shared = text.paragraph(f"Still training too, on the same machine: {', '.join(others)}.", "bad") if others else ""
    said = text.paragraph(f"Started {run.id}. The same without the page:", "good")
    option = "" if kind == "training" else f" --{kind}"
    return shared + said + text.command(f'python launch.py --preset "{run.preset}"{option}')


def restored(train: Train, context: Context) -> Callable[[], list[Any]]:
    """The handler of a page that opens: the form as it was left."""

    def load() -> list[Any]:
        draft = recall(context)
        return [draft, *train.filled(draft), *train.say(draft)]

    return load
