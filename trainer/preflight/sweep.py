"""The learning-rate range test: the rate grows from step to step on real batches until the loss breaks out.

L. N. Smith, arXiv 1506.01186, section 3.3. The loss of a training batch is nearly all noise (one timestep a look), so
that after each step the same few looks are measured instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from trainer.contract import catalog

from .links import movement, wanted_parts
from .overfit import PATIENCE
from .stand import LEVELS, Stand, look_at

STEPS = 32
LOWEST, HIGHEST = 3e-5, 3.0
"""Relative movement of the layers by a step at the two ends of the sweep: hardly any, and three times the weight."""

BROKEN = 4.0
"""The sweep ends where the loss is this many times its start: nothing comes after that."""

DIVERGED = 1.5
"""A loss this many times the lowest so far, at two rates in a row, is diverging. On the demo that is 1.9e-2, and 30
steps at a constant 2e-2 raise the loss there to six times its start, while 6e-3 lowers it to a third."""


@dataclass(frozen=True)
class SweepFigures:
    """`points`: rate -> loss as a share of the start. `users`: the user's rate. `moved`: relative movement of a step at
    rate 1. Without points there was nothing to sweep, for the reason in `skipped`."""

    users: float
    points: list[tuple[float, float]] = field(default_factory=list)
    moved: float = math.nan
    skipped: str = ""


def measure(stand: Stand) -> SweepFigures:
    """Sweep the user's optimizer over five decades of rates, around what it moves the layers by."""
    chosen = catalog.optimizer(stand.bench.preset.optimizer.name)
    users = float(stand.bench.preset.optimizer.learning_rate)
    if chosen is not None and chosen.finds_rate:
        return SweepFigures(users, skipped=f"{chosen.name} finds its rate by itself")
    moved = _first_movement(stand, users)
    if not moved > 0 or not math.isfinite(moved):
        return SweepFigures(users, skipped="a step at your rate moves nothing")
    per_rate = moved / users
    rates = [LOWEST / per_rate * (HIGHEST / LOWEST) ** (step / (STEPS - 1)) for step in range(STEPS)]
    return SweepFigures(users, _sweep(stand, rates, users), per_rate)


def _first_movement(stand: Stand, rate: float) -> float:
    """Relative movement of the first step that is taken, of the part that moves most. A rate so low that float32 loses
    it is tried again larger: the first step of all common optimizers is proportional to the rate."""
    for factor in (1.0, 1e6):
        with stand.fresh() as fresh:
            _set_rates(fresh.optimizer.param_groups, rate * factor, rate)
            for attempt in range(1, PATIENCE + 1):
                fresh.update(attempt, stand.loader.micro_batches(attempt), stand.loader.looks(attempt))
                moved = max(movement(fresh.network, wanted_parts(stand)).values(), default=0.0)
                if moved > 0:
                    return moved / factor
    return 0.0


def _sweep(stand: Stand, rates: Sequence[float], users: float) -> list[tuple[float, float]]:
    process_steps, levels = len(stand.bench.family.process.betas), stand.levels()
    draws = stand.images()
    looks = [look_at(draw, levels[place % LEVELS], process_steps) for place, draw in enumerate((draws * LEVELS)[:8])]
    points: list[tuple[float, float]] = []
    with stand.fresh() as fresh:
        first = float(stand.losses(fresh, looks).mean())
        for step, rate in enumerate(rates, start=1):
            stand.progress("learning-rate range test", step, len(rates))
            _set_rates(fresh.optimizer.param_groups, rate, users)
            fresh.update(step, stand.loader.micro_batches(step), stand.loader.looks(step))
            points.append((rate, float(stand.losses(fresh, looks).mean()) / first))
            if not points[-1][1] < BROKEN:
                break
    return points


def _set_rates(groups: list[dict[str, object]], rate: float, users: float) -> None:
    """All groups at this rate, or at their own share of it where the user gave them rates of their own."""
    for group in groups:
        group["lr"] = rate * float(group["base_lr"]) / users  # type: ignore[arg-type]


def fastest(points: Sequence[tuple[float, float]]) -> float:
    """The rate at which the loss falls fastest: the steepest slope over the logarithm of the rate, of a mean of three
    points; nan where it never falls."""
    finite = [(rate, loss) for rate, loss in points if math.isfinite(loss)]
    smooth = [(finite[i][0], sum(loss for _, loss in finite[i - 1 : i + 2]) / 3) for i in range(1, len(finite) - 1)]
    slopes = [
        ((loss - before) / math.log(rate / last), math.sqrt(rate * last))
        for (last, before), (rate, loss) in pairwise(smooth)
    ]
    slope, rate = min(slopes, default=(0.0, math.nan))
    return rate if slope < 0 else math.nan


def diverging(points: Sequence[tuple[float, float]]) -> float:
    """The first rate at which the loss breaks out: far above the lowest so far at two rates in a row, or no number.
    Not a number where none does."""
    lowest = 1.0
    for place, (rate, loss) in enumerate(points):
        above = [not following < DIVERGED * lowest for _, following in points[place : place + 2]]
        if all(above):
            return rate
        lowest = min(lowest, loss) if math.isfinite(loss) else lowest
    return math.nan
