"""The buttons under a run's progress: which are there now, and what a click does. The table is `gui/actions.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from gui import text
from gui.form.session import Draft
from gui.news import NUMBER
from gui.runs import actions
from gui.runs.actions import Now
from gui.runs.watch import Watcher, pending, preset_of
from gui.shared import QUIET, Shared
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir

AT_WORK = ("stop", "pause", "save", "sample", "end")
"""Those in the row of a run that is at work; the others stand in the row of one that is over."""

AS_BUILT = (*AT_WORK, "resume", "extend", "discard", "delete")
"""In the order of the page."""


@dataclass(frozen=True)
class Buttons:
    """`rows`: of a run at work, and below. `length`: how far "Train on" goes. `prompt`: what "Sample now" draws instead
    of the run's own prompts. `said`: why a click could not be obeyed. `sure`: what the browser's own question
    was answered with."""

    rows: dict[str, gr.Row]
    buttons: dict[str, gr.Button]
    length: gr.Textbox
    prompt: gr.Textbox
    clone: gr.Button
    said: gr.HTML
    sure: gr.Textbox

    @property
    def outputs(self) -> list[Any]:
        """What `news` answers for, in its order."""
        return [*self.rows.values(), *self.buttons.values(), self.length, self.prompt, self.clone, self.said]


def build() -> Buttons:
    """Put the buttons into the page, hidden."""
    with gr.Row(visible=False, elem_id="run-controls") as work:
        buttons = {name: _button(name) for name in AT_WORK if name != "end"}
        prompt = gr.Textbox(
            visible=False,
            show_label=False,
            label="Prompt of your own for Sample now",
            placeholder="Sample now: prompt of your own",
            container=False,
            min_width=180,
            max_lines=1,
            elem_id="run-prompt",
        )
        buttons["end"] = _button("end")
    with gr.Row(visible=False, elem_id="run-next") as over:
        buttons["resume"] = _button("resume")
        buttons["extend"] = _button("extend")
        length = gr.Textbox(
            visible=False,
            show_label=False,
            label="Length to train on to",
            container=False,
            scale=0,
            min_width=130,
            max_lines=1,
            elem_id="run-length",
        )
        buttons["discard"] = _button("discard")
        clone = gr.Button("Clone and edit", size="sm", scale=0, visible=False, elem_id="run-clone")
        buttons["delete"] = _button("delete")
    said = gr.HTML(elem_id="run-said", apply_default_css=False, elem_classes="area", js_on_load=None)
    sure = gr.Textbox("", visible="hidden", elem_id="run-sure", label="confirmed")
    return Buttons({"work": work, "over": over}, buttons, length, prompt, clone, said, sure)


def _button(name: str) -> gr.Button:
    action = actions.BY_NAME[name]
    return gr.Button(name.capitalize(), variant=action.look, size="sm", scale=0, visible=False, elem_id=f"run-{name}")


def news(watching: Watcher, run: RunDir | None, told: dict[str, Any]) -> list[Any]:
    """What changed on the buttons since one session was last told; `told` takes what it is told now."""
    state = watching.state(run) if run else None
    now = Now(run, state, pending(run)) if run and state else None
    labels = actions.possible(now) if now else dict.fromkeys(actions.BY_NAME, "")
    rows = {
        "work": any(labels[name] for name in AT_WORK),
        "over": run is not None,
    }
    answers = [_changed(told, f"row {name}", shown, {"visible": shown}) for name, shown in rows.items()]
    for name in AS_BUILT:
        label = labels[name]
        answers.append(_changed(told, name, label, {"value": label, "visible": True} if label else {"visible": False}))
    proposal = f"{run.id} {actions.longer(state)}" if run and state and labels["extend"] else ""
    value = {"value": actions.longer(state), "visible": True} if proposal and state else {"visible": False}
    answers.append(_changed(told, "length", proposal, value))
    answers.append(_changed(told, "prompt", bool(labels["sample"]), {"visible": bool(labels["sample"])}))
    recipe = bool(run and run.preset.is_file())
    answers.append(_changed(told, "clone", recipe, {"visible": recipe}))
    whose, why = told.get("refused", ("", ""))
    said = text.paragraph(why, "bad") if run and run.id == whose else ""
    answers.append(_changed(told, "said", said, {"value": said}))
    return answers


def _changed(told: dict[str, Any], key: str, now: Any, update: dict[str, Any]) -> Any:
    same = told.get(key, None if NUMBER in told else "") == now  # a fresh page has no button
    told[key] = now
    return gr.skip() if same else gr.update(**update)


def wire(
    controls: Buttons,
    find: Find,
    look: Callable[..., list[Any]],
    inputs: list[Any],
    outputs: list[Any],
) -> None:
    """Let every click do its action on the run that is shown, and show what came of it. `find`: the run of an id, for a
    session that was told so much; `look`: a handler of `inputs` that answers `outputs`. The first of the inputs is the
    run's id, the last what the session was told."""
    for name, button in controls.buttons.items():
        action = actions.BY_NAME[name]
        button.click(
            _doer(action, find, look),
            [*inputs, controls.length, controls.prompt, controls.sure],
            outputs,
            js=_question(action.sure) if action.sure else None,
            **QUIET,
        )


def _question(text: str) -> str:
    """The browser asks; the last input, which nobody sees, takes the answer along."""
    return f"(...given) => [...given.slice(0, -1), confirm(window.loratory.told({json.dumps(text)})) ? 'yes' : 'no']"


Find = Callable[[str, dict[str, Any]], RunDir | None]


def _doer(action: actions.Action, find: Find, look: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    def do(run_id: str, *given: Any) -> list[Any]:
        *how, known, length, prompt, sure = given
        run, why = find(run_id, known), ""
        texts = {"length": length, "prompt": prompt}
        if run is not None and (not action.sure or sure == "yes"):
            try:
                action.do(run, texts.get(action.takes, ""))
            except Problems as problems:
                why = str(problems)
        told = {**known, "refused": (run.id if run else "", why)}
        if action.name == "delete" and not why:
            told["nothing"] = True  # else the next run's Delete would come under the pointer
        return look(run_id, *how, told)

    return do


def wire_clone(controls: Buttons, find: Find, shared: Shared, sent: gr.State) -> None:
    """Let "Clone and edit" put the run's preset into the form and open it."""
    train = shared.train

    def clone(run_id: str, known: dict[str, Any], draft: Draft) -> list[Any]:
        run = find(run_id, known)
        preset = preset_of(run) if run else None
        if preset is None:
            return [text.paragraph("Its preset cannot be read.", "bad"), gr.skip(), *([gr.skip()] * len(train.loaded))]
        return ["", gr.Tabs(selected="train"), *train.load(draft, preset, shared.context)]

    outputs = [controls.said, shared.tabs, *train.loaded]
    controls.clone.click(clone, [shared.chosen, sent, train.draft], outputs, **QUIET)
