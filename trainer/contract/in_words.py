"""Settings by the name that the form gives them, in texts that name them by path."""

from __future__ import annotations

import re

from .problems import Problem
from .settings import BY_PATH, ROWS

_PATHS = re.compile(rf"\b({'|'.join(sorted(map(re.escape, BY_PATH), key=len, reverse=True))})\b(?![.\w])")


def in_words(text: str) -> str:
    """`set schedule.warmup` -> `set "LR warmup"`: people who fill a form in do not know the paths."""
    return _PATHS.sub(lambda found: f'"{BY_PATH[found[0]].setting.label}"', text)


def label_of(path: str) -> str:
    """What the form calls the setting at `path`; a row's column is called by its table's label."""
    item = BY_PATH.get(".".join(path.split(".")[:2]))
    return item.setting.label if item else path


def has_field(path: str) -> bool:
    """Whether the form has a field for what is at `path`."""
    setting, _, column = path.rpartition(".")
    return path in BY_PATH or (setting in ROWS and column in ROWS[setting].model_fields)


def said(problem: Problem) -> str:
    """A problem as one sentence for people: `"LR warmup": Prodigy misjudges the rate - set it to 0`."""
    return f"{label_of(problem.path)}: {in_words(problem.why)}" + (f" - {in_words(problem.fix)}" if problem.fix else "")
