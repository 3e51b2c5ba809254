"""How often held-out images are measured where the clock decides: within a share of the run's time, known as it goes.

Pure arithmetic on what the run's own events say of its seconds, so that a resumed run knows all that was spent before.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Collection

from trainer.contract.events import Event, Noted, StepDone, Validated

KNOWN_STEPS = 5
"""So many steps tell the pace; the first of a process is left out, since it also warms the device up."""
EARLY = (0.25, 0.5)
"""The first checks come after these parts of an interval: what goes wrong at once is seen at once."""


class Pacer:
    """A sink of the run's events that says when a check is due; `due` is asked after each step by the main process.

    `total`: steps of the run. `percent` of the run's time may go into checks, the one before the first step and the
    one after the last included, which are done in any case. The steps' time alone counts as the run's, so that a run
    that also draws samples stays below. `again`: steps whose check was lost with a killed process: they are checked
    once more, so that the file of the lowest loss is the one that it was. `tell` takes the sentence for people."""

    def __init__(
        self,
        total: int,
        percent: float,
        tell: Callable[[Event], None],
        again: Collection[int] = (),
        stops: bool = False,
    ) -> None:
        self._total, self._percent, self._tell = total, percent, tell
        self._again, self._stops = frozenset(again), stops
        self._training_s, self._checks_s, self._last, self._done = 0.0, 0.0, 0, 0
        self._steps: deque[float] = deque(maxlen=50)
        self._checks: deque[float] = deque(maxlen=5)
        self._told = 0.0
        self._fresh = True

    def write(self, event: Event) -> None:
        """Take the seconds of a step or a check."""
        if isinstance(event, StepDone):
            self._training_s += event.seconds
            if not self._fresh:
                self._steps.append(event.seconds)
            self._fresh = False
        elif isinstance(event, Validated):
            self._checks_s += event.seconds
            if self._done == 1:
                self._checks.clear()  # the first one warmed the device up
            self._checks.append(event.seconds)
            self._last, self._done = event.step, self._done + 1

    def close(self) -> None:
        """Nothing is held."""

    def resumed(self) -> None:
        """The events until now are those of earlier processes: the pace is learnt anew, the spending is remembered."""
        self._steps.clear()
        self._fresh = True

    def due(self, step: int) -> bool:
        """Whether a check is due after this step."""
        due = step >= self._total or step in self._again or step - self._last >= self._interval(step)
        if due:
            self._last = step  # also where the check fails and nothing is heard of it
        return due

    def _interval(self, step: int) -> float:
        """Steps between two checks as far as is known by now; infinite where none can be afforded before the last."""
        if not self._checks:  # the first check failed: it is tried again now and then
            return self._total / 10
        if len(self._steps) < KNOWN_STEPS:
            return float("inf")
        step_s, check_s = statistics.median(self._steps), max(statistics.median(self._checks), 1e-9)
        whole_s = self._training_s + (self._total - step) * step_s
        allowed_s = whole_s * self._percent / (100 - self._percent)
        count = int((allowed_s - self._checks_s) / check_s) - 1
        if count < 1:
            self._say_none(step, check_s, whole_s)
            return float("inf")
        interval = (self._total - self._last) / (count + 1)
        self._say(step, interval, check_s, step_s)
        return interval * EARLY[self._done - 1] if self._done <= len(EARLY) <= count / 2 else interval

    def _say(self, step: int, interval: float, check_s: float, step_s: float) -> None:
        """Once, and again where the interval has become another one by more than a factor of two."""
        if self._told and self._told / 2 <= interval <= self._told * 2:
            return
        self._told = interval
        rounded = max(1, round(interval))
        every = "after every step" if rounded == 1 else f"every ~{rounded:,} steps"
        text = (
            f"The held-out images are measured {every}: a check takes {_seconds(check_s)}, a step {_seconds(step_s)}, "
            f"and {self._percent:g} % of the time may go into checks."
        )
        self._tell(Noted(step=step, text=text, setting="validation.budget"))

    def _say_none(self, step: int, check_s: float, whole_s: float) -> None:
        if self._told:
            return
        self._told = float(self._total)
        text = (
            f"The held-out images are measured before the first step and after the last only: a check takes "
            f"{_seconds(check_s)}, the whole run about {_seconds(whole_s)}, and {self._percent:g} % of the time may go "
            "into checks."
        ) + (" Early stopping cannot act." if self._stops else "")
        self._tell(Noted(step=step, text=text, setting="validation.budget"))


def _seconds(seconds: float) -> str:
    """`"0.31 s"`, `"4.2 s"`, `"3 min"`."""
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
