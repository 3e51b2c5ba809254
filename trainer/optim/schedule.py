"""The learning rate of each step."""

from __future__ import annotations

import torch

from trainer.contract import settings
from trainer.plan import curve


class Scheduler:
    """Sets each group's rate to its peak times the plan's curve: the very curve that the page draws.

    It has no state: a resumed run calls `set` with the step that it has come to."""

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: settings.Schedule, total_steps: int) -> None:
        self._optimizer, self._schedule, self._total = optimizer, schedule, total_steps

    def set(self, step: int) -> None:
        """Before update `step`, counted from 1. A group whose last step is over gets no gradient any more: with it no
        optimizer moves it, whatever it remembers, and its part costs no backward pass."""
        factor = curve.factor(self._schedule, step, self._total)
        for group in self._optimizer.param_groups:
            trained = step <= group.get("last_step", step)
            group["lr"] = group["base_lr"] * factor if trained else 0.0
            if group["params"][0].requires_grad != trained:
                for value in group["params"]:
                    value.requires_grad_(trained)
