"""The Compare tab: runs beside each other."""

from __future__ import annotations

import gradio as gr

from gui.shared import Shared


def build(shared: Shared) -> None:
    """Lay the tab out and wire it."""
    with gr.Column(elem_classes="sheet", elem_id="compare-tab"):
        gr.HTML("<h3>Compare</h3>", js_on_load=None)
