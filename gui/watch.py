"""What the page knows of runs, read from their folders and from nothing else; a run started elsewhere shows the same.

Each tick reads only what was added since the last; several browser sessions share one `Watcher`.
"""

from __future__ import annotations

import math
import re
import statistics
import threading
import time
from array import array
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from pathlib import Path

from gui import curves
from trainer.contract.events import (
    Event,
    Failed,
    Finished,
    Phase,
    Reader,
    RunStarted,
    Sampled,
    Saved,
    StepDone,
    Validated,
    Warned,
    from_line,
)
from trainer.contract.rundir import RunDir, RunState

KEPT_VIEWS = 8
"""Runs whose events stay in memory; a hundred thousand steps take about 4 MB."""
TAIL_BYTES = 32_768
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class RunView:
    """One run, built event by event; every figure on the page is read off it."""

    def __init__(self) -> None:
        self.version = 0
        self.started: RunStarted | None = None
        self.phase = ""
        self.step, self.epoch, self.images = 0, 0.0, 0
        self.steps, self.losses = array("d"), array("d")
        self.rates: dict[str, tuple[array[float], array[float]]] = {}
        self.validations: list[Validated] = []
        self.samples: list[Sampled] = []
        self.saved: list[Saved] = []
        self.warnings: list[Warned] = []
        self.failed: Failed | None = None
        self.finished: Finished | None = None
        self._seconds: deque[float] = deque(maxlen=51)
        self._first: tuple[float, int] | None = None
        self._last_time = 0.0

    def add(self, event: Event) -> None:
        """Take one event in; kinds that say nothing to the page are passed over."""
        handler = _HANDLERS.get(event.kind)
        if handler is not None:
            handler(self, event)
            self.version += 1

    def _on_started(self, event: RunStarted) -> None:
        self.started, self.failed, self.finished, self._first = event, None, None, None
        self._seconds.clear()

    def _on_phase(self, event: Phase) -> None:
        self.phase = f"{event.text} ({event.done} of {event.of})" if event.of else event.text

    def _on_step(self, event: StepDone) -> None:
        self.phase = ""
        self.step, self.epoch, self.images = event.step, event.epoch, event.images or self.images
        self.steps.append(event.step)
        self.losses.append(event.loss)
        for group, rate in event.learning_rate.items():
            steps, rates = self.rates.setdefault(group, (array("d"), array("d")))
            steps.append(event.step)
            rates.append(rate)
        if event.seconds > 0:
            self._seconds.append(event.seconds)
        self._first = self._first or (event.time, event.step)
        self._last_time = event.time

    def _on_validated(self, event: Validated) -> None:
        self.validations.append(event)

    def _on_sampled(self, event: Sampled) -> None:
        if not event.files:
            return
        if self.samples and self.samples[-1].step == event.step:
            self.samples.pop()  # asked for twice at one step: the pictures are the same
        self.samples.append(event)

    def _on_saved(self, event: Saved) -> None:
        self.saved.append(event)

    def _on_warned(self, event: Warned) -> None:
        self.warnings.append(event)

    def _on_failed(self, event: Failed) -> None:
        self.failed = event

    def _on_finished(self, event: Finished) -> None:
        self.finished, self.phase = event, ""

    @property
    def total_steps(self) -> int:
        """Steps that the run is planned for; 0 before it has said so."""
        return self.started.total_steps if self.started else 0

    @property
    def step_seconds(self) -> float | None:
        """Median time of the last steps: one slow step (a sample, a save) does not move it."""
        return statistics.median(self._seconds) if self._seconds else None

    @property
    def images_per_second(self) -> float | None:
        """Images shown to the model in a second of training."""
        seconds = self.step_seconds
        return self.images / seconds if seconds and self.images else None

    @property
    def eta_s(self) -> float | None:
        """Seconds until the last step, at the pace so far with its pauses for samples, checks and saves; at the pace of
        the steps alone until ten steps are known."""
        left = max(self.total_steps - self.step, 0)
        if not self.total_steps or self.step_seconds is None or self._first is None:
            return None
        first_time, first_step = self._first
        done = self.step - first_step
        pace = (self._last_time - first_time) / done if done >= 10 else self.step_seconds
        return left * max(pace, 0.0)

    @property
    def last_loss(self) -> float | None:
        """Loss of the newest step."""
        return self.losses[-1] if self.losses else None

    @property
    def not_numbers(self) -> int:
        """Steps whose loss was not a number."""
        return sum(1 for loss in self.losses if not math.isfinite(loss))

    def raw_losses(self, points: int = 600) -> curves.Points:
        """Losses thinned for the screen; every peak is kept."""
        return curves.thin(*curves.finite(self.steps, self.losses), points)

    def smooth_losses(self) -> curves.Points:
        """The losses' zero-phase mean."""
        return curves.smooth(*curves.finite(self.steps, self.losses))

    def rate_curves(self, points: int = 240) -> dict[str, curves.Points]:
        """Applied learning rates by group, thinned."""
        return {group: curves.thin(*curves.finite(*pair), points) for group, pair in self.rates.items()}


_HANDLERS = {
    kind: getattr(RunView, f"_on_{kind}")
    for kind in ("started", "phase", "step", "validated", "sampled", "saved", "warned", "failed", "finished")
}


@dataclass(frozen=True)
class Row:
    """A run in the list. `seconds`: how long it took, or has taken so far."""

    id: str
    state: RunState
    step: int
    total_steps: int
    loss: float | None
    seconds: float


@dataclass
class _Known:
    """What a folder's small files said when they were last looked at, with the marks that tell whether they changed."""

    marks: tuple[object, ...] = ()
    state: RunState = field(default_factory=lambda: RunState(name=""))
    step: int = 0
    loss: float | None = None


class Watcher:
    """Reads the runs of one folder. Hold `lock` while a view is read: another session's tick may be adding to it."""

    def __init__(self, runs: Path) -> None:
        self.runs = Path(runs)
        self.lock = threading.RLock()
        self._views: OrderedDict[str, tuple[Reader, RunView]] = OrderedDict()
        self._known: dict[str, _Known] = {}

    def run(self, run_id: str) -> RunDir | None:
        """The run of this name, or None: names come from a browser, so only folders that are there count."""
        return RunDir(self.runs / run_id) if run_id in self._names() else None

    def _names(self) -> list[str]:
        try:
            return [path.name for path in self.runs.iterdir() if (path / "run.json").is_file()]
        except OSError:
            return []

    def rows(self) -> list[Row]:
        """All runs, newest first."""
        with self.lock:
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
                known.step, known.loss = _last_step(run.events)
        except (OSError, ValueError, TypeError):
            return None
        known.marks = marks
        state = known.state
        begun = state.started or state.created
        seconds = (state.ended or _end(run, state)) - begun if begun else 0.0
        return Row(name, state, max(known.step, state.step), state.total_steps, known.loss, max(seconds, 0.0))

    def first_choice(self) -> str:
        """The run to show where none is chosen: the newest that is running, else the newest; "" without any."""
        rows = self.rows()
        alive = [row.id for row in rows if row.state.state in ("starting", "running")]
        return (alive or [row.id for row in rows] or [""])[0]

    def state(self, run: RunDir) -> RunState | None:
        """The run's state now, or None where its `run.json` cannot be read."""
        try:
            return run.current_state()
        except (OSError, ValueError, TypeError):
            return None

    def view(self, run: RunDir) -> RunView:
        """The run's view, with all events that are there by now. A file that was cut short is read anew."""
        with self.lock:
            reader, view = self._views.pop(run.id, (None, None))
            if reader is None or view is None or _size(run.events) < reader.offset:
                reader, view = Reader(run.events), RunView()
            for event in reader.new():
                view.add(event)
            self._views[run.id] = (reader, view)
            while len(self._views) > KEPT_VIEWS:
                self._views.popitem(last=False)
            return view


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


def _last_step(path: Path) -> tuple[int, float | None]:
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
