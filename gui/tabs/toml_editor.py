"""The preset as TOML, beside the form."""

from __future__ import annotations

import gradio as gr

from gui.shared import QUIET


def build() -> gr.HTML:
    """Lay the card out."""
    with gr.Column(elem_classes=["sheet", "no-comments"], elem_id="toml-card"):
        with gr.Row():
            gr.HTML("<h3>This preset as TOML</h3>", js_on_load=None)
            comments = gr.Checkbox(False, label="with help", elem_id="toml-help", min_width=0, scale=0)
        toml = gr.HTML("", elem_id="toml", js_on_load=None)
    script = "on => document.getElementById('toml-card').classList.toggle('no-comments', !on)"
    comments.input(None, comments, js=script, **QUIET)
    return toml
