"""Full states in the course of a run: when one is written, and whether the newest may be gone on from."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainer.contract import checkpoints
from trainer.contract import preset as presets
from trainer.contract.events import Event, Noted, Warned
from trainer.contract.rundir import RunDir, Whole
from trainer.plan.changes import Moment, kept_preset, marks, review
from trainer.plan.draws import digest
from trainer.plan.plan import Plan
from trainer.plan.sides import NAME as SPLIT
from trainer.plan.sides import keep_for_run
from trainer.plan.split import sides_of
from trainer.saving.state import Held, read_state, write_state


@dataclass
class States:
    """The states of one run. One that cannot be written is a warning, never the end of the run: the one before is still
    there."""

    run: RunDir
    held: Held
    plan: Plan
    emit: Callable[[Event], None]
    _last: int = 0
    _preset_kept: bool = False

    def write(self, step: int) -> None:
        """Save the state after `step`, if that has not been done. The parameters must be those that are trained: not
        within `keeper.in_use`."""
        if step in (0, self._last):
            return
        try:
            write_state(self.run, step, self.held, self._recipe())
            self._last = step
            self._keep_preset()
            self._keep_split()
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
        """Take the newest state, if the run has one, and tell what settings were changed since; returns its step, or 0.

        Problems where one was changed that cannot be, or the state does not fit."""
        found = checkpoints.newest(self.run)
        if found is None:
            return 0
        then, now = checkpoints.read_facts(found.path)["recipe"], self._recipe()
        at = Moment(found.step, then.get("total"), self.plan.steps.total)
        changes = review(then["settings"], kept_preset(self.run), self.plan.preset, at)
        self._last = read_state(found.path, self.held)
        for change in changes:
            event = Warned if change.alarming else Noted
            self.emit(event(step=self._last, text=change.text, setting=change.path))
        if then["images"] != now["images"]:
            text = "the images are not those that the run began with: it goes on with those that are there now"
            self.emit(Warned(step=self._last, text=text, setting="dataset.folders"))
        return self._last

    def _recipe(self) -> dict[str, Any]:
        images = digest(*((image.key, image.bytes) for image in self.plan.images)).hex()
        return {"settings": marks(self.plan.preset), "images": images, "total": self.plan.steps.total}

    def _keep_split(self) -> None:
        """The split that the run began with, should its file have been deleted meanwhile."""
        if not (self.run.path / SPLIT).is_file():
            keep_for_run(self.run.path, sides_of(self.plan.images, self.plan.division))

    def _keep_preset(self) -> None:
        """The preset of the states, once for each process: `preset.toml` may be changed before the run goes on."""
        if not self._preset_kept:
            self.run.put(checkpoints.preset_file(self.run), Whole(presets.dumps(self.plan.preset).encode()))
            self._preset_kept = True
