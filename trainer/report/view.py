"""What the page shows of one run, built event by event: figures, curves, samples, files, how it ended."""

from __future__ import annotations

import heapq
import math
import statistics
import sys
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from trainer.contract.events import (
    Event,
    Failed,
    Finished,
    Likened,
    Noted,
    Phase,
    Resumed,
    RunStarted,
    Sampled,
    Saved,
    StepDone,
    Timing,
    Validated,
    Warned,
)
from trainer.report import curves
from trainer.report.convergence import convergence
from trainer.report.verdicts import Split

Kept = TypeVar("Kept")
Window = tuple[float, float]
"""The steps that are looked at, from and to."""

KEPT_DRAWINGS = 80
"""Thinned and smoothed curves that a view keeps, of all windows that its readers look at."""


class RunView:
    """One run, built event by event; every figure on the page and in the report is read off it."""

    def __init__(self) -> None:
        self.started: RunStarted | None = None
        self.phase, self.progress = "", (0, 0)
        self.step, self.epoch, self.images = 0, 0.0, 0
        self.steps, self.losses, self.worked_at = array("d"), array("d"), array("d")
        self.rates: dict[str, Curve] = {}
        self.gradients, self.norms, self.batch_losses = Curve(self.steps), Curve(self.steps), Curve(self.steps)
        self.validations: list[Validated] = []
        self.likenesses: list[Likened] = []
        self.samples: list[Sampled] = []
        self.asked: list[Sampled] = []
        self.saved: list[Saved] = []
        self.told: list[Noted | Warned] = []
        self.resumes: list[int] = []
        self.times = Split()
        self.memory: dict[str, Curve] = {}
        self.failed: Failed | None = None
        self.finished: Finished | None = None
        self._seconds: deque[float] = deque(maxlen=51)
        self._first: tuple[float, int] | None = None
        self._begun = self._last_time = self._last_step_time = self._worked = 0.0
        self._kept: dict[str, tuple[object, Any]] = {}

    def add(self, event: Event) -> None:
        """Take one event in; kinds that say nothing to people are passed over."""
        handler = _HANDLERS.get(event.kind)
        if handler is not None:
            handler(self, event)
        self._begun = self._begun or event.time
        self._last_time = max(self._last_time, event.time)

    def _on_started(self, event: RunStarted) -> None:
        self.started, self.failed, self.finished, self._first = event, None, None, None
        self._seconds.clear()

    def _on_resumed(self, event: Resumed) -> None:
        self.resumes.append(event.step)
        self._worked, self._begun = self.worked_s, event.time
        self._last_time = event.time

    def _on_phase(self, event: Phase) -> None:
        self.progress = event.done, event.of
        self.phase = f"{event.text} ({event.done} of {event.of})" if event.of else event.text

    def _on_step(self, event: StepDone) -> None:
        self.phase = ""
        self.step, self.epoch, self.images = event.step, event.epoch, event.images or self.images
        self.steps.append(event.step)
        self.losses.append(event.loss)
        self.worked_at.append(self._worked + max(0.0, event.time - (self._begun or event.time)))
        for group in (*self.rates, *(name for name in event.learning_rate if name not in self.rates)):
            of_all = self.steps if len(self.steps) == 1 else None
            self.rates.setdefault(sys.intern(group), Curve(of_all)).add(event.step, event.learning_rate.get(group))
        self.gradients.add(event.step, event.grad_norm)
        self.norms.add(event.step, event.adapter_norm)
        self.batch_losses.add(event.step, event.validation_loss)
        if event.seconds > 0:
            self._seconds.append(event.seconds)
        self._first = self._first or (event.time, event.step)
        self._last_step_time = event.time

    def _on_validated(self, event: Validated) -> None:
        levels = {"per_timestep": _once(event.per_timestep), "train_per_timestep": _once(event.train_per_timestep)}
        self.validations.append(replace(event, **levels))

    def _on_likened(self, event: Likened) -> None:
        self.likenesses.append(event)

    def _on_sampled(self, event: Sampled) -> None:
        if not event.files:
            return
        event = replace(event, prompts=_once(event.prompts), recipes=_once(event.recipes))
        if event.asked:
            self.asked.append(event)
            return
        step = drawn_step(event)  # asked for twice at one step: the pictures are the same
        self.samples = [*(round for round in self.samples if drawn_step(round) != step), event]

    def _on_saved(self, event: Saved) -> None:
        self.saved.append(event)

    def _on_told(self, event: Noted | Warned) -> None:
        self.told.append(event)

    def _on_timing(self, event: Timing) -> None:
        self.times.add(event)
        for name, count in event.memory.items():
            self.memory.setdefault(name, Curve()).add(event.step, count)

    def _on_failed(self, event: Failed) -> None:
        self.failed = event

    def _on_finished(self, event: Finished) -> None:
        self.finished, self.phase = event, ""

    @property
    def warnings(self) -> list[Warned]:
        """What was warned of, in order."""
        return [event for event in self.told if isinstance(event, Warned)]

    @property
    def notes(self) -> list[Noted]:
        """What was noted, in order."""
        return [event for event in self.told if isinstance(event, Noted)]

    @property
    def worked_s(self) -> float:
        """Seconds in which the run was at work, over all its processes; pauses between them are left out."""
        return self._worked + max(0.0, self._last_time - self._begun)

    @property
    def lowest(self) -> Validated | None:
        """The check with the lowest validation loss."""
        found = [event for event in self.validations if math.isfinite(event.loss)]
        return min(found, key=lambda event: event.loss) if found else None

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
        pace = (self._last_step_time - first_time) / done if done >= 10 else self.step_seconds
        return left * max(pace, 0.0)

    @property
    def last_loss(self) -> float | None:
        """Loss of the newest step."""
        return self.losses[-1] if self.losses else None

    @property
    def not_numbers(self) -> int:
        """Steps whose loss was not a number."""
        return sum(1 for loss in self.losses if not math.isfinite(loss))

    def raw_losses(self, window: Window | None = None) -> curves.Points:
        """Losses thinned for the screen; every peak is kept."""
        return self._losses(window)[0]

    def smooth_losses(self, window: Window | None = None) -> curves.Points:
        """The losses' zero-phase mean."""
        return self._losses(window)[1]

    def _losses(self, window: Window | None) -> tuple[curves.Points, curves.Points]:
        def make() -> tuple[curves.Points, curves.Points]:
            pairs = _within(self.steps, self.losses, window)
            return curves.thin(*pairs, 600), _smooth(self.steps, self.losses, window)

        return self.kept(f"losses{window or ''}", _grown(len(self.steps)), make)

    def ordinary(self, window: Window | None = None) -> tuple[float, int, int]:
        """The loss that 99.5 % of the steps stay below, how many lie above it, and of how many."""

        def make() -> tuple[float, int, int]:
            values = _within(self.steps, self.losses, window)[1]
            if not values:
                return math.inf, 0, 0
            rarest = len(values) - min(len(values) - 1, math.ceil(0.995 * len(values)))
            top = 1.02 * heapq.nlargest(rarest, values)[-1]
            return top, sum(value > top for value in values), len(values)

        return self.kept(f"ordinary{window or ''}", _grown(len(self.steps)), make)

    def rate_curves(self, window: Window | None = None) -> dict[str, curves.Points]:
        """Applied learning rates by group, thinned."""
        return {group: self.thinned(f"rate {group}", curve, window) for group, curve in self.rates.items()}

    def convergence(self) -> str:
        """What is to be said of a loss that has become flat, the learning rate considered; "" while it falls."""
        return self.kept(
            "convergence",
            _grown(len(self.steps)),
            lambda: convergence(self.steps, self.losses, self.rate_curves()),
        )

    def thinned(self, name: str, curve: Curve, window: Window | None = None) -> curves.Points:
        """One of the view's curves with few points for the screen."""
        return self.kept(
            f"{name}{window or ''}",
            _grown(len(curve.steps)),
            lambda: curves.thin(*_within(curve.steps, curve.values, window), 240),
        )

    def smoothed(self, name: str, curve: Curve, window: Window | None = None) -> curves.Points:
        """The zero-phase mean of one of the view's curves."""
        return self.kept(
            f"{name}, smooth{window or ''}",
            _grown(len(curve.steps)),
            lambda: _smooth(curve.steps, curve.values, window),
        )

    def kept(self, name: str, mark: object, make: Callable[[], Kept]) -> Kept:
        """What `make` makes, made once for all sessions until `mark` (the number of points, say) changes. What has
        not been asked for the longest is forgotten: readers may zoom into a thousand windows."""
        known = self._kept.pop(name, None)
        if known is None or known[0] != mark:
            known = (mark, make())
        self._kept[name] = known
        while len(self._kept) > KEPT_DRAWINGS:
            del self._kept[next(iter(self._kept))]
        made: Kept = known[1]
        return made


class Curve:
    """A figure that not every step brings: steps and values. `of_all`: the steps of the run, which hold a step before
    it is told here; as long as each of them brings a value they are kept once."""

    def __init__(self, of_all: array[float] | None = None) -> None:
        self.steps, self.values = array("d") if of_all is None else of_all, array("d")
        self._of_all = of_all is not None

    def add(self, step: int, value: float | None) -> None:
        """Take a step's value, if there is one."""
        if self._of_all and value is None:
            self.steps, self._of_all = self.steps[: len(self.values)], False
        if value is not None:
            self.values.append(value)
            if not self._of_all:
                self.steps.append(step)


def _once(value: Any) -> Any:
    """The same with each text in memory once: every check and every round of samples tells its own anew."""
    if isinstance(value, dict):
        return {_once(key): _once(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_once(item) for item in value]
    return sys.intern(value) if type(value) is str else value


def _within(
    steps: Sequence[float], values: Sequence[float], window: Window | None
) -> tuple[Sequence[float], Sequence[float]]:
    return curves.cut(steps, values, *window) if window else curves.finite(steps, values)


def _smooth(steps: Sequence[float], values: Sequence[float], window: Window | None) -> curves.Points:
    """Of a window the mean knows a tenth more to both sides: its ends are those of the picture, not of the run."""
    if window is None:
        return curves.smooth(*curves.finite(steps, values))
    low, high = window
    air = 0.1 * (high - low)
    wide = curves.smooth(*curves.cut(steps, values, low - air, high + air))
    return [(step, value) for step, value in wide if low <= step <= high]


def _grown(points: int) -> tuple[int, int]:
    """A mark that changes with each point, of long curves with each thousandth: less than that cannot be seen, and of
    100,000 steps a drawing takes a third of a second."""
    part = max(1, points // 1000)
    return part, points // part


def drawn_step(event: Sampled) -> int:
    """The step of the adapter that drew these pictures."""
    return event.step if event.weights_step is None else event.weights_step


_HANDLERS = {
    kind: getattr(RunView, f"_on_{name}")
    for kind, name in {
        **{kind: kind for kind in ("started", "resumed", "phase", "step", "validated", "likened", "sampled", "saved")},
        "timing": "timing",
        "noted": "told",
        "warned": "told",
        "failed": "failed",
        "finished": "finished",
    }.items()
}
