"""What every adapter tool needs while it works: a device, progress, a stop, a name for its result."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from trainer import device as machines
from trainer.contract import preset as presets
from trainer.contract.adapter_tasks import Makes, Result, Tool, save_result
from trainer.contract.events import Event, Phase
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset
from trainer.contract.tasks import Done

Emit = Callable[[Event], None]
PROGRESS_S = 0.3


class Work:
    """One tool at work in its run folder."""

    def __init__(self, run: RunDir, task: Tool, emit: Emit) -> None:
        self.run, self.task, self.emit = run, task, emit
        self._told = 0.0

    def device(self) -> torch.device:
        """The device that computes."""
        wanted = presets.with_values(Preset(), {"hardware.gpus": self.task.gpus, "precision.compute": "float"})
        device, ranks = machines.join(wanted)
        name = machines.device_name(device, ranks)
        self.run.update_state(device=name, versions=machines.versions(), threads=torch.get_num_threads())
        return device

    def at(self, text: str, done: int = 0, of: int = 0) -> None:
        """Tell how far the work is, now and then. KeyboardInterrupt where it was asked to stop: what was being written
        is then taken away."""
        if self.run.peek("stop") is not None or self.run.peek("pause") is not None:
            raise KeyboardInterrupt
        now = time.monotonic()
        if not of or done == of or now - self._told >= PROGRESS_S:
            self._told = now
            self.emit(Phase(text=text, done=done, of=of))

    def done(self, result: Result) -> Done:
        """Keep the result and tell of it."""
        save_result(self.run, result)
        return Done("done", result.headline)


def stoppable(work: Callable[[Work], Done]) -> Callable[[RunDir, Tool, Emit], Done]:
    """A tool's entry: a request to stop ends it with nothing written."""

    def entry(run: RunDir, task: Tool, emit: Emit) -> Done:
        try:
            with torch.no_grad():
                return work(Work(run, task, emit))
        except KeyboardInterrupt:
            return Done("stopped", "stopped: nothing was written")

    return entry


def output(task: Makes, first: str, did: str, suffix: str = ".safetensors") -> Path:
    """Where the result goes: as asked, or beside the first file as `<name>-<did>`. Problems where something is in the
    way."""
    source = Path(first).expanduser()
    if task.out.strip():
        path = Path(task.out).expanduser()
        if path.is_dir():
            path = path / f"{source.stem}-{did}{suffix}"
        if suffix and path.suffix.lower() != suffix:
            path = path.with_name(path.name + suffix)
    else:
        path = source.with_name(f"{source.stem if suffix else source.name}-{did}{suffix}")
    path = path.resolve()
    if path.exists() and not task.replace:
        raise Problems([Problem("out", f"{path} is there already", "choose another name, or let it be replaced")])
    if not path.parent.is_dir():
        raise Problems([Problem("out", f"there is no folder {path.parent}", "make it, or choose another")])
    return path
