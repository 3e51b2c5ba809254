"""Names of all optimizers that can be chosen and of their arguments, without importing any.

The table in `optimizer_arguments.json` is written by `python -m trainer.tools.optimizer_table` from the installed
libraries; a test compares the two.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from . import catalog


@lru_cache(maxsize=1)
def table() -> dict[str, tuple[str, ...]]:
    """Optimizer name (catalog's or pytorch-optimizer's) -> argument names, learning rate left out."""
    text = (Path(__file__).parent / "optimizer_arguments.json").read_text(encoding="utf-8")
    return {name: tuple(names) for name, names in json.loads(text).items()}


def find(name: str) -> str | None:
    """The name as it stands in the table, letter case aside, or None."""
    row = catalog.find("optimizers", name)
    wanted = (row.name if row else name).strip().lower()
    return next((known for known in table() if known.lower() == wanted), None)


def arguments(name: str) -> tuple[str, ...]:
    """The arguments of an optimizer; nothing for one that is not known."""
    found = find(name)
    return table()[found] if found else ()
