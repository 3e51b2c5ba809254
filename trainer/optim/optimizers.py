"""Optimizers made from a catalog row and the preset; what they truly apply; their weights for use."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from trainer.contract import catalog, settings
from trainer.contract.problems import Problem, Problems

_OURS = {
    "params": "it is what is trained",
    "lr": "set optimizer.learning_rate instead",
    "weight_decay": "set optimizer.weight_decay instead",
}


ENDLESS = 2**62
"""The last step of a group that is trained to the end."""


@dataclass(frozen=True)
class Group:
    """Parameters with a learning rate of their own. `name`: of the part that they belong to ("unet", "text_encoder"),
    which may have several groups; `factor`: on the part's rate; `last_step`: the last one in which they are trained."""

    name: str
    parameters: Sequence[nn.Parameter]
    learning_rate: float
    factor: float = 1.0
    last_step: int = ENDLESS

    @property
    def rate(self) -> float:
        """The peak rate that is applied."""
        return self.learning_rate * self.factor


def make_optimizer(
    kind: Callable[..., torch.optim.Optimizer],
    entry: catalog.Optimizer,
    groups: Sequence[Group],
    chosen: settings.Optimizer,
) -> torch.optim.Optimizer:
    """An optimizer of class `kind` over `groups`; each group remembers its peak rate as `base_lr`, and that
    of its part as `told_lr`.

    The preset's arguments win over the row's fixed ones.
    Problems: an argument that the class does not know or refuses; two rates where it can apply only one."""
    problems = check_arguments(kind, entry, chosen) + _one_rate(entry, groups)
    if problems:
        raise Problems(problems)
    arguments = dict(entry.fixed)
    if entry.decay and entry.decay in known_arguments(kind):
        arguments[entry.decay] = chosen.weight_decay
    arguments |= {name: _plain(value) for name, value in chosen.args.items()}
    rows = [{"params": list(g.parameters), "lr": g.rate, "name": g.name} for g in groups]
    try:
        optimizer = kind(rows, lr=max(g.rate for g in groups), **arguments)
    except (TypeError, ValueError) as error:
        raise Problems(
            [Problem("optimizer.args", f"{entry.name} refuses them: {error}", "correct or remove them")]
        ) from error
    for group, said in zip(optimizer.param_groups, groups, strict=True):
        group["base_lr"] = group["lr"]
        group["told_lr"], group["last_step"] = said.learning_rate, said.last_step
    if hasattr(optimizer, "train"):  # schedule-free ones, which refuse to step otherwise
        optimizer.train()
    return optimizer


def known_arguments(kind: Callable[..., object]) -> tuple[str, ...]:
    """The names that the class's constructor spells out; a catch-all `**kwargs` would swallow typing errors."""
    parameters = inspect.signature(kind).parameters.values()
    named = (p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    return tuple(named)


def check_arguments(kind: Callable[..., object], entry: catalog.Optimizer, chosen: settings.Optimizer) -> list[Problem]:
    """Names in `optimizer.args` that this optimizer does not have, each with the closest one that it has."""
    known = [name for name in known_arguments(kind) if name not in _OURS]
    problems = []
    for name in chosen.args:
        if name in _OURS:
            problems.append(Problem("optimizer.args", f'"{name}" cannot be set here', _OURS[name]))
        elif name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            fix = f'did you mean "{close[0]}"?' if close else "it takes " + ", ".join(known)
            problems.append(Problem("optimizer.args", f'{entry.name} has no argument "{name}"', fix))
    return problems


def _one_rate(entry: catalog.Optimizer, groups: Sequence[Group]) -> list[Problem]:
    """Optimizers that find the rate read the first group's multiplier and apply it to all."""
    if not entry.finds_rate or len({g.rate for g in groups}) < 2:
        return []
    rates = ", ".join(f"{g.name} {g.rate:g}" for g in groups)
    why = f"{entry.name} finds one rate for everything and cannot apply several ({rates})"
    return [Problem("optimizer.text_encoder_learning_rate", why, "leave the separate learning rates empty")]


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def applied_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The rate by part that the next update applies: the scheduled one, times the estimate d where one is kept. Of a
    part whose layers have several, that of a factor 1.

    No wait for the device unless the optimizer keeps its numbers there."""
    return {group["name"]: _told(group) * float(group.get("d", 1.0)) for group in optimizer.param_groups}


def _told(group: dict[str, Any]) -> float:
    rate, own, told = float(group["lr"]), group.get("base_lr"), group.get("told_lr")
    return rate if not own or not told or own == told else float(told) * rate / float(own)


@contextmanager
def weights_for_use(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Within it the parameters are those to validate, sample and save with.

    Schedule-free optimizers train at another point than the average that is their result (arXiv 2405.15682). Their way
    back is off by the last bits, so that the parameters are put back as they were."""
    for_use, for_training = getattr(optimizer, "eval", None), getattr(optimizer, "train", None)
    if for_use is None or for_training is None:
        yield
        return
    parameters = [value for group in optimizer.param_groups for value in group["params"]]
    trained = [value.detach().clone() for value in parameters]
    for_use()
    try:
        yield
    finally:
        for_training()
        with torch.no_grad():
            for value, before in zip(parameters, trained):
                value.copy_(before)
