"""The choice of the page's language, in its header."""

from __future__ import annotations

import gradio as gr

from gui import languages
from gui.shared import SAYS
from trainer.report.words import escape

_MENU = """
window.loratory.languageMenu(element, trigger); /* 'speak' */
"""


def build() -> None:
    """Put the menu into the header that is being built."""
    options = "".join(
        f'<option value="{code}" lang="{code}">{escape(name)}</option>' for code, name in languages.LANGUAGES.items()
    )
    menu = gr.HTML(
        f'<select aria-label="Language" translate="no">{options}</select>', elem_id="language", js_on_load=_MENU
    )
    words = gr.HTML(
        "",
        html_template="",
        elem_id="dictionary",
        elem_classes="no-show",
        js_on_load="watch('value', () => window.loratory.heard(props.value));",
    )
    menu.speak(_speak, None, words, **SAYS)


def _speak(event: gr.EventData) -> str:
    return languages.told(str(event._data.get("code", "en")))
