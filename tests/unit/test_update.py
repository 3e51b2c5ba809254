"""The end of an update: gradients measured, clipped and applied."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainer.parallel import Ranks
from trainer.update import Clipping, Objective, Update


def made(parameter: torch.nn.Parameter, max_norm: float, on_device: bool = False) -> Update:
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    nothing: Any = None  # the loss is not computed here
    return Update(nothing, nothing, Objective(nothing), optimizer, Clipping(max_norm, None, on_device), Ranks())


@pytest.mark.parametrize(("max_norm", "moved"), [(0.0, 4.0), (1.0, 0.8)])
def test_the_norm_is_that_before_clipping(max_norm: float, moved: float) -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    assert float(made(parameter, max_norm)._apply(1, torch.tensor(0.5))) == pytest.approx(5.0)
    assert float(-parameter[1]) == pytest.approx(moved, rel=1e-4)


def test_devices_without_batched_operations_are_clipped_too() -> None:
    """As Apple's: torch has no multi-tensor operations there. The meta device has none either."""
    parameter = torch.nn.Parameter(torch.zeros(2, device="meta"))
    parameter.grad = torch.ones(2, device="meta")
    assert made(parameter, 1.0, on_device=True)._apply(1, torch.zeros((), device="meta")).shape == ()
