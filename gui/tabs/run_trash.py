"""Below the list of runs: what lies in the trash, how it comes back, and how it goes for good."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from gui.runs import trash
from gui.runs.panels import fold
from gui.runs.watch import Watcher
from gui.shared import SAYS
from gui.text import paragraph
from trainer.contract.problems import Problems
from trainer.report.words import escape, size

UNDO_S = 600.0
"""So long after a run was deleted its Undo stands in sight."""


def text(runs: Path) -> str:
    """What is in the trash, "" for nothing."""
    found = trash.thrown(runs)
    if not found:
        return ""
    newest = found[0]
    undo = ""
    if time.time() - newest.stat().st_mtime < UNDO_S:
        said = f'<span translate="no">{escape(newest.name)}</span>'
        undo = f'<p class="undo" role="status">{said} <span>is in the trash.</span> {_back(newest.name, "Undo")}</p>'
    listed = "".join(
        f'<li data-key="{escape(path.name)}"><span translate="no">{escape(path.name)}</span> '
        f"{_back(path.name, 'Put back')}</li>"
        for path in found
    )
    count = f"Trash: {len(found)} runs" if len(found) > 1 else "Trash: 1 run"
    empty = f'<button type="button" data-empty="1">Empty the trash</button> <span>{size(_bytes(tuple(found)))}</span>'
    return undo + fold("trash", count, f"<ul>{listed}</ul>{empty}")


def _back(name: str, word: str) -> str:
    return f'<button type="button" data-back="{escape(name)}">{word}</button>'


@lru_cache(maxsize=4)
def _bytes(folders: tuple[Path, ...]) -> int:
    return trash.bytes_of(list(folders))


def wire(
    area: gr.HTML,
    watching: Watcher,
    look: Callable[..., list[Any]],
    inputs: list[Any],
    outputs: list[Any],
    chosen: gr.State,
) -> None:
    """Let a click put a run back and show it, or delete all that is there (the browser asks first)."""

    def act(event: gr.EventData, run_id: str, *given: Any) -> list[Any]:
        *how, known = given
        back, why, shown = str(event._data.get("back", "")), "", run_id
        try:
            if back:
                shown = trash.put_back(watching.runs, back).id
            elif event._data.get("empty"):
                trash.empty(watching.runs)
        except Problems as problems:
            why = paragraph(str(problems), "bad")
        answers = look(shown, *how, known)
        if why:
            at = outputs.index(area)
            answers[at] = text(watching.runs) + why
            answers[-1] = {**(known if not isinstance(answers[-1], dict) else answers[-1]), "trash": hash(answers[at])}
        return [shown if shown != run_id else gr.skip(), *answers]

    area.click(act, inputs, [chosen, *outputs], **SAYS)
