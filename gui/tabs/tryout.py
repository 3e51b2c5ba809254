"""The Try tab: pictures drawn with an adapter, beside the base model."""

from __future__ import annotations

import gradio as gr

from gui.shared import Shared


def build(shared: Shared) -> None:
    """Lay the tab out and wire it."""
    with gr.Column(elem_classes="sheet", elem_id="tryout-tab"):
        gr.HTML("<h3>Try</h3>", js_on_load=None)
