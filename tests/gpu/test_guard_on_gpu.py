"""On a CUDA device too a gradient that is no number changes no bit, and deciding so does not make the host wait."""

from __future__ import annotations

import copy
import importlib
import math

import pytest
import torch

from trainer.contract import catalog, settings
from trainer.optim.guard import Guard
from trainer.optim.optimizers import Group, make_optimizer

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def made(entry: catalog.Optimizer) -> tuple[torch.nn.Parameter, torch.optim.Optimizer, Guard]:
    module, name = entry.target.split(":")
    value = torch.nn.Parameter(torch.randn(96, 64, device="cuda"))
    chosen = settings.Optimizer(name=entry.name, learning_rate=entry.rate)
    group = Group("unet", [value], entry.rate)
    optimizer = make_optimizer(getattr(importlib.import_module(module), name), entry, [group], chosen)
    return value, optimizer, Guard(optimizer, not entry.waits)


def step(number: int, value: torch.nn.Parameter, guard: Guard, bad: bool = False) -> None:
    value.grad = torch.randn_like(value)
    if bad:
        value.grad[1, 2] = math.nan
    guard.step(number, torch.isfinite(torch.nn.utils.get_total_norm([value.grad])))


@pytest.mark.parametrize("entry", catalog.OPTIMIZERS, ids=lambda entry: entry.name)
def test_weights_and_moments_are_those_of_the_step_before(entry: catalog.Optimizer) -> None:
    value, optimizer, guard = made(entry)
    for number in (1, 2, 3):
        step(number, value, guard)
    before = copy.deepcopy((value.detach(), optimizer.state[value]))
    step(4, value, guard, bad=True)
    step(5, value, guard)
    guard.settle(4)
    assert torch.equal(value.detach(), before[0])
    for name, kept in before[1].items():
        now = optimizer.state[value][name]
        assert torch.equal(now, kept) if torch.is_tensor(kept) else now == kept, name


@pytest.mark.parametrize("name", ["AdamW", "Lion", "CAME", "Adafactor"])
def test_the_host_does_not_wait(name: str) -> None:
    value, _, guard = made(catalog.optimizer(name))
    step(1, value, guard)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(2, value, guard)
    finally:
        torch.cuda.set_sync_debug_mode("default")
