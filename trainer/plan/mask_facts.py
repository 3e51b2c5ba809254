"""What decoding masks has told: how bright each is at its brightest, so that none is decoded twice for a check.

Kept in memory, and in the machine's cache folder: a file per folder of masks, entries by name, length and time of
change, so that a mask that was changed counts as another. What cannot be decoded is not kept: it is to be put right.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from trainer.contract.rundir import write_whole

_VERSION = 1
"""Raise it when `pixels.open_mask` comes to give other pictures."""

_Key = tuple[str, bool]
"""File, and whether its alpha channel is the mask."""
_State = tuple[int, int]
"""Length, and time of change in ns."""

_known: dict[_Key, tuple[_State, int]] = {}
_loaded: set[Path] = set()
_new: set[Path] = set()
"""Folders of which more is known than their file tells."""


def brightest(file: Path, alpha: bool) -> int:
    """The brightest level of a mask, 0-255; BrokenImage where it cannot be decoded."""
    from .pixels import open_mask  # numpy: only where masks are looked at

    key, state = (str(file), alpha), _state(file)
    before = _known.get(key)
    if before is not None and before[0] == state:
        return before[1]
    level = int(open_mask(file, alpha=alpha).getextrema()[1])  # type: ignore[arg-type]
    if state is not None:
        _known[key] = (state, level)
        _new.add(file.parent)
    return level


def _state(file: Path) -> _State | None:
    try:
        told = os.stat(file)
    except OSError:
        return None
    return told.st_size, told.st_mtime_ns


def load(files: Iterable[Path], cache: Path) -> None:
    """Take what earlier programs have left in the cache folder for the folders of these masks."""
    for folder in {file.parent for file in files}:
        place = _place(cache, folder)
        if place not in _loaded:
            _loaded.add(place)
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                _take(folder, json.loads(place.read_text(encoding="utf-8")))


def _take(folder: Path, kept: dict[str, Any]) -> None:
    if kept["version"] == _VERSION:
        for name, alpha, size, changed, level in kept["masks"]:
            _known.setdefault((str(folder / name), bool(alpha)), ((int(size), int(changed)), int(level)))


def keep(cache: Path) -> None:
    """Write what is new into the cache folder, of files that are there. A disk that is full or cannot be written loses
    the gain only."""
    for folder in list(_new):  # several plans may be made at the same time
        _new.discard(folder)
        with contextlib.suppress(OSError):
            there = {entry.name for entry in os.scandir(folder)}
            rows = [
                [Path(path).name, int(alpha), *state, level]
                for (path, alpha), (state, level) in list(_known.items())
                if Path(path).parent == folder and Path(path).name in there
            ]
            text = json.dumps({"version": _VERSION, "masks": rows}, ensure_ascii=False)
            write_whole(_place(cache, folder), text)


def _place(cache: Path, folder: Path) -> Path:
    return Path(cache) / "masks" / f"{blake2b(str(folder).encode(), digest_size=16).hexdigest()}.json"
