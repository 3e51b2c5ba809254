"""Several processes with one result: who we are, gradients summed, decisions shared.

Each process keeps its own copy of the adapter; equal sums give equal updates, so no copy is ever sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


class Ranks:
    """This process among `count`; all methods do nothing but return where `count` is 1."""

    def __init__(self, rank: int = 0, count: int = 1, device: torch.device | None = None) -> None:
        self.rank, self.count = rank, count
        self._device = device or torch.device("cpu")

    @property
    def main(self) -> bool:
        """Whether this process writes files, reads requests and looks at clocks."""
        return self.rank == 0

    def sum_gradients(self, parameters: Sequence[Tensor], loss: Tensor) -> Tensor:
        """Replace every gradient, in place, by its sum over the processes; returns the sum of `loss`.

        All go as one flat float32 tensor: one message a step. A missing gradient counts as zero and comes back as a
        tensor, so that the optimizers of all processes see the same list; what is not trained any more has none."""
        if self.count == 1:
            return loss
        for parameter in parameters:
            if parameter.grad is None and parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([*(gradient.reshape(-1).float() for gradient in gradients), loss.detach().reshape(1).float()])
        dist.all_reduce(flat)
        at = 0
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()
        return flat[-1]

    def from_main(self, flags: Sequence[bool]) -> tuple[bool, ...]:
        """The main process's flags, in all processes."""
        if self.count == 1:
            return tuple(flags)
        values = torch.tensor([int(flag) for flag in flags], dtype=torch.int32, device=self._device)
        dist.broadcast(values, src=0)
        return tuple(bool(value) for value in values.tolist())

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process does the block alone, then the others do it: they find in the caches what it has made."""
        if not self.main:
            self.wait()
        try:
            yield
        finally:
            if self.main:
                self.wait()

    def wait(self) -> None:
        """Until every process has come here."""
        if self.count > 1:
            dist.barrier()
