"""The computer stays awake while a run is at work. How a system is asked for that is wakepy's business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trainer.contract import preset as presets
from trainer.contract.events import Event, Noted
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir

SETTING = "hardware.keep_awake"


def wanted(run: RunDir) -> bool:
    """What the run's preset says; a preset that cannot be read is told of by whoever needs it first. A task without a
    preset is waited for."""
    if not run.preset.is_file():
        return run.task.is_file()
    try:
        return presets.load(run.preset).hardware.keep_awake
    except Problems:
        return False


@contextmanager
def kept_awake(on: bool, emit: Callable[[Event], None]) -> Iterator[None]:
    """Within it the system does not go to sleep by itself, where `on` and where it can be asked; the screen may turn
    off. A system that cannot be asked (no desktop session: a server, a container) is told of and no hindrance."""
    if not on:
        yield
        return
    from wakepy import keep

    with keep.running(on_fail="pass") as mode:
        if not mode.active:
            text = "This system cannot be asked to stay awake: should it go to sleep, the run rests until it wakes up."
            emit(Noted(text=text, setting=SETTING))
        yield
