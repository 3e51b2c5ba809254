"""Which side each image was on before: remembered by a run for its resumes, and by this computer for later runs.

A run's own file (`split.json` in its folder) is final: what it names stays where it was, whatever is added later. The
computer's memory (in the machine's cache folder, a file per folder of images and way of splitting) only lets images
keep their side in later runs; without it the split is what the images alone say.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from trainer.contract.rundir import write_whole

NAME = "split.json"
"""The file in a run folder."""

_Contents = frozenset[bytes]


@dataclass(frozen=True)
class Sides:
    """Hashes of images' contents (`prints.content_hash`) by the side they were on; `aside`: neither, since they look
    like images of both. `final`: of a run that has begun, so that no further image is held out."""

    held_out: _Contents = frozenset()
    trained: _Contents = frozenset()
    aside: _Contents = frozenset()
    final: bool = False

    def with_more(self, other: Sides) -> Sides:
        """Both together; where they differ, an image was held out at some time and stays so."""
        held_out = self.held_out | other.held_out
        return Sides(held_out, (self.trained | other.trained) - held_out, self.aside | other.aside, self.final)


@dataclass(frozen=True)
class Known:
    """What a plan may know beside the preset. `cache`: the machine's cache folder, for the prints of images and the
    sides of earlier runs; `sides`: those of the run that is gone on with. `patience_s`: how long to compare images
    before an answer is given all the same, with what is known by then (None: until all are compared)."""

    cache: Path | None = None
    sides: Sides | None = field(default=None, repr=False)
    patience_s: float | None = None


def of_run(run: Path) -> Sides | None:
    """The split that the run in this folder began with; None where it has not begun yet, or is older than the file."""
    found = _read(run / NAME)
    return Sides(found.held_out, found.trained, found.aside, final=True) if found else None


def keep_for_run(run: Path, sides: Sides) -> None:
    """Write the split that a run begins with into its folder."""
    _write(run / NAME, sides)


def of_folders(cache: Path, folders: Sequence[str], how: str) -> Sides:
    """What this computer remembers of folders of images, split as `how` says (any text that names it)."""
    found = Sides()
    for folder in folders:
        found = found.with_more(_read(_file(cache, folder, how)) or Sides())
    return found


def keep_for_folders(
    cache: Path, folders: Sequence[Sequence[bytes]], names: Sequence[str], how: str, now: Sides
) -> None:
    """Remember the sides of a run that begins: `folders` holds the contents in each of the folders `names`. What was
    remembered of images that are no longer there stays. A disk that cannot be written loses the memory only."""
    for contents, name in zip(folders, names):
        file, here = _file(cache, name, how), frozenset(contents)
        before = _read(file) or Sides()
        both = Sides((before.held_out - now.trained) | (now.held_out & here), before.trained | (now.trained & here))
        with contextlib.suppress(OSError):
            _write(file, Sides(both.held_out, both.trained - both.held_out))


def _file(cache: Path, folder: str, how: str) -> Path:
    name = f"{os.path.normcase(os.path.abspath(folder))}\n{how}"
    return Path(cache) / "held-out" / f"{blake2b(name.encode(), digest_size=16).hexdigest()}.json"


def _read(file: Path) -> Sides | None:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        held_out, trained, aside = (
            frozenset(bytes.fromhex(text) for text in kept[side]) for side in ("held_out", "trained", "aside")
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return Sides(held_out, trained, aside)


def _write(file: Path, sides: Sides) -> None:
    kept = {
        "held_out": sorted(content.hex() for content in sides.held_out),
        "trained": sorted(content.hex() for content in sides.trained),
        "aside": sorted(content.hex() for content in sides.aside),
    }
    write_whole(file, json.dumps(kept, indent=0), sync=True)
