"""What may be said of a loss that no longer falls: a rate that has come down to nothing makes every curve flat."""

from __future__ import annotations

import itertools
import math
import statistics
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Curve = Sequence[tuple[float, float]]

PIECES = 24
"""Stretches that a run's losses are cut into; each gives one median."""
FEWEST = 120
"""Steps below which nothing can be said: the losses scatter too much."""
FEWEST_PIECES = 6
DECAYED = 0.1
"""Share of its peak below which a rate moves next to nothing."""
SIGMAS = 2.0


@dataclass(frozen=True)
class _Piece:
    """A stretch of steps: the first of them, the middle, the mean of the losses' logarithms and its standard error."""

    begin: float
    middle: float
    level: float
    error: float


def convergence(steps: Sequence[float], losses: Sequence[float], rates: Mapping[str, Curve]) -> str:
    """One sentence about a curve that has become flat within its scatter, and why; "" while it falls, or is too short.

    `rates`: by group, as pairs (step, applied rate)."""
    places, levels = array("d"), array("d")  # a hundred thousand pairs of Python's own would take 12 MB each time
    for step, loss in zip(steps, losses):
        if math.isfinite(loss) and loss > 0:
            places.append(step)
            levels.append(math.log(loss))
    if len(places) < FEWEST:
        return ""
    pieces = _pieces(places, levels)
    at = _flat_from(pieces)
    if at is None:
        return ""
    since, low = round(pieces[at].begin), _decayed_at(rates)
    head = "The loss shows no fall" if at == 0 else f"The loss is flat since about step {since}"
    if low is None:
        share = _share(rates, pieces[at].begin)
        kept = f" while the rate was still at {share:.0%} of its peak" if at and share is not None else ""
        fall = "beyond its scatter, which hides small ones" if at == 0 else "within its scatter"
        return f"{head} {fall}{kept}. Samples and held-out images show more than this curve."
    if low <= pieces[at].begin + 0.5 * (pieces[-1].middle - pieces[at].begin):
        where = "where the rate had fallen" if low <= since else f"and from step {round(low)} on the rate was"
        return f"{head}, {where} below {DECAYED:.0%} of its peak: that is the schedule, not convergence."
    return f"{head}, and was so before the rate fell below {DECAYED:.0%} of its peak at step {round(low)}."


def _pieces(places: Sequence[float], levels: Sequence[float]) -> list[_Piece]:
    edges = [round(i * len(places) / PIECES) for i in range(PIECES + 1)]
    pieces = []
    for a, b in itertools.pairwise(edges):
        values = levels[a:b]
        error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf
        pieces.append(_Piece(places[a], places[(a + b) // 2], statistics.fmean(values), error))
    return pieces


def _flat_from(pieces: Sequence[_Piece]) -> int | None:
    """The first piece from which on no fall can be told from scatter, and from which on half the pace of before could
    have been; None where there is none: a short or wild curve may still fall."""
    for at in range(len(pieces) - FEWEST_PIECES + 1):
        rest = pieces[at:]
        slope, error = _slope(rest)
        fell, _ = _slope(pieces[: max(at, 3)])
        slow = at == 0 or slope - SIGMAS * error > 0.5 * min(fell, 0.0)
        if slow and slope > -SIGMAS * error and _halves(rest) and _halves(rest[: len(rest) * 2 // 3]):
            return at
    return None


def _slope(pieces: Sequence[_Piece]) -> tuple[float, float]:
    """Of the straight line through the pieces, per step, and its standard error."""
    xs = [piece.middle for piece in pieces]
    mean = statistics.fmean(xs)
    spread = sum((x - mean) ** 2 for x in xs)
    slope = sum((x - mean) * piece.level for x, piece in zip(xs, pieces)) / spread
    return slope, math.sqrt(sum(((x - mean) * piece.error) ** 2 for x, piece in zip(xs, pieces))) / spread


def _halves(pieces: Sequence[_Piece]) -> bool:
    middle = len(pieces) // 2
    first, second = pieces[:middle], pieces[middle:]
    if not first or not second:
        return True
    fall = statistics.fmean(p.level for p in first) - statistics.fmean(p.level for p in second)
    error = math.hypot(*(math.sqrt(sum(p.error**2 for p in half)) / len(half) for half in (first, second)))
    return fall < SIGMAS * error


def _decayed_at(rates: Mapping[str, Curve]) -> float | None:
    """The step from which on every group's rate is below a tenth of its peak; None where one is not."""
    found = []
    for curve in rates.values():
        peak = max((rate for _, rate in curve), default=0.0)
        above = [step for step, rate in curve if rate >= DECAYED * peak]
        if not peak or above[-1] >= curve[-1][0]:
            return None
        found.append(next(step for step, _ in curve if step > above[-1]))
    return max(found, default=None)


def _share(rates: Mapping[str, Curve], step: float) -> float | None:
    """The largest group's rate at a step, of its own peak."""
    shares = []
    for curve in rates.values():
        peak = max((rate for _, rate in curve), default=0.0)
        near = min(curve, key=lambda pair: abs(pair[0] - step), default=None)
        if near is not None and peak:
            shares.append(near[1] / peak)
    return max(shares, default=None)
