"""The Dataset tab: images of a folder, their captions, what is wrong with them."""

from __future__ import annotations

import gradio as gr

from gui.shared import Shared
from gui.tabs import captioning, linter
from gui.tabs.studio import Studio


def build(shared: Shared) -> None:
    """Lay the tab out and wire it."""
    studio = Studio(shared.folder, gr.State([]), gr.State(None), gr.State(0.0))
    with gr.Column(elem_classes="sheet", elem_id="dataset-tab"):
        gr.HTML("<h3>Dataset</h3>", js_on_load=None)
    with gr.Accordion("Check the images", open=False, elem_id="linter"):
        linter.build(shared, studio)
    with gr.Accordion("Caption automatically", open=False, elem_id="captioning"):
        captioning.build(shared, studio)
