"""What the page shows of one run, built event by event: figures, curves, samples, files, how it ended."""

from __future__ import annotations

import math
import statistics
from array import array
from collections import deque
from dataclasses import dataclass

from trainer.contract.events import (
    Event,
    Failed,
    Finished,
    Phase,
    RunStarted,
    Sampled,
    Saved,
    StepDone,
    Validated,
    Warned,
)
from trainer.report import curves


class RunView:
    """One run, built event by event; every figure on the page is read off it."""

    def __init__(self) -> None:
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
        self._curves: _Drawn | None = None

    def add(self, event: Event) -> None:
        """Take one event in; kinds that say nothing to the page are passed over."""
        handler = _HANDLERS.get(event.kind)
        if handler is not None:
            handler(self, event)

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

    def raw_losses(self) -> curves.Points:
        """Losses thinned for the screen; every peak is kept."""
        return self._drawn().raw

    def smooth_losses(self) -> curves.Points:
        """The losses' zero-phase mean."""
        return self._drawn().smooth

    def rate_curves(self) -> dict[str, curves.Points]:
        """Applied learning rates by group, thinned."""
        return self._drawn().rates

    def _drawn(self) -> _Drawn:
        """The curves as of now, computed once for all sessions and figures."""
        if self._curves is None or self._curves.steps != len(self.steps):
            losses = curves.finite(self.steps, self.losses)
            rates = {group: curves.thin(*curves.finite(*pair), 240) for group, pair in self.rates.items()}
            self._curves = _Drawn(len(self.steps), curves.thin(*losses, 600), curves.smooth(*losses), rates)
        return self._curves


@dataclass(frozen=True)
class _Drawn:
    """Curves for the screen, of the first `steps` steps."""

    steps: int
    raw: curves.Points
    smooth: curves.Points
    rates: dict[str, curves.Points]


_HANDLERS = {
    kind: getattr(RunView, f"_on_{kind}")
    for kind in ("started", "phase", "step", "validated", "sampled", "saved", "warned", "failed", "finished")
}
