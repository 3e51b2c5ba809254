"""The Computer tab: what belongs to this computer and never to a preset, and what this computer is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.context import Context as Building

from gui import computer, computer_facts
from gui.context import Context
from gui.security import allow
from gui.shared import QUIET, Shared
from gui.text import command, escape
from trainer.contract.problems import Problems

CLOSED = (
    "Other computers can open this page. Whoever knows its password could make it show any folder of this one, so the "
    "paths are changed only where Loratory is started without --listen, or in the machine file itself."
)
_LOAD = "window.loratory.computer(element, server);"


def build(shared: Shared) -> None:
    """Lay the tab out and wire it. The form is drawn by web/computer.js; each edit is a call of its own, which names
    the setting and nothing else."""
    context, page = shared.context, Building.root_block

    def computer_state(_: Any) -> dict[str, Any]:
        return computer.state(context)

    def computer_check(asked: Any) -> dict[str, Any]:
        return _checked(asked, context)

    def computer_save(asked: Any) -> dict[str, Any]:
        before = context.machine
        answer = _tried(lambda: computer.save(str(asked["name"]), [str(v) for v in asked["values"]], context))
        if page is not None:
            allow(page.allowed_paths, before.folders, context.machine.folders)
        return answer | {"values": computer.shown(context.machine)}

    def computer_cache(empty: Any) -> dict[str, Any]:
        answer = _tried(lambda: computer.empty_cache(context)) if empty else {"ok": True, "text": ""}
        return answer | {"now": computer.cache_line(context)}

    def computer_engine(_: Any) -> dict[str, Any]:
        return _tried(lambda: "\n".join(computer.engine_facts(context)))

    with gr.Row(elem_id="computer-tab"):
        with gr.Column(scale=7, elem_classes="sheet", min_width=300):
            gr.HTML("<h2>Folders of this computer</h2>", js_on_load=None)
            if not context.local:
                gr.HTML(f'<p class="quiet">{escape(CLOSED)}</p>', js_on_load=None)
            gr.HTML(
                '<div class="computer-form"></div>',
                js_on_load=_LOAD,
                elem_id="computer-form",
                apply_default_css=False,
                server_functions=[computer_state, computer_check, computer_save, computer_cache, computer_engine],
            )
        with gr.Column(scale=4, elem_classes="sheet", min_width=280):
            told = gr.HTML(elem_id="computer-facts", js_on_load=None, apply_default_css=False)
    if page is not None:
        page.load(lambda: facts_table(context), None, told, **QUIET)


def _checked(asked: Any, context: Context) -> dict[str, Any]:
    said = computer.check(str(asked["name"]), str(asked["text"]), context)
    return {"ok": said.ok, "text": said.text}


def _tried(act: Callable[[], Any]) -> dict[str, Any]:
    """What came of it, for the browser; what went wrong as one sentence."""
    try:
        return {"ok": True, "text": str(act() or "")}
    except Problems as error:
        problem = error.problems[0]
        return {"ok": False, "text": problem.why + (f": {problem.fix}" if problem.fix else "")}


def facts_table(context: Context) -> str:
    """What this computer is, and how to update, as HTML."""
    parts = []
    for heading, rows in computer_facts.facts(context).items():
        lines = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows)
        parts.append(f'<h2>{escape(heading)}</h2><table class="facts">{lines}</table>')
    commands = "".join(f"<p>{escape(why)}:</p>{command(line)}" for why, line in computer_facts.COMMANDS)
    return "".join(parts) + f"<h2>Updates</h2>{commands}<p>Run them in Loratory's folder, with the page closed.</p>"
