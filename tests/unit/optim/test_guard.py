"""A gradient that is no number changes nothing: every optimizer of the catalog, decided here or on the device."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import torch
from test_optimizers import ROWS, Toy, make

from trainer.contract import catalog
from trainer.optim.guard import Guard, put_back

WAYS = pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
BAD = pytest.mark.parametrize("bad", [math.nan, math.inf])


class Guarded:
    """A toy with an optimizer behind a guard."""

    def __init__(self, entry: catalog.Optimizer, on_device: bool) -> None:
        self.toy = Toy()
        self.optimizer = make(entry, self.toy, args={"min_8bit_size": 1} if "8bit" in entry.name else {})
        self.guard = Guard(self.optimizer, on_device)

    def step(self, number: int, bad: float | None = None) -> None:
        loss = self.toy.loss()
        self.optimizer.zero_grad()
        loss.backward()
        parameters = (self.toy.down, self.toy.up, self.toy.other)
        gradients = [value.grad for value in parameters if value.grad is not None]
        if bad is not None:
            gradients[0][3, 5] = bad
        norm = torch.nn.utils.get_total_norm(gradients)
        torch.nn.utils.clip_grads_with_norm_(parameters, 1.0, norm)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Paged optimizers")
            self.guard.step(number, torch.isfinite(norm))

    def everything(self) -> Any:
        """Weights, and all that the optimizer remembers, bit for bit."""
        weights = [value.detach().clone() for value in (self.toy.down, self.toy.up, self.toy.other)]
        groups = [{n: v for n, v in group.items() if n != "params"} for group in self.optimizer.param_groups]
        return copy.deepcopy([weights, groups, list(self.optimizer.state.values())])


def same(one: Any, other: Any) -> bool:
    """The same tree with the same bits."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other))
    return bool(one == other) and type(one) is type(other)


@ROWS
@WAYS
@BAD
def test_weights_and_moments_are_those_of_the_step_before(
    entry: catalog.Optimizer, on_device: bool, bad: float
) -> None:
    one = Guarded(entry, on_device)
    for number in (1, 2, 3):
        one.step(number)
    before = one.everything()
    one.step(4, bad)
    one.step(5)  # on its way before anybody has read the figures of step 4
    one.guard.settle(4)
    assert same(one.everything(), before)


@ROWS
@WAYS
def test_the_first_step_may_be_the_bad_one(entry: catalog.Optimizer, on_device: bool) -> None:
    one = Guarded(entry, on_device)
    weights = one.everything()[0]
    one.step(1, math.nan)
    one.step(2)
    one.guard.settle(1)
    assert same(one.everything()[0], weights)
    moments = [v for state in one.optimizer.state.values() for v in state.values() if torch.is_tensor(v)]
    assert all(bool(torch.isfinite(value.float()).all()) for value in moments)


@ROWS
def test_guarding_on_the_device_changes_no_bit_of_a_good_run(entry: catalog.Optimizer) -> None:
    plain, guarded = Guarded(entry, False), Guarded(entry, True)
    for number in range(1, 6):
        plain.step(number)
        guarded.step(number)
    assert same(plain.everything(), guarded.everything())


def test_this_test_would_notice_what_zero_gradients_do() -> None:
    one = Guarded(catalog.optimizer("AdamW"), False)
    one.step(1)
    before = one.everything()
    for value in (one.toy.down, one.toy.up, one.toy.other):
        value.grad = torch.zeros_like(value)
    one.optimizer.step()
    assert not same(one.everything(), before)


def test_fp16_may_skip_the_first_step_of_sgd() -> None:
    """torch's fused SGD leaves its momentum uninitialised where its very first step is skipped."""
    one = Guarded(catalog.optimizer("SGD"), False)
    before = one.everything()
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(one.toy.loss()).backward()
    assert one.toy.up.grad is not None
    one.toy.up.grad.fill_(math.inf)
    scaler.unscale_(one.optimizer)
    scaler.step(one.optimizer)
    assert same(one.everything(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("broken", [0.0, 1.0])
def test_bits_are_put_back_whatever_they_mean(dtype: torch.dtype, broken: float) -> None:
    some = torch.tensor([0.0, -0.0, 1.0, math.nan, math.inf]) if dtype.is_floating_point else torch.arange(5)
    values = [some.to(dtype), torch.ones((), dtype=dtype)]
    copies = [torch.zeros(5, dtype=dtype), torch.zeros((), dtype=dtype)]
    wanted = [(copy if broken else value).clone() for value, copy in zip(values, copies)]
    put_back(values, copies, torch.tensor(broken))
    for value, want in zip(values, wanted):
        size = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[value.element_size()]
        assert torch.equal(value.view(size), want.view(size))
