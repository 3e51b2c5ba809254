"""A run's events on a terminal: a progress bar where it is one, else a line every few seconds.

Texts come from presets, file names and libraries: they are printed as they are, never read as markup.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from trainer.contract.events import (
    Event,
    Failed,
    Finished,
    Likened,
    Noted,
    Phase,
    RunStarted,
    Sampled,
    Saved,
    StepDone,
    Validated,
    Warned,
)
from trainer.report.words import duration

LINE_S = 5.0
"""Seconds between two progress lines where there is no terminal to draw a bar on."""

SMOOTHING = 0.1
"""Weight of the newest step in the shown loss and speed."""


def silence(*streams: TextIO) -> None:
    """Nobody reads any more (`| head`, a closed terminal): what is still to be said goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def tell(text: str, stream: TextIO | None = None) -> None:
    """Print a line, if somebody reads: a run goes on being followed for its exit code where nobody does."""
    stream = stream or sys.stdout
    try:
        print(text, file=stream, flush=True)
    except OSError:
        silence(stream)


class Terminal(Console):
    """A console that outlives its reader."""

    def on_broken_pipe(self) -> None:
        """Rich would end the process."""
        self.quiet = True
        silence(sys.stdout)


class View(Protocol):
    """Shows events as they come."""

    def show(self, event: Event) -> None: ...

    def say(self, text: str) -> None: ...

    def close(self) -> None: ...


class Pace:
    """Smoothed loss and speed, and what is left, from the steps seen so far."""

    def __init__(self) -> None:
        self.total = self.step = 0
        self.epoch = self.epochs = 0.0
        self.loss = self.seconds = self.rate = float("nan")

    def begin(self, event: RunStarted) -> None:
        """Take what the run is going to be."""
        self.total, self.epochs, self.step = event.total_steps, event.total_epochs, event.step

    def take(self, event: StepDone) -> None:
        """Count a step in."""
        self.step, self.epoch = event.step, event.epoch
        self.loss = self._smooth(self.loss, event.loss)
        self.seconds = self._smooth(self.seconds, event.seconds)
        self.rate = next(iter(event.learning_rate.values()), float("nan"))

    @staticmethod
    def _smooth(before: float, now: float) -> float:
        return now if before != before else before + SMOOTHING * (now - before)

    @property
    def speed(self) -> str:
        """Steps a second, or seconds a step where one takes longer than that."""
        if not self.seconds > 0:
            return "- it/s"
        return f"{1 / self.seconds:.2f} it/s" if self.seconds < 1 else f"{self.seconds:.1f} s/it"

    @property
    def left(self) -> str:
        """Time to the last step at the present speed."""
        return duration((self.total - self.step) * self.seconds) if self.seconds > 0 else "-:--"

    def words(self) -> str:
        """Everything in one line."""
        return (
            f"step {self.step}/{self.total}  epoch {self.epoch:.1f}/{round(self.epochs, 1):g}  loss {self.loss:.4f}  "
            f"LR {self.rate:.2e}  {self.speed}  ETA {self.left}"
        )


TEXTS: dict[type[Event], Callable[[Any], str]] = {
    Warned: lambda event: f"Warning: {event.text}",
    Noted: lambda event: event.text,
    Likened: lambda event: f"Step {event.step}: likeness of the samples {event.similarity:.3f}",
    Validated: lambda event: (
        f"Step {event.step}: validation loss {event.loss:.4f}{f' ± {event.error:.4f}' if event.error else ''}"
        + (" (lowest)" if event.lowest and event.step else "" if event.step else " (base model)")
    ),
    Sampled: lambda event: f"Step {event.step}: {len(event.files)} samples drawn in {event.seconds:.1f} s",
    Saved: lambda event: f"Step {event.step}: {event.file} saved ({event.what})",
}


def text_of(event: Event) -> str:
    """The line of an event that stays on the screen, "" for one that only moves the progress."""
    if isinstance(event, RunStarted):
        held = f", {event.held_out} held out" if event.held_out else ""
        return f"Training on {event.device}: {event.images} images{held}, {event.total_steps} steps"
    make = TEXTS.get(type(event))
    return make(event) if make else ""


class Lines:
    """For pipes and log files: every message, and a progress line every few seconds."""

    def __init__(self, console: Console, every_s: float = LINE_S) -> None:
        self._console, self._every_s, self._next = console, every_s, 0.0
        self._pace = Pace()
        self._phase, self._next_phase = "", 0.0

    def show(self, event: Event) -> None:
        """Print what the event says, if it says something new."""
        if isinstance(event, RunStarted):
            self._pace.begin(event)
        if isinstance(event, StepDone):
            self._pace.take(event)
            if time.monotonic() >= self._next or event.step == self._pace.total:
                self._next = time.monotonic() + self._every_s
                self.say(self._pace.words())
        elif isinstance(event, Phase):
            self._show_phase(event)
        elif text := text_of(event):
            self.say(text)

    def _show_phase(self, event: Phase) -> None:
        """A new phase at once, one that counts again every few seconds."""
        if event.text != self._phase:
            self._phase, self._next_phase = event.text, time.monotonic() + self._every_s
            self.say(event.text)
        elif event.done and time.monotonic() >= self._next_phase:
            self._next_phase = time.monotonic() + self._every_s
            self.say(f"{event.text}: {event.done} done")

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Nothing is held."""


class Bar:
    """For a terminal: one bar below the messages."""

    def __init__(self, console: Console) -> None:
        self._pace = Pace()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[words]}", markup=False),
            console=console,
            transient=True,
        )
        self._progress.start()
        self._task: TaskID = self._progress.add_task("starting", total=None, words="")

    def show(self, event: Event) -> None:
        """Move the bar, or print what the event says above it."""
        if isinstance(event, RunStarted):
            self._pace.begin(event)
        if isinstance(event, StepDone):
            self._pace.take(event)
            done, total, words = event.step, self._pace.total, self._pace.words()
            self._progress.update(self._task, description="training", completed=done, total=total, words=words)
        elif isinstance(event, Phase):
            self._progress.update(
                self._task, description=event.text, completed=event.done, total=event.of or None, words=""
            )
        elif text := text_of(event):
            self.say(text)
        elif isinstance(event, (Finished, Failed)):
            self.close()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(Text(text), soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


def make_view(console: Console) -> View:
    """A bar on a terminal, else lines."""
    return Bar(console) if console.is_terminal else Lines(console)
