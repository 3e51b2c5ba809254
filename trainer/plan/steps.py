"""How many optimizer steps an epoch and a run have, counted from the real buckets; when something is due."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from trainer.contract.settings import Interval, parse_interval, parse_length

from .buckets import Size


@dataclass(frozen=True)
class Steps:
    """`per_epoch` and `total` optimizer steps; `batches`: forward passes per epoch over all processes together, each of
    up to batch size x processes images; `looks`: showings of images in an epoch."""

    per_epoch: int
    total: int
    batches: int
    looks: int

    @property
    def epochs(self) -> float:
        """Passes over the images, the last one possibly in part."""
        return self.total / self.per_epoch

    @property
    def last_epoch(self) -> int:
        """Number of the epoch in which the last step falls, counted from 1."""
        return math.ceil(self.total / self.per_epoch)

    def epoch_of(self, step: int) -> int:
        """The epoch (from 1) that step `step` (from 1) belongs to."""
        return (step - 1) // self.per_epoch + 1

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch is complete after this step."""
        return step % self.per_epoch == 0


def count_steps(
    looks_per_bucket: Mapping[Size, int], global_batch: int, accumulate: int, length: str, batches: int = 0
) -> Steps:
    """Steps of a run. One batch comes from one bucket and the last one of each bucket may be smaller, never dropped;
    `accumulate` batches make a step, and the last step of an epoch may have fewer.

    `global_batch`: batch size x processes. `length`: "1500 steps" or "10 epochs". `batches`: in an epoch, where that is
    fixed (`balance.most_batches`); 0: as many as the buckets need."""
    batches = batches or sum(math.ceil(looks / global_batch) for looks in looks_per_bucket.values())
    per_epoch = max(1, math.ceil(batches / accumulate))
    wanted = parse_length(length)
    total = wanted.count * per_epoch if wanted.unit == "epoch" else wanted.count
    return Steps(per_epoch, total, batches, sum(looks_per_bucket.values()))


def due_steps(every: str, steps: Steps) -> tuple[int, ...]:
    """Steps after which something that happens `every` ("1 epoch", "200 steps") is due, the last step included if it
    falls on one. Nothing for "never", and for minutes, which only the clock of the run knows."""
    stride = stride_of(parse_interval(every), steps)
    return tuple(range(stride, steps.total + 1, stride)) if stride else ()


def stride_of(every: Interval, steps: Steps) -> int:
    """Steps between two occasions; 0 for "never" and minutes."""
    if every.unit == "minute":
        return 0
    return every.count * (steps.per_epoch if every.unit == "epoch" else 1)
