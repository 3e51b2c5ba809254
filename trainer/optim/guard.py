"""Updates that a gradient which is no number cannot reach: neither the weights nor what the optimizer remembers.

Zero gradients would not do: they still move averages and decay weights. So the whole step is left out, or undone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Bytes of a value -> the whole numbers that its bits are read as."""


class Guard:
    """Does an optimizer's step where `fine` is true; from the first time that it is not, nothing changes any more.

    On the CPU, and for optimizers that wait for their device in each step anyway, one truth value is read and the step
    left out. Elsewhere that would make the device wait for us, so that the decision stays on it (`on_device`): torch's
    fused optimizers skip the update themselves; of others weights and state are copied before each step and put back,
    which takes as much device memory again as they do. The caller reads what happened later and then calls `settle`."""

    def __init__(self, optimizer: torch.optim.Optimizer, on_device: bool) -> None:
        self._optimizer, self._on_device = optimizer, on_device
        if isinstance(optimizer, torch.optim.SGD):  # skipping its first fused step leaves momentum uninitialised
            optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        self._skips_itself = bool(getattr(optimizer, "_step_supports_amp_scaling", False))
        self._broken: Tensor | None = None
        self._copies: list[Tensor] = []
        self._before: deque[_Before] = deque(maxlen=2)  # the caller reads a step's figures when the next has been done

    @torch.no_grad()
    def step(self, number: int, fine: Tensor) -> None:
        """Step `number` of the run; `fine`: 0-dim, on the parameters' device."""
        if not self._on_device:
            self._broken = ~fine if self._broken is None else self._broken | ~fine
            if not bool(self._broken):
                self._optimizer.step()
            return
        bad = (~fine).float()
        self._broken = bad if self._broken is None else torch.maximum(self._broken, bad)
        if self._skips_itself:
            self._optimizer.found_inf = self._broken  # type: ignore[attr-defined]
            try:
                self._optimizer.step()
            finally:
                del self._optimizer.found_inf  # type: ignore[attr-defined]
            return
        before = _Before.of(number, self._optimizer)
        self._before.append(before)
        self._copy(before.tensors)
        self._optimizer.step()
        put_back(before.tensors, self._copies, self._broken)

    def settle(self, number: int) -> None:
        """Step `number` was not fine: give the optimizer back what lies outside the device (counters, entries that the
        step made), as it was before that step."""
        for before in self._before:
            if before.number == number:
                before.give_back(self._optimizer)

    def _copy(self, tensors: Sequence[Tensor]) -> None:
        same = len(tensors) == len(self._copies) and all(
            a.shape == b.shape and a.dtype == b.dtype for a, b in zip(tensors, self._copies)
        )
        if same:
            torch._foreach_copy_(self._copies, list(tensors))
        else:
            self._copies = [value.clone() for value in tensors]


@torch.no_grad()
def put_back(values: Sequence[Tensor], copies: Sequence[Tensor], broken: Tensor) -> None:
    """Where `broken` (0-dim, 0 or 1) is 1, the copies' bits; else nothing changes. The copies are used up.

    As whole numbers, for which 0 x anything is 0, so that it is exact for infinite values and those that are none."""
    by_size: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
    for value, copy in zip(values, copies):
        kept, saved = by_size.setdefault(value.element_size(), ([], []))
        kept.append(value.detach().view(BITS[value.element_size()]))
        saved.append(copy.view(BITS[copy.element_size()]))
    for size, (kept, saved) in by_size.items():
        back = broken.to(BITS[size])
        torch._foreach_mul_(kept, 1 - back)
        torch._foreach_mul_(saved, back)
        torch._foreach_add_(kept, saved)


@dataclass(frozen=True)
class _Elsewhere:
    """A small tensor on another device than the parameters (torch's step counters), and its values."""

    tensor: Tensor
    values: Tensor


@dataclass(frozen=True)
class _Before:
    """An optimizer before step `number`: its entries, and of the tensors among them those on the device."""

    number: int
    groups: list[dict[str, Any]]
    states: dict[Tensor, Any]
    tensors: list[Tensor]

    @classmethod
    def of(cls, number: int, optimizer: torch.optim.Optimizer) -> _Before:
        parameters = [value for group in optimizer.param_groups for value in group["params"]]
        tensors: dict[int, Tensor] = {id(value): value for value in parameters}
        home = parameters[0].device
        options = [{name: value for name, value in g.items() if name != "params"} for g in optimizer.param_groups]
        groups = [_taken(group, home, tensors) for group in options]
        states = {value: _taken(state, home, tensors) for value, state in optimizer.state.items()}
        return cls(number, groups, states, list(tensors.values()))

    def give_back(self, optimizer: torch.optim.Optimizer) -> None:
        for group, before in zip(optimizer.param_groups, self.groups):
            for name in set(group) - set(before) - {"params"}:
                del group[name]
            group.update(_given(before))
        optimizer.state.clear()
        optimizer.state.update({value: _given(state) for value, state in self.states.items()})


def _taken(value: Any, home: torch.device, tensors: dict[int, Tensor]) -> Any:
    """The same tree in containers of its own; its tensors on `home` are added to `tensors`."""
    if isinstance(value, Tensor):
        if value.device != home:
            return _Elsewhere(value, value.clone())
        tensors.setdefault(id(value), value)
        return value
    if isinstance(value, dict):
        return {name: _taken(item, home, tensors) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_taken(item, home, tensors) for item in value)
    return value


def _given(value: Any) -> Any:
    if isinstance(value, _Elsewhere):
        return value.tensor.copy_(value.values)
    if isinstance(value, dict):
        return {name: _given(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_given(item) for item in value)
    return value
