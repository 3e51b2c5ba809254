"""A moving average of the trained values (EMA), with which an adapter is used while the values themselves train on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average in float32, beside the values on their device.

    Its memory grows with the steps: min(decay, (1 + step) / (10 + step)), so that the zeros at the start are soon
    forgotten; a function of the step alone, so that a resumed run goes on exactly."""

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float) -> None:
        self._parameters: list[Tensor] = list(parameters)
        self._decay = decay
        self.values = [value.detach().clone() for value in self._parameters]

    @torch.no_grad()
    def add(self, step: int, fine: Tensor) -> None:
        """Take the values after `step`, unless the step changed nothing (`fine` is false); no wait for the device."""
        share = 1.0 - min(self._decay, (1 + step) / (10 + step))
        moved: Any = torch._foreach_sub(self._parameters, self.values)  # type: ignore[arg-type]
        torch._foreach_mul_(moved, fine.to(self.values[0].dtype) * share)
        torch._foreach_add_(self.values, moved)

    @torch.no_grad()
    def begin(self, values: Sequence[Tensor] | None) -> None:
        """Take an average that was kept; None: begin anew with the values as they are now."""
        for own, given in zip(self.values, self._parameters if values is None else values, strict=True):
            own.copy_(given)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it the parameters are the average; afterwards they are to the last bit what they were."""
        trained = [value.detach().clone() for value in self._parameters]
        self._put(self.values)
        try:
            yield
        finally:
            self._put(trained)

    @torch.no_grad()
    def _put(self, values: Sequence[Tensor]) -> None:
        for own, given in zip(self._parameters, values, strict=True):
            own.copy_(given)
