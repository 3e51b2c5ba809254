"""Curves for the screen: fewer points that look the same, and a smooth line that does not lag behind."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

Points = list[tuple[float, float]]


def finite(steps: Sequence[float], values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """The pairs whose value is a number; as a rule all of them, and then no copy is made of a hundred thousand."""
    if len(steps) == len(values) and all(map(math.isfinite, values)):
        return steps, values
    kept = [(step, value) for step, value in zip(steps, values) if math.isfinite(value)]
    return [step for step, _ in kept], [value for _, value in kept]


def slices(length: int, pieces: int) -> list[tuple[int, int]]:
    """(start, end) of `pieces` stretches of nearly equal length; empty ones are left out."""
    edges = [round(i * length / pieces) for i in range(pieces + 1)]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a]


def cut(
    steps: Sequence[float], values: Sequence[float], low: float, high: float
) -> tuple[Sequence[float], Sequence[float]]:
    """The pairs whose step lies between two; steps rise."""
    start, end = bisect_left(steps, low), bisect_right(steps, high)
    return finite(steps[start:end], values[start:end])


def thin(steps: Sequence[float], values: Sequence[float], points: int = 600) -> Points:
    """At most `points` pairs: the lowest and highest of each stretch, in their order, so that no peak is lost."""
    if len(values) <= points:
        return list(zip(steps, values))
    kept: Points = []
    for start, end in slices(len(values), points // 2):
        stretch = values[start:end]
        low, high = start + stretch.index(min(stretch)), start + stretch.index(max(stretch))
        kept += [(steps[i], values[i]) for i in sorted({low, high})]
    return kept


def smooth(steps: Sequence[float], values: Sequence[float], points: int = 300, width: float = 0.03) -> Points:
    """A zero-phase mean: each point is weighed over both sides by exp(-distance / (width x length)), so that the line
    neither lags behind the curve nor sags at its ends. `width` is a share of the whole, never below five points."""
    count = len(values)
    if count < 3:
        return list(zip(steps, values))
    pieces = slices(count, min(points, count))
    weights = [float(b - a) for a, b in pieces]
    sums = [math.fsum(values[a:b]) for a, b in pieces]
    places = [steps[(a + b - 1) // 2] for a, b in pieces]
    decay = math.exp(-1.0 / max(5.0, width * len(pieces)))
    totals, norms = _both_ways(sums, decay), _both_ways(weights, decay)
    return [(place, total / norm) for place, total, norm in zip(places, totals, norms)]


def _both_ways(values: Sequence[float], decay: float) -> list[float]:
    """Sum over j of values[j] * decay^|i - j|, in two passes."""
    forward, carried = [], 0.0
    for value in values:
        carried = carried * decay + value
        forward.append(carried)
    result, carried = [0.0] * len(values), 0.0
    for i in range(len(values) - 1, -1, -1):
        result[i] = forward[i] + carried
        carried = (carried + values[i]) * decay
    return result
