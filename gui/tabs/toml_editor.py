"""The preset as TOML, beside the form; a change of either changes the other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from gui import text
from gui.context import Context
from gui.form import toml_text
from gui.form.session import Draft, resolved
from gui.shared import LATEST, QUIET, SAYS
from trainer.contract.settings import Preset

if TYPE_CHECKING:
    from gui.tabs.train import Train

_EDITOR = "window.loratory.tomlEditor(element, props, trigger, watch); /* 'edit' 'settle' 'back' */"


@dataclass(frozen=True)
class TomlEditor:
    """`text`: the text area, which shows what the form says. `said`: what became of a text, as JSON. `help`: whether
    each value stands under its help."""

    text: gr.HTML
    said: gr.HTML
    help: gr.Checkbox


def build() -> TomlEditor:
    """Lay the card out."""
    with gr.Column(elem_classes="sheet", elem_id="toml-card"):
        with gr.Row():
            gr.HTML("<h3>This preset as TOML</h3>", js_on_load=None)
            help = gr.Checkbox(False, label="with help", elem_id="toml-help", min_width=0, scale=0)
        area = gr.HTML("", html_template='<div class="toml-box"></div>', elem_id="toml", js_on_load=_EDITOR)
        said = gr.HTML(
            "",
            html_template="",
            elem_classes="no-show",
            js_on_load="watch('value', () => window.loratory.tomlSaid(props.value));",
        )
    return TomlEditor(area, said, help)


def shown(draft: Draft, full: Preset) -> str:
    """The text for a form as it is. `full`: its preset, resolved."""
    return toml_text.text_of(full, draft.toml, draft.toml_help)


def wire(editor: TomlEditor, train: Train, context: Context) -> None:
    """Let the form follow the text."""

    def edit(draft: Draft, event: gr.EventData) -> list[Any]:
        draft.open_again(context)
        if not draft.turns.take(event._data, "toml"):
            return [gr.skip(), *_skipped(train)]
        written, first = str(event._data.get("text", "")), draft.new_visit(event._data.get("visit"))
        preset, faults = toml_text.read(written)
        if preset is None:
            told = [{"line": fault.line, "why": fault.why} for fault in faults]
            return [json.dumps({"faults": told, "turn": event._data.get("turn")}), *_skipped(train)]
        paths = draft.take_preset(preset, resolved(draft.preset, context.root), first)
        draft.toml = toml_text.own_comments(written)
        changed = [text.label_of(path) for path in paths]
        news = {"changed": changed, "back": bool(changed) or not first, "turn": event._data.get("turn")}
        fields = [gr.update(value=draft.shown[path]) if path in paths else gr.skip() for path in train.fields]
        return [json.dumps(news), *fields, *train.say(draft)]

    def put_back(draft: Draft) -> list[Any]:
        draft.put_back()
        return [json.dumps({"changed": [], "edits": draft.edits}), *train.filled(draft), *train.say(draft)]

    def settle(draft: Draft) -> str:
        return shown(draft, resolved(draft.preset, context.root))

    def with_help(on: bool, draft: Draft) -> str:
        draft.toml_help = on
        return settle(draft)

    outputs = [editor.said, *train.fields.values(), *train.said]
    editor.text.edit(edit, train.draft, outputs, **SAYS)  # type: ignore[attr-defined]
    editor.text.back(put_back, train.draft, outputs, **QUIET)  # type: ignore[attr-defined]
    editor.text.settle(settle, train.draft, editor.text, **LATEST)  # type: ignore[attr-defined]
    editor.help.input(with_help, [editor.help, train.draft], editor.text, **LATEST)


def _skipped(train: Train) -> list[Any]:
    return [gr.skip()] * (len(train.fields) + len(train.said))
