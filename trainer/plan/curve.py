"""The learning-rate schedule: a factor of the peak rate for each optimizer step.

Each shape is `f(t, options)` with t = 0 at the end of the warmup and t -> 1 at the end of the run; `factor` adds the
warmup and the minimum. The page's curve and the trainer call the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from trainer.contract import catalog
from trainer.contract.settings import Schedule


@dataclass(frozen=True)
class Options:
    """What the shapes may need beside t. `decay`: share of the whole run in which warmup-stable-decay falls."""

    total: int
    warmup_steps: int
    restarts: int = 1
    power: float = 1.0
    decay: float = 0.2

    @property
    def rest(self) -> int:
        """Steps after the warmup."""
        return max(self.total - self.warmup_steps, 1)


Shape = Callable[[float, Options], float]


def constant(t: float, options: Options) -> float:
    """The peak to the end."""
    return 1.0


def linear(t: float, options: Options) -> float:
    """Straight down to zero."""
    return 1.0 - t


def cosine(t: float, options: Options) -> float:
    """Half a cosine wave: slow, fast, slow down to zero."""
    return 0.5 * (1.0 + math.cos(math.pi * t))


def cosine_with_restarts(t: float, options: Options) -> float:
    """`restarts` half waves one after the other, each from the peak."""
    return cosine((options.restarts * t) % 1.0, options)


def polynomial(t: float, options: Options) -> float:
    """What is left of the run, to the `power`."""
    return (1.0 - t) ** options.power


def inverse_sqrt(t: float, options: Options) -> float:
    """1 / sqrt(1 + steps since the warmup / timescale). The timescale is the warmup, or 5 % of the run without one."""
    timescale = options.warmup_steps or max(options.total / 20, 1.0)
    return 1.0 / math.sqrt(1.0 + t * options.rest / timescale)


def warmup_stable_decay(t: float, options: Options) -> float:
    """The peak, then straight down to zero over the last share of the run."""
    share = min(options.decay * options.total / options.rest, 1.0)
    return min(1.0, (1.0 - t) / share) if share > 0 else 1.0


SHAPES: dict[str, Shape] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "cosine with restarts": cosine_with_restarts,
    "polynomial": polynomial,
    "inverse sqrt": inverse_sqrt,
    "warmup stable decay": warmup_stable_decay,
}


def factor(schedule: Schedule, step: int, total: int) -> float:
    """What the peak rate is multiplied by in optimizer step `step` (1 for the first) of `total`.

    The warmup climbs as step / (warmup steps + 1): no step is wasted at rate zero, and the first step after it has the
    peak. A schedule with a minimum m runs from 1 down to m. KeyError for a name that is not in the catalog.
    """
    options = options_of(schedule, total)
    if step <= options.warmup_steps:
        return step / (options.warmup_steps + 1)
    entry = catalog.find("schedules", schedule.name)
    shape = SHAPES[entry.name if entry else schedule.name]
    t = min((step - 1 - options.warmup_steps) / options.rest, 1.0)
    low = schedule.minimum if shape is not constant else 1.0
    return low + (1.0 - low) * shape(t, options)


def options_of(schedule: Schedule, total: int) -> Options:
    """The settings of a schedule in steps of a run of `total`."""
    warmup_steps = min(round(total * schedule.warmup / 100), total)
    return Options(total, warmup_steps, schedule.restarts, schedule.power, schedule.decay / 100)


def curve(schedule: Schedule, total: int, points: int = 200) -> list[tuple[int, float]]:
    """At most about `points` (step, factor) pairs from the first step to the last, the end of the warmup included."""
    stride = max(1, math.ceil(total / max(points, 1)))
    warmup_end = options_of(schedule, total).warmup_steps + 1
    wanted = {*range(1, total + 1, stride), min(warmup_end, total), total}
    return [(step, factor(schedule, step, total)) for step in sorted(wanted) if step >= 1]
