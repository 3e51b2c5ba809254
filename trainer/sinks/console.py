"""Events as plain lines for `console.log`: what a person reads first when something went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from trainer.contract.events import (
    Event,
    Failed,
    Finished,
    Likened,
    Noted,
    Phase,
    Resumed,
    RunStarted,
    Sampled,
    Saved,
    StepDone,
    Validated,
    Warned,
)

STEP_LINE_S = 10.0


def _started(event: RunStarted) -> str:
    return (
        f"training {event.name} on {event.device}: {event.images} images, {event.steps_per_epoch} steps an epoch, "
        f"{event.total_steps} steps, {event.trained_parameters:,} trained values"
    )


def _step(event: StepDone) -> str:
    rates = ", ".join(f"{group} {rate:.3g}" for group, rate in event.learning_rate.items())
    return f"step {event.step}, epoch {event.epoch:.2f}: loss {event.loss:.4f}, learning rate {rates}"


def _failed(event: Failed) -> str:
    return "\n".join([f"failed: {event.cause}", *event.problems])


LINES: dict[type[Event], Callable[..., str]] = {
    RunStarted: _started,
    Resumed: lambda event: f"going on after step {event.step}",
    Phase: lambda event: event.text,
    StepDone: _step,
    Validated: lambda event: f"step {event.step}: validation loss {event.loss:.4f} ± {event.error:.4f}",
    Sampled: lambda event: f"step {event.step}: {len(event.files)} samples in {event.seconds:.1f} s",
    Saved: lambda event: f"step {event.step}: saved {event.file} ({event.what}, {event.bytes:,} bytes)",
    Likened: lambda event: f"step {event.step}: likeness {event.similarity:.3f} in {event.seconds:.1f} s",
    Noted: lambda event: event.text,
    Warned: lambda event: f"warning: {event.text}",
    Failed: _failed,
    Finished: lambda event: f"{event.how} at step {event.step} after {event.seconds:.1f} s",
}


class ConsoleLines:
    """Prints events; of the steps the first and then one every ten seconds."""

    def __init__(self) -> None:
        self._next_step_line = 0.0

    def write(self, event: Event) -> None:
        """Print the event's line, if it has one that is due."""
        if isinstance(event, Phase) and event.done and event.done < event.of:
            return
        if isinstance(event, StepDone):
            if time.monotonic() < self._next_step_line:
                return
            self._next_step_line = time.monotonic() + STEP_LINE_S
        line = LINES.get(type(event))
        if line is not None:
            print(datetime.now().strftime("%H:%M:%S"), line(event), flush=True)

    def close(self) -> None:
        """Nothing is held."""
