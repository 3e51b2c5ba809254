"""All settings files of a folder at once: a row each, with what was taken over, changed, carried along and dropped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..problems import Problems
from .base import Imported
from .read import OWN, SUFFIXES, read_file

MOST_FILES, MOST_FOLDERS, DEEPEST = 500, 2000, 6
"""How many files are read, how many folders are looked into, and how deep, before the rest is left out and told."""


@dataclass(frozen=True)
class Row:
    """A file and what came of it; `problem` instead where it is none."""

    path: Path
    found: Imported | None = None
    problem: str = ""

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Keys taken over as they are, taken over with a change, carried along, dropped. Keys that say nothing (off, or
        as that program has them anyway) are not counted."""
        if self.found is None:
            return 0, 0, 0, 0
        telling = [key for key in self.found.keys if not key.idle]
        changed = sum(key.changed for key in telling)
        fates = [key.fate for key in telling]
        return fates.count("mapped") - changed, changed, fates.count("carried"), fates.count("dropped")


@dataclass(frozen=True)
class Folder:
    """The rows, and whether files were left out because there were too many."""

    rows: tuple[Row, ...]
    cut: bool = False


def read_folder(folder: Path) -> Folder:
    """Every settings file below a folder; others that happen to be JSON or TOML are rows with a problem."""
    rows: list[Row] = []
    for path in _files(Path(folder)):
        if len(rows) >= MOST_FILES:
            return Folder(tuple(rows), cut=True)
        try:
            rows.append(Row(path, read_file(path)))
        except Problems as faults:
            rows.append(Row(path, problem=faults.problems[0].why))
    return Folder(tuple(rows))


def _files(folder: Path) -> Iterator[Path]:
    """Files by name, those of a folder before those below it; links to folders are not followed."""
    for looked, (place, inner, names) in enumerate(os.walk(folder)):
        if looked >= MOST_FOLDERS:
            return
        deep = len(Path(place).relative_to(folder).parts)
        inner[:] = sorted(name for name in inner if not name.startswith(".")) if deep < DEEPEST else []
        yield from (Path(place) / name for name in sorted(names) if name.lower().endswith(SUFFIXES))


def is_foreign(row: Row) -> bool:
    """Whether a row holds settings of another program."""
    return row.found is not None and row.found.kind != OWN
