"""Problems for the page: in the form's own words, and the button that does what a problem advises. No Gradio in here.

A button carries the contents that it puts into fields (`values.show`), so that one click is an edit like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gui.form.values import number_text, show
from trainer.contract.in_words import has_field, in_words
from trainer.contract.problems import Problem
from trainer.contract.settings import BY_PATH, Rule

Contents = list[list[Any]]
"""Pairs of a setting's path and what its field shall hold."""


def field_id(path: str) -> str:
    """The id of a setting's field in the page; settings of a dataset row belong to the table of rows."""
    return "f-" + ".".join(path.split(".")[:2]).replace(".", "-")


def sentence(problem: Problem) -> str:
    """A problem for the place beside its field: without the setting's path. One that no field is to blame for, as of a
    file's text, keeps the paths that stand there."""
    if not has_field(problem.path):
        return problem.why + (f" – {problem.fix}" if problem.fix else "")
    return in_words(problem.why) + (f" – {in_words(problem.fix)}" if problem.fix else "")


def told(problem: Problem) -> dict[str, Any]:
    """A problem as the page's script shows it: a sentence, and the button's text and contents where there is one."""
    return {"text": sentence(problem), "fix": fix_of(problem.path, problem.change)}


def fix_of(path: str, change: Iterable[tuple[str, Any]]) -> dict[str, Any] | None:
    """What a button says and puts into fields, beside the field at `path`; None where there is nothing to change."""
    pairs = [(setting, value) for setting, value in change if setting in BY_PATH]
    if not pairs:
        return None
    contents = [[setting, show(BY_PATH[setting], value)] for setting, value in pairs]
    return {"label": _label(path, pairs), "change": contents}


def _label(path: str, pairs: list[tuple[str, Any]]) -> str:
    setting, value = pairs[0]
    name = BY_PATH[setting].setting.label
    if len(pairs) > 1:
        return "do that"
    if isinstance(value, bool):
        here = "" if setting == path else f" {name}"
        return f"turn{here} {'on' if value else 'off'}"
    words = _words(value)
    if not words:
        return "do that"
    return f"use {words}" if setting == path else f"set {name} to {words}"


def _words(value: Any) -> str:
    if isinstance(value, (Rule, dict, list)) or value == "":
        rows = value if isinstance(value, list) and len(value) == 1 else []
        return str(getattr(rows[0], "path", "")) if rows else ""
    return number_text(value) if isinstance(value, float) else str(value)


def attribute(fix: Mapping[str, Any]) -> str:
    """The button's contents as the text of an attribute."""
    return json.dumps(fix["change"], ensure_ascii=False)
