"""The full states of a run, from which it can go on: where they lie, which one counts, where the events end by then.

Torch-free: the page asks here whether a run can be continued. What is in a state is for `trainer/saving/state.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .families.base import read_header
from .rundir import RunDir

KEPT = 2
"""States of a run that goes on: should the newest be damaged, there is the one before."""

LOST = "events.lost.jsonl"
"""Events beyond the state that a run went on from."""

MISSING_LIMIT = 1 << 26
"""Bytes of events that may be missing; a state that names more is not to be believed."""

FACTS = "loratory_state"
"""The safetensors metadata key of a state's JSON."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole state on disk. `step`: updates done. `events_bytes`: length of `events.jsonl` when it was written."""

    path: Path
    step: int
    events_bytes: int


def path_of(run: RunDir, step: int) -> Path:
    """The file of the state after `step`."""
    return run.checkpoints / f"state-step{step:08}.safetensors"


def preset_file(run: RunDir) -> Path:
    """The preset that the states were made with, for the words about what was changed since."""
    return run.checkpoints / "preset.toml"


def read_facts(path: Path) -> dict[str, Any]:
    """The JSON half of a state. ValueError or OSError where the file is not a whole state."""
    facts = json.loads(read_header(path)[1].get(FACTS, "null"))
    if not isinstance(facts, dict) or facts.get("format") != 1:
        raise ValueError(f"{path.name} is no state that this version can read")
    return facts


def newest(run: RunDir) -> Checkpoint | None:
    """The state of the latest step that is whole; None where the run has none."""
    for path in sorted(run.checkpoints.glob("state-step*.safetensors"), reverse=True):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            stat = path.stat()
            return _look(path, stat.st_mtime_ns, stat.st_size)
    return None


@lru_cache(maxsize=32)
def _look(path: Path, _mtime_ns: int, _size: int) -> Checkpoint:
    facts = read_facts(path)
    return Checkpoint(path, int(facts["step"]), int(facts["events_bytes"]))


def prune(run: RunDir, keep: int = KEPT) -> None:
    """Remove all but the newest `keep` states; one that another program holds open stays until the next time."""
    found = sorted(run.checkpoints.glob("state-step*.safetensors"))
    for path in found[: max(len(found) - keep, 0)]:
        with contextlib.suppress(OSError):
            path.unlink()


def rewind(run: RunDir) -> int:
    """Let the events end where the newest state was written (without one: at their beginning); those after it go to the
    end of `events.lost.jsonl`, since their steps are done again. Returns the step of that state, or 0.

    Where events had not come to the disk before the power went, empty lines take their place: so the state's position
    keeps its meaning. Doing it twice does no more than doing it once. Not for a run that is alive."""
    found = newest(run)
    end = found.events_bytes if found else 0
    with contextlib.suppress(FileNotFoundError), open(run.events, "r+b") as file:
        missing = end - file.seek(0, os.SEEK_END)
        file.write(b"\n" * (missing if missing <= MISSING_LIMIT else 0))
        end = min(end, file.tell())
        file.seek(end)
        lost = file.read()
        if lost:
            with open(run.path / LOST, "ab") as kept:
                kept.write(lost if lost.endswith(b"\n") else lost + b"\n")
                kept.flush()
                os.fsync(kept.fileno())
            file.truncate(end)
    return found.step if found else 0
