"""A finished adapter into the user's ComfyUI, A1111 or Forge: buttons that any tab can place beside an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context as Building

from gui import adapters, text
from gui.context import Context
from gui.models import LoraFolder, lora_folders
from gui.shared import QUIET, SAYS, Shared
from gui.text import escape
from trainer.contract.problems import Problems

_PICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-to]');
  if (button && !window.loratory.again(event)) { trigger('click', {...button.dataset}); return; }
  if (event.target.closest('button[data-open-computer]')) trigger('computer');
});
"""


def build(shared: Shared, file: gr.State) -> gr.HTML:
    """Place the buttons. `file` holds the path of the adapter that they copy, "" for none; they are drawn anew when it
    changes."""
    context = shared.context
    area = gr.HTML(elem_classes="copy-adapter", js_on_load=_PICK, apply_default_css=False)

    def draw(path: str) -> str:
        return buttons(path, context)

    def copy(path: str, event: gr.EventData) -> str:
        asked: dict[str, Any] = event._data or {}
        return copied(path, str(asked.get("to", "")), str(asked.get("how", "")), context)

    file.change(draw, file, area, **QUIET)
    area.click(copy, file, area, **SAYS)
    area.computer(lambda: gr.Tabs(selected="computer"), None, shared.tabs, **QUIET)
    if Building.root_block is not None:
        Building.root_block.load(draw, file, area, **QUIET)
    return area


def buttons(path: str, context: Context, told: str = "") -> str:
    """A button for each place that takes adapters; where to name one, if there is none."""
    if not path:
        return ""
    targets = lora_folders(context.machine)
    if not targets:
        return (
            '<p class="quiet">Finished adapters can be copied into ComfyUI, A1111 or Forge, once the Computer tab '
            'knows their folder.</p><button type="button" class="small" data-open-computer>Open the Computer tab'
            "</button>" + told
        )
    rows = "".join(
        f'<button type="button" class="small" data-to="{escape(target.folder)}" title="{escape(target.folder)}" '
        f'translate="no">{escape(target.title)}</button>'
        for target in targets
    )
    return f'<div class="row"><span>Copy the adapter to</span>{rows}</div><div role="status">{told}</div>'


def copied(path: str, to: str, how: str, context: Context) -> str:
    """Copy, and say what happened. `to` is a folder among `lora_folders`; `how`: "" | "replace" | "both"."""
    target = next((each for each in lora_folders(context.machine) if str(each.folder) == to), None)
    file = Path(path) if path else None
    if target is None or file is None or not _may_copy(file, context):
        return buttons(path, context, text.paragraph("That cannot be copied: choose the adapter again.", "bad"))
    try:
        name = adapters.free_name(file, target.folder) if how == "both" else ""
        there = adapters.copy_to(file, target.folder, name, replace=how == "replace")
    except adapters.Taken as taken:
        return buttons(path, context, _asks(taken, target))
    except Problems as error:
        return buttons(path, context, text.problem_list(error.problems, "Not copied"))
    said = f'<p class="good">Copied. It is called:</p><code translate="no">{escape(there.name)}</code>'
    return buttons(path, context, said)


def _asks(taken: adapters.Taken, target: LoraFolder) -> str:
    place, name = escape(target.folder), escape(taken.target.name)
    return (
        f'<p class="bad">There is another file of this name already:</p><code translate="no">{name}</code>'
        f'<div class="row"><button type="button" class="small" data-to="{place}" data-how="replace">Replace it</button>'
        f'<button type="button" class="small" data-to="{place}" data-how="both">Keep both</button></div>'
    )


def _may_copy(file: Path, context: Context) -> bool:
    """On a page that other computers can open, only what runs have made."""
    if file.suffix.lower() != adapters.SUFFIX or not file.is_file():
        return False
    return context.local or file.resolve().is_relative_to(Path(context.runs).resolve())
