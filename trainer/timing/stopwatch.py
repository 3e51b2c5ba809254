"""Where a process's time goes: one line of time, cut wherever another part of the work begins.

At each moment one part is on, so the parts add up to all of the time. On a CUDA device the cuts are events in its
stream, read when they have long passed: the host never waits for them, and what counts is the device's time. A part
that only the host works at costs what the device stands idle for it; what is hidden behind earlier work costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from trainer.contract.events import Timing

OTHER = "other"
DRAIN = 256
"""Cuts that are kept unread at most before those that have passed are read."""


class Clock(Protocol):
    """Marks in time, and the seconds between them."""

    def mark(self) -> Any: ...

    def passed(self, mark: Any) -> bool: ...

    def between(self, first: Any, second: Any) -> float: ...

    def forget(self, mark: Any) -> None: ...

    def wait(self, mark: Any) -> None: ...


class HostClock:
    """The processor's own clock, where work is done when a call returns."""

    def mark(self) -> float:
        """Now."""
        return time.perf_counter()

    def passed(self, mark: float) -> bool:
        """Always."""
        return True

    def between(self, first: float, second: float) -> float:
        """Seconds from one mark to the next."""
        return second - first

    def forget(self, mark: float) -> None:
        """Nothing is held."""

    def wait(self, mark: float) -> None:
        """It has passed."""


class DeviceClock:
    """Events in a CUDA device's current stream. Recording one takes the host some microseconds and waits for nothing;
    events that were read are used again."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._free: list[Any] = []

    def mark(self) -> Any:
        """An event behind all work that was given to the device so far."""
        event = self._free.pop() if self._free else torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def passed(self, mark: Any) -> bool:
        """Whether the device has come to it."""
        return bool(mark.query())

    def between(self, first: Any, second: Any) -> float:
        """Seconds of the device from one event to the next; both have passed."""
        return float(first.elapsed_time(second)) / 1000.0

    def forget(self, mark: Any) -> None:
        """It may be used again."""
        self._free.append(mark)

    def wait(self, mark: Any) -> None:
        """Until the device has come to it."""
        mark.synchronize()


class Stopwatch:
    """Says to which part each second belongs. Parts may lie within each other; the inner one counts.

    A part's name may go on behind a slash to tell apart what it consists of: "data/vae". Use it from one thread, except
    `beside`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now = OTHER
        self._cuts: deque[tuple[str, Any]] = deque()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._beside: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def start(self) -> None:
        """The time from here on counts."""
        self._cuts.append((self._now, self._clock.mark()))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The time in this block belongs to `name`. Moments between the steps are whole: images that validation looks
        at are validation, not data."""
        before = self._now
        if before == name or (before in Timing.MOMENTS and name not in Timing.MOMENTS):
            yield
            return
        self._cut(name)
        try:
            yield
        finally:
            self._cut(before)

    @contextmanager
    def beside(self, name: str) -> Iterator[None]:
        """Seconds of another thread, which go by beside the line of time."""
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._beside[name] += time.perf_counter() - began

    def _cut(self, name: str) -> None:
        self._now = name
        if self._cuts:
            self._cuts.append((name, self._clock.mark()))
            if len(self._cuts) > DRAIN:
                self._read()

    def _read(self) -> None:
        """Add up what lies between the cuts that have passed."""
        while len(self._cuts) > 1 and self._clock.passed(self._cuts[1][1]):
            name, mark = self._cuts.popleft()
            self._seconds[name] += self._clock.between(mark, self._cuts[0][1])
            self._clock.forget(mark)

    def take(self, wait: bool = False) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds by part, and those of `beside`, since the last call; empty before `start`. On a device as far as it
        has come; `wait`: up to now, for the end of a run."""
        if not self._cuts:
            return {}, {}
        self._cut(self._now)
        if wait:
            self._clock.wait(self._cuts[-1][1])
        self._read()
        with self._lock:
            beside, self._beside = dict(self._beside), defaultdict(float)
        seconds, self._seconds = dict(self._seconds), defaultdict(float)
        return seconds, beside


class Silent(Stopwatch):
    """Measures nothing: for processes that tell nobody, and for work outside of a run."""

    def __init__(self) -> None:
        super().__init__(HostClock())

    def start(self) -> None:
        """Nothing counts."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Nothing counts."""
        yield

    @contextmanager
    def beside(self, name: str) -> Iterator[None]:
        """Nothing counts."""
        yield


SILENT = Silent()


def stopwatch(device: torch.device) -> Stopwatch:
    """One for work on this device. Devices that compute by themselves and whose events are not used here get a silent
    one: the host's clock would call all of their time waiting for a result."""
    if device.type == "cuda":
        return Stopwatch(DeviceClock(device))
    return Stopwatch(HostClock()) if device.type == "cpu" else SILENT
