"""Tells where the time of a run goes: every ten seconds, before each state that is kept, and at the end."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from trainer.contract.events import Event, StepDone, Timing, Warned
from trainer.contract.settings import Preset
from trainer.plan.advice import in_words, memory_relief
from trainer.report.spill import Probe, spills

from .gauges import Reading
from .stopwatch import Stopwatch

EVERY_S = 10.0
"""Seconds between two `Timing` events."""

KEPT_PROBES = 60
"""Ten minutes' worth, and the first ones, are enough to see a jump."""


class Timekeeper:
    """Stands between the loop and `emit`: passes every event on, and adds `Timing` where it is due.

    Only the main process has one that measures. `windows`: a full card spills there instead of failing, which is then
    told once."""

    def __init__(
        self,
        watch: Stopwatch,
        gauges: Callable[[], Reading],
        preset: Preset,
        emit: Callable[[Event], None],
        windows: bool = sys.platform == "win32",
    ) -> None:
        self._watch, self._gauges, self._preset, self._emit = watch, gauges, preset, emit
        self._steps = self._images = 0
        self._step_s: list[float] = []
        self._last = time.monotonic()
        self._probes: list[Probe] | None = [] if windows else None

    def __call__(self, event: Event) -> None:
        """Pass the event on; of steps take note."""
        self._emit(event)
        if not isinstance(event, StepDone):
            return
        self._steps += 1
        self._images += event.images
        self._step_s.append(event.seconds)
        if time.monotonic() - self._last >= EVERY_S:
            self.tell(event.step)

    def tell(self, step: int, wait: bool = False) -> None:
        """Emit what has gone by since the last time; nothing where nothing was measured. `wait` for the device: at the
        end of a run only."""
        self._last = time.monotonic()
        cut, beside = self._watch.take(wait)
        wall_s = sum(cut.values())
        if wall_s <= 0:
            return
        seconds = dict.fromkeys(Timing.PARTS, 0.0)
        inside = dict(beside)
        for name, value in cut.items():
            part, _, detail = name.partition("/")
            seconds[part] += value
            if detail:
                inside[detail] = inside.get(detail, 0.0) + value
        reading = self._gauges()
        told = {part: value for part, value in seconds.items() if value > 0}
        self._emit(
            Timing(
                step=step,
                seconds=told,
                wall_s=wall_s,
                steps=self._steps,
                images=self._images,
                inside=inside,
                memory=reading.memory,
                device_use=reading.use,
            )
        )
        self._look_for_spill(step, reading)
        self._steps = self._images = 0
        self._step_s.clear()

    def _look_for_spill(self, step: int, reading: Reading) -> None:
        memory = reading.memory
        if self._probes is None or not self._step_s or "device_total" not in memory:
            return
        usual = statistics.median(self._step_s)
        self._probes.append(Probe(memory["device_used"], memory["device_total"], usual, memory.get("device_own", 0.0)))
        del self._probes[KEPT_PROBES // 2 : -KEPT_PROBES // 2]
        if spills(self._probes):
            self._probes = None
            self._emit(spilling(step, self._preset))


def spilling(step: int, preset: Preset) -> Warned:
    """What is told of a card that spills."""
    reliefs = memory_relief(preset)
    text = (
        "the card's memory is spilling into shared memory: it is full, and steps take several times as long as they "
        "need. Close other programs that use the card"
    )
    if reliefs:
        text += f", or change, what costs least first: {in_words(reliefs)}"
    return Warned(step=step, text=text, setting=reliefs[0].setting if reliefs else "")
