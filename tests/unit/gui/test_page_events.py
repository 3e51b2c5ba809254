"""No event of the page is lost or answered with another's data, however slow the answers are (Gradio 6.31)."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from gui import app
from gui.context import Context
from gui.turns import Turns
from trainer.contract.machine import Machine

ROOT = Path(__file__).resolve().parents[3]
ONE_AT_A_TIME = {"start"}
"""Handlers that are told what to begin: a second click while the first is being answered is the same click."""


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, dict[str, Any]]]:
    """The handler of each event of the page, with what the browser is told of it."""
    folder = tmp_path_factory.mktemp("page")
    page = app.build(Context(ROOT, folder, Machine(folder, folder)))
    return [(page.fns[told["id"]].fn, told) for told in page.get_config_file()["dependencies"]]


def test_events_that_tell_something_are_all_answered(events: list[tuple[Any, dict[str, Any]]]) -> None:
    telling = [(fn, told) for fn, told in events if fn is not None and _is_told(fn)]
    assert len(telling) > 20
    modes = {fn.__qualname__: told["trigger_mode"] for fn, told in telling if fn.__name__ not in ONE_AT_A_TIME}
    assert set(modes.values()) == {"multiple"}, modes
    begins = [told["trigger_mode"] for fn, told in telling if fn.__name__ in ONE_AT_A_TIME]
    assert begins == ["once"]


def test_the_last_content_of_a_field_is_always_told(events: list[tuple[Any, dict[str, Any]]]) -> None:
    edits = [told for _, told in events if told["inputs"] and _edits(told)]
    assert len(edits) > 100
    assert {told["trigger_mode"] for told in edits} == {"always_last"}


def _is_told(fn: Any) -> bool:
    """Whether an event hands its data to a handler, as Gradio finds it out."""
    hints = [hint.annotation for hint in inspect.signature(fn).parameters.values()]
    return any(hint is gr.EventData or "EventData" in str(hint) for hint in hints)


def _edits(told: dict[str, Any]) -> bool:
    return told["backend_fn"] and any(name in ("input", "change", "blur") for _, name in told["targets"])


def test_an_older_message_is_told_from_a_newer_one() -> None:
    turns = Turns()
    assert turns.take({"turn": 5}) and turns.holds({"turn": 5})
    assert turns.take({"turn": 7}, "other") and turns.take({"turn": 6})
    assert not turns.holds({"turn": 5}) and not turns.take({"turn": 5}) and turns.holds({"turn": 6})
    assert not turns.take({}) and not turns.take({"turn": "9"}), "what has no number comes before all that have one"
    assert Turns().take({})
