"""The held-out images in the course of a run: checks on the fixed grid, a glance after each step.

Whatever goes wrong in them is a warning, never the end of a run, and nothing in them changes what is learnt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from trainer.contract.events import Noted, Validated, Warned
from trainer.parallel import Ranks
from trainer.plan import curve, names
from trainer.plan.draws import digest
from trainer.plan.plan import Plan
from trainer.update import Outcome
from trainer.validation.measure import Result
from trainer.validation.stopping import EarlyStopping
from trainer.validation.story import Story

from .keeper import Keeper
from .telling import Emit, told


@dataclass
class Checker:
    """Measures the held-out images, tells what that means and says when to stop; keeps the adapter of the lowest loss.

    `measure(draw indices)` runs on the main process only."""

    plan: Plan
    measure: Callable[[tuple[int, ...]], Result]
    stopping: EarlyStopping
    keeper: Keeper
    ranks: Ranks
    emit: Emit
    story: Story = field(default_factory=Story)
    _kept_step: int = 0
    _failures: set[str] = field(default_factory=set)

    def check(self, step: int) -> bool:
        """Measure and tell; True where the run is to end here, in all processes."""
        stop = self._tried(step) if self.ranks.main else False
        if not self._acts:
            return False
        return self.ranks.from_main((stop,))[0]

    @property
    def _acts(self) -> bool:
        """Whether early stopping ends the run."""
        return bool(self.plan.preset.validation.stop != "report only")

    def _tried(self, step: int) -> bool:
        try:
            return self._check(step)
        except Exception as error:  # out of memory, a full disk, an image that has gone: the training goes on
            text = f"the held-out images could not be measured: {told(error)}"
            if text not in self._failures:
                self._failures.add(text)
                self.emit(Warned(step=step, text=f"step {step}: {text}", setting="validation.every"))
            return False

    def _check(self, step: int) -> bool:
        began = time.monotonic()
        held_out = self.measure(self.plan.held_out)
        probe = self.measure(self.plan.train_probe) if self.plan.train_probe else None
        seconds = time.monotonic() - began
        verdict = self.stopping.add(step, held_out.loss, self._rate(step))
        check = Validated(
            step=step,
            loss=held_out.loss,
            error=held_out.error,
            train_loss=probe.loss if probe else None,
            per_timestep=_by_text(held_out.per_timestep),
            train_per_timestep=_by_text(probe.per_timestep) if probe else {},
            per_image=held_out.per_image,
            lowest=verdict.lowest,
            seconds=seconds,
        )
        self.emit(check)
        try:
            if verdict.lowest and step:
                self.keeper.save_lowest(step)
                self._kept_step = step
        finally:
            for event in self.story.add(check, verdict, self._file(), self._acts):
                self.emit(event)
        return verdict.stop

    def _rate(self, step: int) -> float:
        """The learning rate as share of its peak; within the warmup 1."""
        schedule, total = self.plan.preset.schedule, self.plan.steps.total
        climbing = step <= curve.options_of(schedule, total).warmup_steps
        return 1.0 if climbing else curve.factor(schedule, step, total)

    def _file(self) -> str:
        """The file of the lowest adapter, "" where it could not be written."""
        current = self._kept_step == self.stopping.lowest_step > 0
        return names.lowest_file(self.keeper.name) if current else ""

    def state(self) -> dict[str, Any]:
        """What a resumed run needs; plain values."""
        memory = {"kept_step": self._kept_step, "story": self.story.state(), "grid": self._grid()}
        return {**self.stopping.state(), **memory}

    def _grid(self) -> str:
        """Short hash of what is measured: losses of other images or noise levels cannot be compared with these."""
        keys = [self.plan.images[index].key for index in self.plan.held_out]
        return digest(self.plan.preset.validation.timesteps, *keys).hex()[:16]

    def restore(self, state: dict[str, Any]) -> None:
        """Take what `state` gave, unless something else is measured now; older states know less."""
        if state.get("grid", self._grid()) != self._grid():
            text = "Other images or noise levels are measured than before: the lowest validation loss is counted anew."
            self.emit(Noted(text=text, setting="validation.split"))
            return
        self.stopping.restore(state)
        self._kept_step = int(state.get("kept_step", state["lowest_step"]))
        self.story.restore(state.get("story", {}))
        if self._acts and self.stopping.waited >= self.stopping.patience:
            self.stopping.waited = 0  # the run had ended by it, and was asked to go on

    def tidy(self, after: int) -> None:
        """Before the first step of this process, with `after` steps done by others: one that was killed may have left
        the file of a lower loss that this one does not know of yet. It does not count until its step comes again."""
        aside = self.keeper.set_aside_lowest(self._kept_step) if self.ranks.main else ""
        if aside:
            text = f"{self.keeper.lowest.name} was of a step that is done again: it is kept as {aside}"
            self.emit(Noted(step=after, text=text, setting="validation.stop"))
        if not self.keeper.lowest.is_file():
            self._kept_step = 0

    @property
    def kept_step(self) -> int:
        """The step of the trained adapter with the lowest loss that was kept; 0 where there is none."""
        return self._kept_step


def _by_text(per_timestep: dict[int, float]) -> dict[str, float]:
    return {str(timestep): loss for timestep, loss in per_timestep.items()}


@dataclass
class Watcher:
    """Adds to each step's outcome the loss of a held-out image; switched off, and told, where that fails.

    `glance(step)`: on the main process only."""

    glance: Callable[[int], Tensor]
    emit: Emit
    _off: bool = False

    def __call__(self, step: int, outcome: Outcome) -> Outcome:
        """The outcome with its validation loss, not yet read from the device."""
        if self._off:
            return outcome
        try:
            return replace(outcome, validation_loss=self.glance(step))
        except Exception as error:
            self._off = True
            text = f"the validation at each step is switched off: {told(error)}"
            self.emit(Warned(step=step, text=text, setting="validation.each_step"))
            return outcome
