"""The tab where a run is set up: the form on the left; the plan, the curve, the TOML and Start on the right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from gui import device, jobs, text
from gui.context import Context
from gui.form import layout
from gui.form.live import live
from gui.form.session import FIRST, Draft, prepare, resolved
from gui.shared import LATEST, SAYS, TOLD, Shared
from gui.tabs import captions_choice, engine, model_field, plan_card, queue, toml_editor
from gui.tabs.beside import Beside
from trainer.contract.problems import Problems
from trainer.contract.rundir import Kind, RunDir
from trainer.contract.settings import BY_PATH, Preset


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
    say: Callable[..., list[Any]]

    def everything(self) -> set[gr.blocks.Block]:
        """Inputs of a handler that takes the whole form."""
        return {*self.fields.values(), self.draft}

    def shown(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        """The form's content by setting path, out of what such a handler is given."""
        return {path: values[component] for path, component in self.fields.items()}

    def filled(self, draft: Draft) -> list[Any]:
        """Updates that put a draft into every field."""
        return [gr.update(value=draft.shown[path]) for path in self.fields]

    @property
    def loaded(self) -> list[Any]:
        """Outputs of a handler that puts a preset into the form; `load` answers for them."""
        return [self.draft, *self.fields.values(), *self.said]

    def load(self, draft: Draft, preset: Preset, context: Context) -> list[Any]:
        """Answers for `loaded`: every field shows the preset, nothing of before stays (`Draft.put_back` undoes it)."""
        draft.open_again(context)
        draft.replace(preset)
        return [draft, *self.filled(draft), *self.say(draft)]


def build(shared: Shared) -> None:
    """Lay the tab out and wire it; the other tabs find the form in `shared.train`."""
    context, draft = shared.context, gr.State(Draft())
    with gr.Row(elem_id="train"):
        with gr.Column(elem_id="left", scale=7):
            beside = Beside()
            fields = layout.build(beside.places())
            model_field.build(shared, fields["model.path"])
        with gr.Column(elem_id="right", scale=4):
            right = _right_column(context)
    train = Train(
        fields=fields,
        draft=draft,
        said=[right["live"], right["toml"].text, beside.timesteps, *right["plan"].areas],
        start=right["start"],
        preflight=right["preflight"],
        result=right["result"],
        say=lambda draft, asked=False: _say(draft, beside, context, asked),
    )
    _wire_edits(train, context)
    beside.wire(train, context)
    plan_card.wire(right["plan"], train, context)
    toml_editor.wire(right["toml"], train, context)
    _wire_changes(right["live"], train, context)
    _wire_captions(right["live"], train, shared)
    _wire_check(train, right, context)
    _wire_start(train, right, shared)
    queue.wire_add(right, train, shared)
    shared.form = train


_RESULT = "watch('value', () => element.closest('#result').classList.remove('stale'));"

_LIVE = """
window.loratory.ask = {
  fix: data => trigger('fix', data),
  captions: data => trigger('captions', {...data, turn: window.loratory.turn()}),
  dataset: data => trigger('dataset', data),
};
watch('value', () => window.loratory.live(props.value));
"""
"""Show what the server says of the fields, and hand on what buttons ask for."""


def _right_column(context: Context) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    with gr.Column(elem_classes="sheet", elem_id="start-card"):
        gr.HTML('<h2><span class="way">3</span> Start</h2>', elem_id="start-title", js_on_load=None)
        with gr.Row():
            parts["start"] = gr.Button("Start training", variant="primary", elem_id="start", scale=2, min_width=120)
            parts["queue"] = queue.add_button()
            parts["check"] = gr.Button("Check", elem_id="check", scale=1, min_width=60)
            parts["preflight"] = gr.Button("Preflight", elem_id="preflight", scale=1, min_width=80)
        parts["anyway"], parts["without"] = queue.anyway_button(), engine.without_button()
        parts["queue_without"] = engine.queue_without_button()
        parts["engine"] = engine.choice(context)
        gr.HTML('<div id="blocked" role="status"></div>', elem_id="blocked-line", js_on_load=None)
        parts["result"] = gr.HTML("", elem_id="result", js_on_load=_RESULT)
    parts["plan"] = plan_card.build()
    parts["toml"] = toml_editor.build()
    parts["live"] = gr.HTML(
        "{}",
        html_template="",
        js_on_load=_LIVE,
        elem_id="live",
        elem_classes="no-show",
    )
    return parts


def _say(draft: Draft, beside: Beside, context: Context, asked: bool) -> list[Any]:
    """What is shown after a change: what the fields' notes say, the TOML, the curve of the timesteps, and the plan
    where it comes quickly or is `asked` for."""
    now = draft.as_it_is()
    full = resolved(now.preset, context.root)
    planned = plan_card.say(draft, full, context, asked)
    now.planned = draft.planned
    told = live(now, full, context.root, bool(device.gpus()))
    return [told, toml_editor.shown(now, full), beside.say(draft, full, asked), *planned]


def _wire_edits(train: Train, context: Context) -> None:
    for path, component in train.fields.items():
        component.input(  # type: ignore[attr-defined]
            _editor(path, train, context),
            inputs=[component, train.draft],
            outputs=train.said,
            **LATEST,
        )


def _editor(path: str, train: Train, context: Context) -> Callable[[Any, Draft], list[Any]]:
    def edit(content: Any, draft: Draft) -> list[Any]:
        draft.open_again(context)
        draft.edit(path, content)
        return train.say(draft)

    return edit


def _wire_changes(live: Any, train: Train, context: Context) -> None:
    """Let the buttons beside fields change them: what a problem advises, what is offered, resets, and Undo."""

    def change(draft: Draft, event: gr.EventData) -> list[Any]:
        draft.open_again(context)
        before, asked = dict(draft.shown), event._data
        if asked.get("undo"):
            captions_choice.take_back(draft, context) if draft.written else draft.put_back()
        elif "reset" in asked:
            draft.reset([str(path) for path in asked["reset"]])
        else:
            contents = {str(path): content for path, content in asked.get("change", [])}
            draft.change(contents, _deed(contents))
        return [*_changes(train, before, draft), *train.say(draft)]

    live.fix(change, train.draft, [*train.fields.values(), *train.said], **SAYS)


def _deed(contents: Mapping[str, Any]) -> str:
    """What a button did, in words."""
    labels = [BY_PATH[path].setting.label for path in contents if path in BY_PATH]
    [content] = contents.values() if len(contents) == 1 else [None]
    return f"{labels[0]} set to {content}" if isinstance(content, str) and content else f"{', '.join(labels)} changed"


def _changes(train: Train, before: Mapping[str, Any], draft: Draft) -> list[Any]:
    """An update for each field that holds something else than before."""
    return [
        gr.skip() if draft.shown[path] == before.get(path) else gr.update(value=draft.shown[path])
        for path in train.fields
    ]


def _wire_captions(live: Any, train: Train, shared: Shared) -> None:
    """Let the card about missing captions do what it says; the Dataset tab opens on their folder."""
    context = shared.context

    def act(draft: Draft, event: gr.EventData) -> list[Any]:
        draft.open_again(context)
        before, asked, wrong = dict(draft.shown), str(event._data.get("do", "")), gr.skip()
        phrase = str(event._data.get("phrase", ""))[:1000]
        if draft.turns.take(event._data, "phrase"):
            draft.phrase = phrase
        try:
            if asked == "trigger":
                captions_choice.use_as_trigger(draft, phrase)
            elif asked == "write":
                captions_choice.write(draft, phrase, context)
        except Problems as error:
            wrong = text.problem_list(error.problems, "Not written")
        return [*_changes(train, before, draft), *train.say(draft), wrong]

    def dataset(draft: Draft) -> list[Any]:
        bare = draft.planned.captions
        return [bare.folder if bare else gr.skip(), gr.Tabs(selected="dataset")]

    live.captions(act, train.draft, [*train.fields.values(), *train.said, train.result], **SAYS)
    live.dataset(dataset, train.draft, [shared.folder, shared.tabs], **TOLD)


def _wire_check(train: Train, right: Mapping[str, Any], context: Context) -> None:
    def check(values: dict[Any, Any]) -> list[Any]:
        draft: Draft = values[train.draft]
        try:
            prepare(draft, train.shown(values), context)
        except Problems as error:
            return [text.problem_list(error.problems), *train.say(draft)]
        return [text.paragraph("Everything fits: this can be started.", "good"), *train.say(draft)]

    right["check"].click(check, train.everything(), [right["result"], *train.said], api_visibility="private")


def _wire_start(train: Train, right: Mapping[str, Any], shared: Shared) -> None:
    """Let Start launch the run and show it in the Runs tab, and ask first where its device is at work or another
    program, if one is chosen, cannot do all of it; Preflight likewise, with a run of our own trainer that tries the
    recipe for a minute and keeps no adapter."""
    context = shared.context

    def launcher(kind: Kind, asks: bool = False, leave_out: bool = False) -> Callable[..., list[Any]]:
        def start(values: dict[Any, Any]) -> list[Any]:
            draft: Draft = values[train.draft]
            other = engine.chosen(values, right["engine"])
            try:
                preset = prepare(draft, train.shown(values), context)
                if asks and (question := queue.asks_first(preset, context)):
                    return [question, gr.skip(), gr.skip(), *train.say(draft)]
                if other:
                    run = engine.start(preset, context, leave_out)
                else:
                    run = jobs.start(preset, runs=context.runs, kind=kind)
            except Problems as error:
                return [engine.told(error), gr.skip(), gr.skip(), *train.say(draft)]
            beside = queue.beside(preset, context, run.id) if kind == "preflight" else []
            said = _started(run, beside, kind, engine.command(run, other, leave_out))
            return [said, run.id, gr.Tabs(selected="runs"), *train.say(draft)]

        return start

    outputs = [train.result, shared.chosen, shared.tabs, *train.said]
    inputs = {*train.everything(), right["engine"]}
    train.start.click(launcher("training", asks=True), inputs, outputs, api_visibility="private")
    right["anyway"].click(launcher("training"), inputs, outputs, api_visibility="private")
    right["without"].click(launcher("training", leave_out=True), inputs, outputs, api_visibility="private")
    train.preflight.click(launcher("preflight"), train.everything(), outputs, api_visibility="private")


def _started(run: RunDir, beside: Sequence[str], kind: Kind, command: str) -> str:
    """`beside`: runs at work on the same device, where nobody was asked about them."""
    shared = text.paragraph(f"At work on the same device: {', '.join(beside)}.", "bad") if beside else ""
    said = text.paragraph(f"Started {run.id}. The same without the page:", "good")
    option = "" if kind == "training" else f" --{kind}"
    return shared + said + text.command(command + option)


def restored(train: Train, context: Context) -> Callable[[Draft], list[Any]]:
    """The handler of a page that opens: the form as it was left. What stands there already is not sent, and an edit
    that came first stays: somebody may have begun to type. (An empty number is 0 in the browser until it is told.)"""

    def load(draft: Draft) -> list[Any]:
        draft.open_again(context)
        stands = {path for path, content in draft.shown.items() if content == FIRST[path] and content is not None}
        filled = zip(train.fields, train.filled(draft), strict=True)
        return [draft, *(gr.skip() if path in stands else update for path, update in filled), *train.say(draft)]

    return load
