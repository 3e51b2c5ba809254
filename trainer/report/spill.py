"""Windows lets a full card spill: its driver moves what does not fit into main memory, and instead of failing, steps
become several times slower. Nothing says so; what can be seen is a full card and a jump in the time of a step."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

FULL = 0.94
"""Share of the dedicated memory from which a card counts as full. Windows keeps some hundred MB for itself and begins
to move things before the last byte is taken."""

JUMP = 2.0
"""How many times slower steps must have become. A hot card slows down by less than half; reading its memory over the
bus costs several times."""

STEADY = 2
"""Probes in a row that must show it, and that there must have been before: a single slow one is a disk, a check, a
video that starts."""


@dataclass(frozen=True)
class Probe:
    """Bytes in use on the device by all programs, its dedicated bytes, seconds of a usual step since the probe before,
    and bytes of this process's own tensors."""

    used: float
    total: float
    step_s: float
    own: float = 0.0


def spills(probes: Sequence[Probe]) -> bool:
    """Whether the newest probes show a card that spills.

    Either this process's own tensors are more than the card holds; or the card has been full for the last probes and
    their steps take at least `JUMP` times what steps took before, when it had room or was not moving yet."""
    known = [probe for probe in probes if probe.total > 0 and probe.step_s > 0]
    if known and known[-1].own > known[-1].total:
        return True
    now, before = known[-STEADY:], known[:-STEADY]
    if len(before) < STEADY or not all(probe.used >= FULL * probe.total for probe in now):
        return False
    usual = statistics.median(probe.step_s for probe in before)
    return all(probe.step_s >= JUMP * usual for probe in now)
