"""The settings reference: every setting with its full help, found by any word of it."""

from __future__ import annotations

import gradio as gr

from gui.shared import Shared
from trainer.contract.reference import allowed, default_text
from trainer.contract.settings import ITEMS, Item
from trainer.report.words import escape


def build(shared: Shared) -> None:
    """Lay the tab out."""
    with gr.Column(elem_classes="sheet", elem_id="reference-card"):
        words = gr.Textbox(
            placeholder="A word: warmup, network_dim, overfitting …",
            label="Search the settings reference",
            elem_id="reference-search",
            max_lines=1,
        )
        found = gr.HTML(reference(""), elem_id="reference", js_on_load=None)
    words.input(reference, words, found, trigger_mode="always_last", show_progress="hidden", api_visibility="private")


def reference(words: str) -> str:
    """The settings that hold every word in label, path, sd-scripts' name or help, as HTML."""
    wanted = str(words or "").lower().split()
    found = [item for item in ITEMS if all(word in _haystack(item) for word in wanted)]
    if not found:
        return '<p class="quiet">No setting says that. Try another word for it.</p>'
    return "".join(_entry(item) for item in found)


def _haystack(item: Item) -> str:
    return f"{item.path} {item.setting.label} {item.setting.kohya} {item.help}".lower()


def _entry(item: Item) -> str:
    facts = [f"<code>{escape(item.path)}</code>", f"default: {escape(default_text(item.default))}"]
    if said := allowed(item):
        facts.append(escape(said))
    if item.setting.kohya:
        facts.append(f"sd-scripts: <code>{escape(item.setting.kohya)}</code>")
    return (
        f'<article><h3>{escape(item.setting.label)}</h3><p>{escape(item.help)}</p><p class="quiet">'
        f"{' · '.join(facts)}</p></article>"
    )
