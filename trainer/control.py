"""What happens after a step: the plan's turn, a request from outside, or a clock; decided once, by one process.

Only the main process reads control files and clocks; its orders go to all, so that all act at the same step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import astuple, dataclass
from typing import Protocol

from trainer.contract.interrupts import EndedAtOnce, Interrupts
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Interval

from .parallel import Ranks


@dataclass(frozen=True)
class Orders:
    """What to do after a step, in this order."""

    validate: bool = False
    sample: bool = False
    save: bool = False
    state: bool = False
    stop: bool = False
    pause: bool = False


class Due(Protocol):
    """Says after each step whether it is time again."""

    def due(self, step: int) -> bool:
        """Asked once after each step, by the main process alone."""
        ...


class Turn:
    """Whether it is time again: after the steps that the plan names, or every so many minutes on `clock` (seconds), or
    where `also()` says so. What takes longer than those minutes does not come twice in a row: the training goes on
    between."""

    def __init__(
        self,
        steps: Collection[int],
        every: Interval,
        clock: Callable[[], float] = time.monotonic,
        also: Callable[[], bool] = bool,
    ) -> None:
        self._steps, self._clock, self._also = frozenset(steps), clock, also
        self._pause_s = 60.0 * every.count if every.unit == "minute" else 0.0
        self._last, self._just_now = clock(), False

    def due(self, step: int) -> bool:
        """Ask once after each step."""
        if step in self._steps or self._also():
            return True
        now, just_now, self._just_now = self._clock(), self._just_now, False
        if not self._pause_s or now - self._last < self._pause_s:
            return False
        self._last, self._just_now = now, not just_now
        return self._just_now


class Control:
    """Orders after each step, from `turns` ("validate", "sample", "save", "state"), control files and signals."""

    def __init__(self, run: RunDir, ranks: Ranks, turns: Mapping[str, Due]) -> None:
        self._run, self._ranks, self._turns = run, ranks, turns
        self._stop = False
        self._rounds: list[str] = []

    def listen(self) -> None:
        """The first signal means: stop after the step in hand; the second: end at once, by EndedAtOnce. A third one is
        the system's to deal with, should the second be held up in a library."""

        def stop() -> None:
            self._stop = True

        def end() -> None:
            interrupts.let_the_next_end_it()
            raise EndedAtOnce

        interrupts = Interrupts(stop, end).listen()

    def after(self, step: int) -> Orders:
        """The orders after `step`, the same in every process."""
        mine = self._read(step) if self._ranks.main else Orders()
        return Orders(*self._ranks.from_main(astuple(mine)))

    def rounds(self) -> list[str]:
        """What the last order to sample meant: "" for the run's own prompts, else a prompt that was given with the
        request. Known to the main process alone, which draws."""
        return self._rounds

    def before(self, step: int) -> Orders:
        """Whether the run was asked to end before `step`, its next one. Other requests wait for that step."""
        mine = (self._stop_asked(), self._pause_asked(step - 1)) if self._ranks.main else (False, False)
        stop, pause = self._ranks.from_main(mine)
        return Orders(stop=stop, pause=pause)

    def _read(self, step: int) -> Orders:
        """A pause leaves an adapter file too: who does not go on has what was learnt, under its step's name and not
        under the final one."""
        due = {name: turn.due(step) for name, turn in self._turns.items()}
        saves, pauses = self._run.take("save") is not None, self._pause_asked(step)
        asked = self._run.take("sample")
        own = due.get("sample", False) or (asked is not None and not asked.strip())
        self._rounds = [*([""] if own else []), *([asked.strip()] if asked and asked.strip() else [])]
        return Orders(
            validate=due.get("validate", False),
            sample=bool(self._rounds),
            save=saves or pauses or due.get("save", False),
            state=saves or due.get("state", False),
            stop=self._stop_asked(),
            pause=pauses,
        )

    def _stop_asked(self) -> bool:
        return self._run.take("stop") is not None or self._stop

    def _pause_asked(self, step: int) -> bool:
        """The request's text may name the step after which it counts."""
        text = self._run.peek("pause")
        if text is None or (text.isdecimal() and int(text) > step):
            return False
        self._run.take("pause")
        return True
