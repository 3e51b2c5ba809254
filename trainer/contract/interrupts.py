"""Ctrl-C, SIGTERM and the closing of the console: heard alike by `launch.py` and by the trainer.

The first asks for an end after the step in hand, the second for one at once. A console that closes only ever asks, and
once: a shell and the system each send SIGHUP for one closed window. Windows tells it by a call of its own, in another
thread, and ends the process a few seconds later.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

NAMES = ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")
"""What is heard, as far as the system has it."""

CLOSED_EVENTS = (2, 5, 6)
"""Windows console events: closed, user logs off, system shuts down. Ctrl-C and Ctrl-Break come as signals."""

CLOSING_S = 4.0
"""Windows ends a process five seconds after its console was closed, or as soon as the handler returns."""


class EndedAtOnce(KeyboardInterrupt):
    """The second signal: nothing more is saved."""


class Interrupts:
    """Counts them and calls `first`, then `again`. `closed`: the console is gone, nobody reads what is printed."""

    def __init__(self, first: Callable[[], None], again: Callable[[], None]) -> None:
        self._first, self._again = first, again
        self._before: dict[int, Any] = {}
        self._console: Any = None
        self._left = threading.Event()
        self.count, self.closed = 0, False

    def listen(self) -> Interrupts:
        """Take the signals; in the main thread. A SIGHUP that was to be ignored (`nohup`) stays so."""
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is not None and not (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
                self._before[number] = signal.signal(number, self.heard)
        if os.name == "nt":
            self._console = console_handler(ctypes, self.console)
        return self

    def leave(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        self._left.set()

    def let_the_next_end_it(self) -> None:
        """From now on a signal ends the process as the system does."""
        for number in self._before:
            signal.signal(number, signal.SIG_DFL)

    def heard(self, number: int, frame: FrameType | None = None) -> None:
        """A signal came."""
        if number == getattr(signal, "SIGHUP", None):
            self._close()
            return
        self.count += 1
        (self._first if self.count == 1 else self._again)()

    def console(self, event: int) -> bool:
        """Windows' call, in a thread of its own. It returns late: what was asked for has until then."""
        if event not in CLOSED_EVENTS:
            return False
        self._close()
        self._left.wait(CLOSING_S)
        return True

    def _close(self) -> None:
        self.closed = True
        if not self.count:
            self.count = 1
            self._first()


def console_handler(windows: Any, heard: Callable[[int], bool]) -> Any:
    """Let Windows call `heard`; returns what must be kept as long as it may. `windows`: the module ctypes."""
    callback = windows.WINFUNCTYPE(windows.c_int, windows.c_uint)(heard)
    windows.windll.kernel32.SetConsoleCtrlHandler(callback, True)
    return callback
