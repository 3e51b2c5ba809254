"""The Dataset tab: images of a folder, their captions, what is wrong with them."""

from __future__ import annotations

import gradio as gr

from gui.shared import Shared


def build(shared: Shared) -> None:
    """Lay the tab out and wire it."""
    with gr.Column(elem_classes="sheet", elem_id="dataset-tab"):
        gr.HTML("<h3>Dataset</h3>", js_on_load=None)
