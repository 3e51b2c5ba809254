"""What happens between steps: sample pictures, saved files. Always with the weights that are for use."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load

from trainer.contract.events import Event, Sampled, Saved, Warned
from trainer.contract.families.base import read_header
from trainer.contract.rundir import RunDir, Whole, replace_file
from trainer.optim.optimizers import weights_for_use
from trainer.parts import Network
from trainer.plan import names
from trainer.plan.plan import Plan
from trainer.report.causes import ran_out
from trainer.sampling.previews import Kept, Previews
from trainer.saving.adapter import adapter_bytes
from trainer.saving.retention import prune

from .device import free_memory
from .stopwatch import SILENT, Stopwatch

Emit = Callable[[Event], None]


@contextmanager
def in_use(network: Network, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """The adapter as it will be used: the optimizer's weights for use, no dropout, no gradients."""
    network.training(False)
    try:
        with weights_for_use(optimizer), torch.no_grad():
            yield
    finally:
        network.training(True)


@dataclass
class Keeper:
    """Writes adapter files into the run folder and removes in-between ones that are too many. A file that cannot be
    written now is told as `Saved` when it is on the disk.

    `metadata(step)`: what the file says of itself."""

    run: RunDir
    network: Network
    plan: Plan
    dtype: torch.dtype
    metadata: Callable[[int], dict[str, str]]
    emit: Emit
    watch: Stopwatch = SILENT

    @property
    def name(self) -> str:
        """The adapter's name."""
        return str(self.plan.preset.saving.name)

    def save(self, step: int) -> None:
        """An in-between file; then as many of the older ones go as `saving.keep_last` says."""
        self._write(step, self.plan.checkpoint_file(step), "in between")
        prune(self.run.path, self.name, self.plan.preset.saving.keep_last, step)

    def save_lowest(self, step: int) -> None:
        """The adapter of the lowest validation loss so far, always under the same name."""
        self._write(step, names.lowest_file(self.name), "lowest validation loss")

    @property
    def lowest(self) -> Path:
        """Where the adapter of the lowest validation loss lies, if it does."""
        return self.run.path / names.lowest_file(self.name)

    def set_aside_lowest(self, step: int) -> str:
        """Give the file of the lowest loss, where it is not of `step`, the name of its own step; that name, or ""."""
        try:
            its_step = int(read_header(self.lowest)[1]["ss_steps"])
        except (OSError, ValueError, KeyError):
            return ""
        if its_step == step:
            return ""
        replace_file(self.lowest, self.run.path / names.step_file(self.name, its_step))
        return names.step_file(self.name, its_step)

    def save_final(self, step: int) -> str:
        """The adapter as it is now, under its own name; returns the file's name."""
        return self._write(step, names.final_file(self.name), "final")

    def lowest_as_final(self, step: int, lowest_step: int) -> str:
        """The adapter of the lowest validation loss under the final name, and the last one under its step's, so that
        nothing is lost; returns the final file's name."""
        self._write(step, names.step_file(self.name, step), "in between")
        name, began = names.final_file(self.name), time.monotonic()
        data = self.run.get(self.lowest)
        weights_step = None if lowest_step == step else lowest_step
        return self._put(
            data, Saved(step=step, file=name, bytes=len(data), what="final", weights_step=weights_step), began
        )

    def _write(self, step: int, name: str, what: str) -> str:
        began = time.monotonic()
        with self.watch.part("saving"):
            data = adapter_bytes(self.network.tensors(), self.metadata(step), self.dtype)
            return self._put(data, Saved(step=step, file=name, bytes=len(data), what=what), began)

    def _put(self, data: bytes, told: Saved, began: float) -> str:
        def written() -> None:
            self.emit(replace(told, seconds=time.monotonic() - began))

        self.run.put(self.run.path / told.file, Whole(data, sync=True), written)
        return told.file


def attempt(what: str, do: Callable[[int], object], step: int, emit: Emit) -> None:
    """Do something after a step; where it fails `what` is told, and the training goes on."""
    try:
        do(step)
    except Exception as error:
        _tell(what, error, step, emit, "saving.every")


def preview(previews: Previews | None, step: int, emit: Emit, kept: Kept | None = None) -> Sampled | None:
    """Draw the samples; whatever goes wrong is a warning, never the end of a run. Returns what was drawn. `kept`: the
    weights are those of an earlier step."""
    if previews is None:
        text = "no samples can be drawn on request: this run was started without sampling"
        emit(Warned(step=step, text=text, setting="sampling.every"))
        return None
    try:
        drawn = previews.draw(step, kept)
        if drawn is not None:
            emit(drawn)
        return drawn
    except Exception as error:
        _tell(f"the samples of step {step} could not be drawn", error, step, emit)
        return None


def draw_final(previews: Previews, keeper: Keeper, file: str, weights_step: int, step: int) -> Sampled | None:
    """The pictures of the adapter that the run ends with, unless it drew them: of the last step as it is, of an earlier
    one that was kept from its file, so that they show what the user will get."""
    network, emit = keeper.network, keeper.emit
    if weights_step == step:
        return None if previews.drew(step) else preview(previews, step, emit)
    last = network.tensors()
    try:
        network.load_tensors(load(keeper.run.get(keeper.run.path / file)))
        return preview(previews, step, emit, Kept(weights_step, file))
    except Exception as error:
        _tell("the kept adapter could not be drawn with", error, step, emit)
        return None
    finally:
        network.load_tensors(last)


def lay_out(previews: Previews, step: int, emit: Emit) -> None:
    """Put before and after side by side; a warning where that fails."""
    try:
        previews.sheet()
    except Exception as error:
        _tell("before and after could not be laid side by side", error, step, emit)


def _tell(what: str, error: Exception, step: int, emit: Emit, setting: str = "sampling.every") -> None:
    text = f"{what}: {told(error)}"
    if ran_out(error) and setting.startswith("sampling"):
        text = f"{what}: memory ran out. Draw smaller or fewer pictures, or none (sampling.every); the training goes on"
    emit(Warned(step=step, text=text, setting=setting))


def told(error: Exception) -> str:
    """An error in a sentence; its whole story goes to the console log. Memory that it holds is let go."""
    traceback.print_exception(error)
    free_memory(error)
    return " ".join(str(error).split())[:400] or type(error).__name__
