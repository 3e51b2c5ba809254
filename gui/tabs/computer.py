"""The Computer tab: what belongs to this computer and never to a preset."""

from __future__ import annotations

import gradio as gr

from gui.shared import Shared


def build(shared: Shared) -> None:
    """Lay the tab out and wire it."""
    with gr.Column(elem_classes="sheet", elem_id="computer-tab"):
        gr.HTML("<h3>Computer</h3>", js_on_load=None)
