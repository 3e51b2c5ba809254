"""The adapter's files in the course of a run. Always with the weights that are for use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from trainer.contract.events import Saved
from trainer.contract.families.base import read_header
from trainer.contract.rundir import RunDir, Whole, replace_file
from trainer.optim.average import Average
from trainer.optim.optimizers import weights_for_use
from trainer.parts import Network
from trainer.plan import names
from trainer.plan.plan import Plan
from trainer.saving.adapter import adapter_bytes
from trainer.saving.retention import prune
from trainer.timing.stopwatch import SILENT, Stopwatch

from .telling import Emit


@contextmanager
def in_use(network: Network, optimizer: torch.optim.Optimizer, average: Average | None = None) -> Iterator[None]:
    """The adapter as it will be used: the optimizer's weights for use or the moving average, no dropout, no
    gradients."""
    network.training(False)
    try:
        averaged = average.in_use() if average else nullcontext()
        with weights_for_use(optimizer), averaged, torch.no_grad():
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
        aside = self.run.path / names.step_file(self.name, its_step)
        replace_file(self.lowest, aside)
        if self._copy_of(self.lowest).is_file():
            replace_file(self._copy_of(self.lowest), self._copy_of(aside))
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
        if self.plan.preset.saving.diffusers:
            copy = Whole(self.run.get(self._copy_of(self.lowest)), sync=True)
            self.run.put(self._copy_of(self.run.path / name), copy)
        weights_step = None if lowest_step == step else lowest_step
        return self._put(
            data, Saved(step=step, file=name, bytes=len(data), what="final", weights_step=weights_step), began
        )

    def _write(self, step: int, name: str, what: str) -> str:
        began = time.monotonic()
        with self.watch.part("saving"):
            metadata = self.metadata(step)
            data = adapter_bytes(self.network.tensors(), metadata, self.dtype)
            if self.plan.preset.saving.diffusers:
                copy = Whole(adapter_bytes(self.network.peft_tensors(), metadata, self.dtype), sync=True)
                self.run.put(self._copy_of(self.run.path / name), copy)
            return self._put(data, Saved(step=step, file=name, bytes=len(data), what=what), began)

    @staticmethod
    def _copy_of(path: Path) -> Path:
        """The file with the same values in diffusers' names."""
        return path.with_name(names.diffusers_file(path.name))

    def _put(self, data: bytes, told: Saved, began: float) -> str:
        def written() -> None:
            self.emit(replace(told, seconds=time.monotonic() - began))

        self.run.put(self.run.path / told.file, Whole(data, sync=True), written)
        return told.file
