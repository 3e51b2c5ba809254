"""Full states in the course of a run: when one is written, and whether the newest may be gone on from."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trainer.contract import checkpoints
from trainer.contract import preset as presets
from trainer.contract.events import Event, Warned
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset
from trainer.plan.draws import digest
from trainer.plan.plan import Plan
from trainer.saving.state import Held, read_state, write_state

FREE = ("about", "memory", "saving", "sampling", "logging")
"""Sections that may change between a stop and a resume: the rest decides what is learnt."""


@dataclass
class States:
    """The states of one run. One that cannot be written is a warning, never the end of the run: the one before is still
    there."""

    run: RunDir
    held: Held
    plan: Plan
    emit: Callable[[Event], None]
    _last: int = 0

    def write(self, step: int) -> None:
        """Save the state after `step`, if that has not been done. The parameters must be those that are trained: not
        within `moments.in_use`."""
        if step in (0, self._last):
            return
        try:
            write_state(self.run, step, self.held, self._recipe())
            self._last = step
        except Exception as error:
            traceback.print_exc()
            text = f"the full state of step {step} could not be saved: {str(error).strip() or type(error).__name__}"
            self.emit(Warned(step=step, text=text, setting="saving.state_every"))

    def write_last(self, step: int, how: str) -> None:
        """Save the state at the end of the run. One that is done needs it only to be extended: one file is enough."""
        unfinished = how in ("stopped", "paused")
        if unfinished or self.plan.preset.saving.state_every != "never":
            self.write(step)
        if not unfinished:
            checkpoints.prune(self.run, keep=1)

    def restore(self) -> int:
        """Take the newest state, if the run has one; returns its step, or 0.

        Problems where settings were changed since, or the state does not fit."""
        found = checkpoints.newest(self.run)
        if found is None:
            return 0
        then, now = checkpoints.read_facts(found.path)["recipe"], self._recipe()
        refuse_changes(then["settings"], now["settings"])
        self._last = read_state(found.path, self.held)
        if then["images"] != now["images"]:
            text = "the images are not those that the run began with: it goes on with those that are there now"
            self.emit(Warned(step=self._last, text=text, setting="dataset.folders"))
        return self._last

    def _recipe(self) -> dict[str, Any]:
        images = digest(*((image.key, image.bytes) for image in self.plan.images)).hex()
        return {"settings": marks(self.plan.preset), "images": images}


def marks(preset: Preset) -> dict[str, str]:
    """A short hash of every setting that decides what is learnt, by path: a state tells that a value was changed, and
    nobody whom it is given what the value was."""
    items = [item for item in presets.ITEMS if item.section not in FREE]
    return {item.path: digest(repr(presets.value_at(preset, item.path))).hex()[:16] for item in items}


def refuse_changes(then: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Problems that name every setting which is another one than when the state was written."""
    changed = [path for path in {**then, **now} if then.get(path) != now.get(path)]
    why = "it was changed since the run's state was saved, so that the run cannot go on exactly"
    fix = "put the value back in the run's preset.toml, or start a new run with the changed preset"
    if changed:
        raise Problems([Problem(path, why, fix) for path in changed])
