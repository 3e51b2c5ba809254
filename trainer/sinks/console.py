"""Events as plain lines for `console.log`: what a person reads first when something went wrong."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TextIO

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
WAITING_LIMIT = 1 << 20


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


class Patient:
    """A text stream that never fails: what cannot be written (the console log's disk is full) comes first the next
    time. A `print` that says what went wrong must not be what ends a run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._waiting = stream, ""

    def write(self, text: str) -> int:
        """Write, or keep for later."""
        self._waiting = (self._waiting + text)[-WAITING_LIMIT:]
        with contextlib.suppress(OSError):
            self._stream.write(self._waiting)
            self._waiting = ""
        return len(text)

    def flush(self) -> None:
        """Pass on what can be passed on."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def patient_output() -> Iterator[None]:
    """Standard output and errors as patient streams."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Patient(sys.stdout), Patient(sys.stderr)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


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
