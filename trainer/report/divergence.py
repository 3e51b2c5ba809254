"""Whether a run is leaving the rails: its loss climbs, and not only because each step draws other timesteps.

A single loss says nearly nothing: it scatters by a factor of two and more. So medians of many steps are compared, by a
margin that grows with the scatter that the run itself shows.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from trainer.contract.events import Event, StepDone, Validated, Warned
from trainer.contract.settings import Preset

FIRST, BLOCK = 20, 50
"""Steps whose median is compared with: the first ones, and every later block."""
SHORT, LONG = (15, 6.0), (50, 2.5)
"""(last steps, by what factor their median must have risen)."""
SIGMAS = 5.0
"""Standard errors by which a rise must exceed the scatter: many looks at a long run must raise no false alarm."""
BLANK_SHARE = 0.85
"""Of the loss of a model that predicts nothing."""
EVERY = 5
MEDIAN_ERROR = 1.2533
"""Standard error of a median of n normal values, times sqrt(n)."""


@dataclass(frozen=True)
class Level:
    """Median loss of some steps, `first` to `last`, and the scatter of the losses' logarithms."""

    first: int
    last: int
    median: float
    scatter: float
    count: int

    @classmethod
    def of(cls, steps: list[tuple[int, float]]) -> Level:
        logs = [math.log(max(loss, 1e-12)) for _, loss in steps]
        middle = statistics.median(logs)
        scatter = 1.4826 * statistics.median(abs(value - middle) for value in logs)
        return cls(steps[0][0], steps[-1][0], math.exp(middle), scatter, len(steps))

    def above(self, other: Level, factor: float) -> bool:
        """Whether this level is higher by more than `factor`, and by more than chance."""
        error = MEDIAN_ERROR * math.sqrt(self.scatter**2 / self.count + other.scatter**2 / other.count)
        return math.log(self.median / other.median) > max(math.log(factor), SIGMAS * error)


class Divergence:
    """Takes a run's events; says what is wrong. `blank_loss`: of a model that predicts nothing; infinite: unknown."""

    def __init__(self, blank_loss: float = math.inf) -> None:
        self._blank_loss = blank_loss
        self._last: deque[tuple[int, float]] = deque(maxlen=LONG[0])
        self._block: list[tuple[int, float]] = []
        self._lowest: Level | None = None
        self._gradients: deque[float] = deque(maxlen=SHORT[0])
        self._gradient_block: list[float] = []
        self._lowest_gradient = math.inf
        self._checks: list[Validated] = []
        self._seen = 0

    def add(self, event: Event) -> str:
        """The sentence that is due after this event, else "". Asked again it says it again."""
        if isinstance(event, StepDone):
            return self._step(event)
        if isinstance(event, Validated):
            self._checks = [*self._checks[:1], *self._checks[1:][-1:], event]
            return self._validation()
        return ""

    def _step(self, event: StepDone) -> str:
        if not math.isfinite(event.loss):
            return ""
        self._seen += 1
        self._last.append((event.step, event.loss))
        self._gradients.append(event.grad_norm or 0.0)
        said = self._look() if self._seen % EVERY == 0 and self._seen >= FIRST else ""
        self._keep(event)
        return said

    def _keep(self, event: StepDone) -> None:
        """Add the step to its block; a full one may be the lowest so far."""
        self._block.append((event.step, event.loss))
        self._gradient_block.append(event.grad_norm or 0.0)
        full = len(self._block) == (FIRST if self._lowest is None else BLOCK)
        if not full:
            return
        level = Level.of(self._block)
        if self._lowest is None or level.median < self._lowest.median:
            self._lowest = level
        self._lowest_gradient = min(self._lowest_gradient, statistics.median(self._gradient_block))
        self._block, self._gradient_block = [], []

    def _look(self) -> str:
        short = Level.of(list(self._last)[-SHORT[0] :])
        if short.median > BLANK_SHARE * self._blank_loss:
            return (
                f"the median of the last {short.count} steps is {short.median:.3g}, about what a model that predicts "
                f"nothing at all would have ({self._blank_loss:.3g})"
            )
        if self._lowest is None:
            return ""
        for count, factor in (SHORT, LONG):
            level = Level.of(list(self._last)[-count:])
            if level.count == count and level.above(self._lowest, factor):
                return _rise(level, self._lowest)
        norm = statistics.median(self._gradients)
        if self._lowest_gradient > 0 and norm > 30 * self._lowest_gradient and short.above(self._lowest, 1.5):
            times = norm / self._lowest_gradient
            return f"gradients are {times:.0f} times as large as they were, and {_rise(short, self._lowest)}"
        return ""

    def _validation(self) -> str:
        """Two checks in a row far above the first one, on training images too: else it would be overfitting."""
        if len(self._checks) < 3:
            return ""
        first, *last = self._checks
        for check in last:
            same = (check.train_loss, first.train_loss)
            trained = same[0] is None or same[1] is None or same[0] > 1.3 * same[1]
            if not (trained and check.loss > max(1.5 * first.loss, first.loss + 4 * (first.error + check.error))):
                return ""
        return (
            f"the held-out images' loss is {last[-1].loss:.3g}, {last[-1].loss / first.loss:.1f} times that of step "
            f"{first.step} ({first.loss:.3g}), and that of training images rose too"
        )


def _rise(level: Level, lowest: Level) -> str:
    return (
        f"the median loss of the last {level.count} steps is {level.median:.3g}, {level.median / lowest.median:.1f} "
        f"times that of steps {lowest.first}-{lowest.last} ({lowest.median:.3g})"
    )


class Alarm:
    """A sink that warns once in a run when the loss diverges, with what to try."""

    MARK = "The loss is diverging: "

    def __init__(self, preset: Preset, emit: Callable[[Event], None], blank_loss: float = math.inf) -> None:
        self._preset, self._emit, self._told = preset, emit, False
        self._divergence = Divergence(blank_loss)

    def hear(self, event: Event) -> str:
        """Take what happened before this process, or now; returns what is to be told."""
        self._told = self._told or (isinstance(event, Warned) and event.text.startswith(self.MARK))
        return "" if self._told else self._divergence.add(event)

    def write(self, event: Event) -> None:
        """Take one event; warn where it is the one too many."""
        if said := self.hear(event):
            self._told = True
            text = f"{self.MARK}{said}. {what_to_try(self._preset)}"
            self._emit(Warned(step=event.step, text=text, setting="optimizer.learning_rate"))

    def close(self) -> None:
        """Nothing is held."""


def what_to_try(preset: Preset) -> str:
    """Against a loss that climbs, the most promising first."""
    optimizer = preset.optimizer
    rate = optimizer.learning_rate
    tries = [f"a learning rate of {rate / 3:.2g} instead of {rate:g}"]
    if not optimizer.max_grad_norm:
        tries.append("optimizer.max_grad_norm = 1, which is off")
    if not preset.schedule.warmup:
        tries.append("schedule.warmup = 5, which is off")
    return f"Stop it and try {', then '.join(tries)}; what was saved before the rise is still good."
