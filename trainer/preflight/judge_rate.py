"""The learning-rate range test judged: where the loss falls fastest, where it diverges, where the user's rate lies."""

from __future__ import annotations

import math
from itertools import pairwise

from trainer.report.preflight import Chart, Curve, Rung

from .sweep import SweepFigures, diverging, fastest
from .verdict import NAMES, Finding

MARGIN = 2.0
"""The user's rate should lie below the first diverging one by this factor: the sweep tries each rate for one step only.
Measured on the demo: the sweep diverges at 1.9e-2, 200 steps at 6e-3 learn."""

FAR = 300.0
"""A rate this far below the one at which the loss falls fastest is slow. The sweep stays a step at each rate and so
favours high ones; a run of hundreds of steps is well served by a tenth to a hundredth of it."""


def learning_rate(figures: SweepFigures) -> Rung:
    """The range test, in words and in one picture."""
    if not figures.points:
        found = Finding("green", f"Nothing to sweep: {figures.skipped}.")
        if "moves nothing" in figures.skipped:
            found = Finding("red", f"No range test: {figures.skipped}.", "", ["look at the rung of one image"])
        return Rung(
            4, NAMES[4], found.verdict, found.sentence, [], found.link, found.fixes, {"your_rate": figures.users}
        )
    quick, breaks = fastest(figures.points), diverging(figures.points)
    numbers = {
        "your_rate": figures.users,
        "fastest_rate": quick,
        "diverging_rate": breaks,
        "lowest_loss_share": min((loss for _, loss in figures.points if math.isfinite(loss)), default=math.nan),
        "movement_per_step_at_rate_1": figures.moved,
    }
    found = _judge(figures, quick, breaks)
    low, high = figures.points[0][0], figures.points[-1][0]
    details = [
        f"Swept from {low:.2g} to {high:.2g} in {len(figures.points)} steps: the loss falls fastest at {rate(quick)}, "
        f"diverges first at {rate(breaks)}, yours is {figures.users:.2g}.",
        "A step at each rate says what is too high, not what is lowest in the end: between a hundredth of the fastest "
        "and half of the diverging rate all are worth a try.",
    ]
    chart = _chart(figures, quick, breaks)
    return Rung(4, NAMES[4], found.verdict, found.sentence, details, found.link, found.fixes, numbers, [chart])


def rate(value: float) -> str:
    """A rate for people."""
    return f"{value:.2g}" if math.isfinite(value) else "none of them"


def _judge(figures: SweepFigures, quick: float, breaks: float) -> Finding:
    users = figures.users
    proposal = _proposal(quick, breaks)
    if not math.isfinite(quick):
        fixes = ["look at the rungs of one image and of the base model"]
        return Finding("red", "At no learning rate does the loss fall.", "does not learn", fixes)
    if users >= breaks:
        sentence = f"Your learning rate {users:.2g} is above {breaks:.2g}, where the loss diverges."
        return Finding("red", sentence, "rate too high", [f"lower optimizer.learning_rate to {proposal}"])
    if users * MARGIN > breaks:
        sentence = f"Your learning rate {users:.2g} is close to {breaks:.2g}, where the loss diverges."
        return Finding("yellow", sentence, "rate too high", [f"lower optimizer.learning_rate to {proposal}"])
    if users * FAR < quick:
        sentence = f"Your learning rate {users:.2g} is far below {quick:.2g}, where the loss falls fastest."
        return Finding("yellow", sentence, "rate too low", [f"raise optimizer.learning_rate towards {proposal}"])
    if users < figures.points[0][0]:
        sentence = (
            f"Your learning rate {users:.2g} lies below the sweep, far from diverging: rung 1 says if it is enough."
        )
        return Finding("green", sentence)
    below = f", {breaks / users:.2g} times below where it diverges" if math.isfinite(breaks) else ""
    return Finding("green", f"Your learning rate {users:.2g} lies where the loss falls{below}.")


def _proposal(quick: float, breaks: float) -> str:
    """A rate to begin with: a tenth of the first diverging one, or of the highest that falls fast."""
    return rate(breaks / 10 if math.isfinite(breaks) else quick / 10)


def _chart(figures: SweepFigures, quick: float, breaks: float) -> Chart:
    """Loss over rate, with a dot at each rate that is spoken of."""
    curves = [Curve("loss, share of the start", figures.points, 1)]
    top = max((loss for _, loss in figures.points if math.isfinite(loss)), default=1.0)
    for name, place, ink in (("falls fastest", quick, 3), ("diverges", breaks, 2), ("yours", figures.users, 4)):
        if math.isfinite(place):
            curves.append(Curve(f"{name}: {place:.2g}", [(place, _height(figures, place, top))], ink, dots=True))
    return Chart("Learning-rate range test", "learning rate", curves, log_x=True, log_y=True)


def _height(figures: SweepFigures, place: float, top: float) -> float:
    """The loss at a place, between the swept rates; that of the nearest end outside of them."""
    points = [(rate, loss if math.isfinite(loss) else top) for rate, loss in figures.points]
    for (low, before), (high, after) in pairwise(points):
        if low <= place <= high:
            return float(before * (after / before) ** (math.log(place / low) / math.log(high / low)))
    return points[0][1] if place < points[0][0] else points[-1][1]
