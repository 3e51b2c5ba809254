"""What the page knows of runs, read from their folders and from nothing else; a run started elsewhere shows the same.

Each tick reads only what was added since the last; several browser sessions share one `Watcher`.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from gui.runs.glance import Glance
from trainer.contract import preset as presets
from trainer.contract.events import Reader, StepDone, from_line
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir, RunState
from trainer.contract.settings import Preset
from trainer.contract.tasks import TASKS
from trainer.report.preflight import JSON_FILE, Preflight
from trainer.report.preflight import load as load_preflight
from trainer.report.view import RunView

KEPT_VIEWS = 12
"""Runs whose events stay in memory. A hundred thousand steps take 5 MB (two learning rates, gradient norms); with a
check every 50 of them and samples every 100 it is 8.4 MB."""
TAIL_BYTES = 32_768
GLANCES_S = 0.2
"""Seconds of one look at the list that go into curves of runs that were never seen; the others follow at the next."""
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Row:
    """A run in the list. `seconds`: how long it took, or has taken so far. `lowest`: the lowest validation loss and
    its step; `spark`: losses from first to last, a few."""

    id: str
    state: RunState
    step: int
    total_steps: int
    loss: float | None
    seconds: float
    lowest: tuple[float, int] | None = None
    spark: tuple[float, ...] = ()


@dataclass
class _Known:
    """What a folder's small files said when they were last looked at, with the marks that tell whether they changed."""

    marks: tuple[object, ...] = ()
    state: RunState = field(default_factory=lambda: RunState(name=""))
    step: int = 0
    loss: float | None = None
    glance: Glance = field(default_factory=Glance)
    seen: tuple[int, int] = (0, 0)


class Watcher:
    """Reads the runs of one folder. Hold `lock` while a view is read: another session's tick may be adding to it."""

    def __init__(self, runs: Path) -> None:
        self.runs = Path(runs)
        self.lock = threading.RLock()
        self._views: OrderedDict[str, tuple[Reader, RunView, float]] = OrderedDict()
        self._known: dict[str, _Known] = {}
        self._until = 0.0

    def run(self, run_id: str) -> RunDir | None:
        """The run of this name, or None: names come from a browser, so only folders that are there count."""
        plain = run_id not in ("", ".", "..") and not set(run_id) & set("/\\:\0")
        return RunDir(self.runs / run_id) if plain and (self.runs / run_id / "run.json").is_file() else None

    def _names(self) -> list[str]:
        try:
            return [path.name for path in self.runs.iterdir() if (path / "run.json").is_file()]
        except OSError:
            return []

    def rows(self) -> list[Row]:
        """All runs, newest first."""
        with self.lock:
            self._until = time.monotonic() + GLANCES_S
            rows = [row for name in self._names() if (row := self._row(name)) is not None]
        return sorted(rows, key=lambda row: (row.state.created, row.id), reverse=True)

    def _row(self, name: str) -> Row | None:
        run = RunDir(self.runs / name)
        known = self._known.setdefault(name, _Known())
        marks = (_mark(run.state_file), _mark(run.events))
        try:
            if marks != known.marks or known.state.state in ("starting", "running"):
                known.state = run.current_state()
            if marks != known.marks:
                known.step, known.loss = last_step(run.events)
        except (OSError, ValueError, TypeError):
            return None
        known.marks = marks
        if known.seen != marks[1] and time.monotonic() < self._until:
            known.glance.look(run.events)
            known.seen = marks[1]
        state = known.state
        begun = state.started or state.created
        seconds = (state.ended or _end(run, state)) - begun if begun else 0.0
        seconds = state.worked_s + max(seconds, 0.0)
        step, glance = max(known.step, state.step), known.glance
        return Row(name, state, step, state.total_steps, known.loss, seconds, glance.lowest, tuple(glance.spark))

    def first_choice(self, rows: Sequence[Row] | None = None) -> str:
        """The run to show where none is chosen: the newest that is running, else the newest; "" without any. A task
        (captions, pictures) shows itself elsewhere: it is taken only where there is nothing else."""
        rows = self.rows() if rows is None else rows
        rows = [row for row in rows if row.state.kind not in TASKS] or rows
        alive = [row.id for row in rows if row.state.state in ("starting", "running")]
        return (alive or [row.id for row in rows] or [""])[0]

    def state(self, run: RunDir) -> RunState | None:
        """The run's state now, or None where its `run.json` cannot be read."""
        try:
            return run.current_state()
        except (OSError, ValueError, TypeError):
            return None

    def view(self, run: RunDir) -> RunView:
        """The run's view, with all events that are there by now. The file of a run that was resumed was cut: it is read
        anew."""
        state = self.state(run)
        began = state.started if state else 0.0
        with self.lock:
            reader, view, then = self._views.pop(run.id, (None, None, 0.0))
            if reader is None or view is None or began != then or _size(run.events) < reader.offset:
                reader, view = Reader(run.events), RunView()
            for event in reader.new():
                view.add(event)
            self._views[run.id] = (reader, view, began)
            while len(self._views) > KEPT_VIEWS:
                self._views.popitem(last=False)
            return view


_watchers: dict[Path, Watcher] = {}


def watcher(runs: Path) -> Watcher:
    """The watcher of a runs folder: one for all sessions and tabs."""
    return _watchers.setdefault(Path(runs).resolve(), Watcher(Path(runs).resolve()))


def console_tail(path: Path, lines: int = 200) -> list[str]:
    """The last lines of a console log as a terminal would show them: what a progress bar overwrote is left out, colours
    and control characters too."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            data = file.read()
    except OSError:
        return []
    text = data.decode("utf-8", errors="replace").replace("\r\n", "\n")
    found = text.split("\n")[1 if size > TAIL_BYTES else 0 :]
    shown = [_CONTROL.sub("", _ANSI.sub("", line.rstrip("\r").rsplit("\r", 1)[-1])).rstrip() for line in found]
    while shown and not shown[-1]:
        shown.pop()
    return shown[-lines:]


def preset_of(run: RunDir) -> Preset | None:
    """The run's own preset, which changes where it is gone on with other settings; None where it cannot be read."""
    return _preset(run.preset, _mark(run.preset))


@lru_cache(maxsize=32)
def _preset(path: Path, _seen: tuple[int, int]) -> Preset | None:
    try:
        return presets.load(path)
    except (OSError, Problems):
        return None


def preflight_of(run: RunDir) -> Preflight | None:
    """What a preflight found, read anew only where its file has changed; None as long as there is none."""
    path = run.path / JSON_FILE
    return _preflight(run.path, _mark(path)) if path.is_file() else None


@lru_cache(maxsize=16)
def _preflight(folder: Path, _seen: tuple[int, int]) -> Preflight | None:
    return load_preflight(folder)


def pending(run: RunDir) -> set[str]:
    """Requests that the trainer has not taken yet."""
    try:
        return {path.name for path in run.control.iterdir() if not path.name.startswith(".")}
    except OSError:
        return set()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _mark(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_size)


def _end(run: RunDir, state: RunState) -> float:
    """When a run without an end ended: now where it is alive, else when it last wrote an event."""
    if state.state in ("starting", "running"):
        return time.time()
    mark, _ = _mark(run.events)
    return mark / 1e9 if mark else (state.started or state.created)


def last_step(path: Path) -> tuple[int, float | None]:
    """Step and loss of the newest step event, from the file's end alone."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().decode("utf-8", errors="replace").split("\n")
    except OSError:
        return 0, None
    for line in reversed(lines[:-1]):
        if '"kind":"step"' in line[:40]:
            event = from_line(line)
            if isinstance(event, StepDone):
                return event.step, event.loss
    return 0, None
