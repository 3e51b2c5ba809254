"""The base model's field in the form: a list of what is on this computer, and a line on what was recognised."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from gui import model_list
from gui.shared import LATEST, QUIET, Shared

_LOAD = """
window.loratory.modelList(server, () => trigger('computer'));
watch('value', () => window.loratory.modelSays(props.value));
"""


def build(shared: Shared, field: gr.components.Component) -> None:
    """Let the field at `model.path` offer the models that are known (web/models.js draws the list). The listing is
    asked for when the list is opened; what the text means is told whenever it changes, by whomever."""

    context = shared.context

    def models_known(version: Any) -> dict[str, Any]:
        return model_list.told(context, version)

    def says(path: Any) -> str:
        kind, line = model_list.about(str(path or ""), context)
        return json.dumps({"path": str(path or ""), "kind": kind, "text": line}, ensure_ascii=False)

    area = gr.HTML(
        "{}",
        html_template="",
        js_on_load=_LOAD,
        elem_id="model-says",
        elem_classes="no-show",
        server_functions=[models_known],
    )
    field.change(says, field, area, **LATEST)  # type: ignore[attr-defined]
    area.computer(lambda: gr.Tabs(selected="computer"), None, shared.tabs, **QUIET)
