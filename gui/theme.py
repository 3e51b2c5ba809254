"""The page's look: Gradio's own theme variables set to a calm, dense one. Fonts are the system's; no host is asked."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr

from gui.form.helptexts import help_texts

HERE = Path(__file__).parent

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Ubuntu", "Cantarell", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")

ACCENT = gr.themes.Color(
    name="loratory",
    c50="#eefaf8",
    c100="#d3f2ec",
    c200="#a9e4db",
    c300="#74cfc3",
    c400="#41b3a7",
    c500="#1f958b",
    c600="#0f766e",
    c700="#0d5f59",
    c800="#0e4c48",
    c900="#0f3f3c",
    c950="#042625",
)


def make_theme() -> gr.themes.Base:
    """Gradio's base theme with one accent colour, small paddings and readable greys in light and dark."""
    theme = gr.themes.Base(
        primary_hue=ACCENT,
        secondary_hue=ACCENT,
        neutral_hue="slate",
        font=SANS,
        font_mono=MONO,
        text_size="sm",
        spacing_size="sm",
        radius_size="sm",
    )
    return theme.set(
        body_background_fill="#f5f7f8",
        body_background_fill_dark="#0e1416",
        body_text_color="#17212b",
        body_text_color_dark="#e3e9ec",
        body_text_color_subdued="#51606d",
        body_text_color_subdued_dark="#9fb0ba",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#161e21",
        background_fill_secondary="#f5f7f8",
        background_fill_secondary_dark="#12191c",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_title_text_color="#2b3a46",
        block_title_text_color_dark="#c6d2d8",
        block_title_text_weight="500",
        block_info_text_color="#51606d",
        block_info_text_color_dark="#9fb0ba",
        border_color_primary="#d5dce1",
        border_color_primary_dark="#2c383d",
        input_background_fill="#ffffff",
        input_background_fill_dark="#0f1618",
        input_border_color="#b9c4cb",
        input_border_color_dark="#3b494f",
        input_border_color_focus="#0f766e",
        input_border_color_focus_dark="#41b3a7",
        input_padding="6px 9px",
        input_placeholder_color="#677783",
        input_placeholder_color_dark="#82939d",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#0d5f59",
        button_primary_background_fill_dark="#41b3a7",
        button_primary_background_fill_hover_dark="#74cfc3",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#04201e",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_hover="#eef2f4",
        button_secondary_background_fill_dark="#1c2629",
        button_secondary_background_fill_hover_dark="#253135",
        button_secondary_border_color="#b9c4cb",
        button_secondary_border_color_dark="#3b494f",
        checkbox_label_padding="5px 10px",
        checkbox_label_background_fill="#ffffff",
        checkbox_label_background_fill_dark="#12191c",
        checkbox_label_background_fill_selected="#d3f2ec",
        checkbox_label_background_fill_selected_dark="#0e4c48",
        checkbox_label_text_color_selected="#0a3835",
        checkbox_label_text_color_selected_dark="#eafaf7",
        checkbox_background_color_dark="#0f1618",
        checkbox_border_color_dark="#51636b",
        layout_gap="10px",
        form_gap_width="0px",
        panel_border_width="0px",
    )


def css() -> str:
    """The page's style sheet: page.css, then those of the tabs."""
    return "\n".join(path.read_text(encoding="utf-8") for path in _web("css"))


def head() -> str:
    """The page's scripts, with the help texts that they show: page.js, then those of the tabs."""
    texts = json.dumps(help_texts(), ensure_ascii=False).replace("</", "<\\/")
    script = "\n".join(path.read_text(encoding="utf-8") for path in _web("js")).replace("/* HELP */ {}", texts)
    return f'<meta name="color-scheme" content="light dark"><script>{script}</script>'


def _web(kind: str) -> list[Path]:
    """The files of one kind, the page's own first."""
    return sorted((HERE / "web").glob(f"*.{kind}"), key=lambda path: (path.stem != "page", path.name))
