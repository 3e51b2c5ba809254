"""How long a stage trains: a number of minutes, or a number of steps. Learning rates follow the share that is done.

Minutes make a run end on time on a slow or busy machine; steps make it repeatable.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator


class Pace:
    """Counts steps and says which share (0-1) of the stage is behind us."""

    def __init__(self, minutes: float | None = None, steps: int | None = None) -> None:
        if (minutes is None) == (steps is None):
            raise ValueError("give either minutes or steps")
        self.limit_s = None if minutes is None else minutes * 60
        self.limit_steps = steps
        self.started_s = time.perf_counter()
        self.step = 0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started_s

    @property
    def share(self) -> float:
        """Share of the stage that is done."""
        if self.limit_s is not None:
            return min(self.elapsed_s / self.limit_s, 1.0)
        return min(self.step / max(self.limit_steps or 1, 1), 1.0)

    def __iter__(self) -> Iterator[int]:
        """Step numbers from 1 until time or steps are used up."""
        while self.share < 1.0:
            self.step += 1
            yield self.step

    def rate(self, peak: float, warmup_steps: int = 100, floor: float = 0.01) -> float:
        """Learning rate: linear warmup, then a cosine down to `floor` of the peak."""
        cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * self.share))
        return peak * cosine * min(self.step / warmup_steps, 1.0)
