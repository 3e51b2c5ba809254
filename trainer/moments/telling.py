"""What fails between two steps is told, and the training goes on."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from trainer.contract.events import Event, Warned
from trainer.device import free_memory
from trainer.report.causes import ran_out

Emit = Callable[[Event], None]


def attempt(what: str, do: Callable[[int], object], step: int, emit: Emit) -> None:
    """Do something after a step; where it fails `what` is told, and the training goes on."""
    try:
        do(step)
    except Exception as error:
        warn(what, error, step, emit, "saving.every")


def warn(what: str, error: Exception, step: int, emit: Emit, setting: str = "sampling.every") -> None:
    """Tell what failed; where memory ran out in a sample, what to change."""
    text = f"{what}: {told(error)}"
    if ran_out(error) and setting.startswith("sampling"):
        text = f"{what}: memory ran out. Draw smaller or fewer pictures, or none (sampling.every); the training goes on"
    emit(Warned(step=step, text=text, setting=setting))


def told(error: Exception) -> str:
    """An error in a sentence; its whole story goes to the console log. Memory that it holds is let go."""
    traceback.print_exception(error)
    free_memory(error)
    return " ".join(str(error).split())[:400] or type(error).__name__
