"""How long what waits in the queue will take, from past runs of this computer. No Gradio in it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from gui.queue import waiting
from gui.queue.waiting import Entry
from trainer.contract import families
from trainer.contract import preset as presets
from trainer.contract.problems import Problems
from trainer.plan.pace import paces
from trainer.plan.plan import make_plan

_known: dict[tuple[Path, str], float | None] = {}
_lock = threading.Lock()
_MOST = 500


def lengths(runs: Path, entries: Iterable[Entry]) -> dict[str, float]:
    """Entry id -> seconds from its start to its end, for those where past runs tell. Planning reads the images of an
    entry, so it is done once for each, for one new entry a call, and by one caller at a time."""
    entries = list(entries)
    if _lock.acquire(blocking=False):
        try:
            fresh = next((entry for entry in entries if (runs, entry.id) not in _known), None)
            if fresh is not None:
                _known[runs, fresh.id] = _seconds(runs, fresh)
            while len(_known) > _MOST:
                del _known[next(iter(_known))]
        finally:
            _lock.release()
    found = {entry.id: _known.get((runs, entry.id)) for entry in entries}
    return {id: seconds for id, seconds in found.items() if seconds is not None}


def _seconds(runs: Path, entry: Entry) -> float | None:
    """None where nothing tells, or what the entry needs is not there now."""
    try:
        preset = presets.load(waiting.preset_file(runs, entry))
        model = families.recognise(str(preset.model.path))
        return paces(runs).expected(make_plan(preset, recognised=model), model.header).seconds
    except (OSError, ValueError, Problems):
        return None
