"""Telling a page only what is new to it, each time it looks.

A session's `sent` holds what it was told. Two looks of one page may be answered at the same time and arrive in another
order; what the page shows is then no longer what `sent` says, and would stay so. So the news are numbered, and a page
that gets another number than the next one asks for everything anew (`runs.js`).
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex
from typing import Any

import gradio as gr

from gui.shared import LATEST

Known = dict[str, Any]
NUMBER = "number"
"""Under this word `sent` holds how many news there were; a page that was told nothing yet has none."""
KEPT = (NUMBER, "nothing", "refused", "seq", "wrong", "until")
"""What `sent` holds besides what the page shows."""
_SCRIPT = "window.loratory.inOrder(props, trigger, watch); /* 'anew' */"


def number() -> gr.HTML:
    """The place of a page for the number of its news: the last but one output of its looks, before `sent`."""
    return gr.HTML("", html_template="", elem_classes="no-show", js_on_load=_SCRIPT)


def told(now: Known, known: Known) -> list[Any]:
    """The last two outputs of a look: the number, and what `sent` says from now on; nothing where nothing is new. Two
    answers of one number are told apart by a chance text behind it."""
    if now == known:
        return [gr.skip(), gr.skip()]
    now[NUMBER] = known.get(NUMBER, 0) + 1
    return [f"{now[NUMBER]} {token_hex(2)}", now]


def wire(place: gr.HTML, look: Callable[..., list[Any]], inputs: list[Any], outputs: list[Any]) -> None:
    """Let a page that has missed something look as if it had been told nothing. `inputs`: the last is `sent`."""

    def anew(*given: Any) -> list[Any]:
        *how, known = given
        return look(*how, {name: known[name] for name in KEPT if name in known})

    place.anew(anew, inputs, outputs, **LATEST)  # type: ignore[attr-defined]
