"""Timing events: increments that add up, the figures of the machine in them, the spill told once, on Windows only."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.contract import families
from trainer.contract import preset as presets
from trainer.contract.events import Event, StepDone, Timing, Warned
from trainer.timing import timekeeper
from trainer.timing.gauges import Reading
from trainer.timing.stopwatch import SILENT, Stopwatch
from trainer.timing.timekeeper import Timekeeper

PRESET = presets.resolve(presets.with_values(presets.build({}), {"training.batch_size": 4}), families.default_family())
GB = 1e9


class Machine:
    """A clock that is set by hand, and a card whose use is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.used_gb = 0.0, 5.0
        monkeypatch.setattr(timekeeper.time, "monotonic", lambda: self.now)

    mark = property(lambda self: lambda: self.now)

    def passed(self, mark: float) -> bool:
        return True

    def between(self, first: float, second: float) -> float:
        return second - first

    def forget(self, mark: float) -> None: ...

    def wait(self, mark: float) -> None: ...

    def gauges(self) -> Reading:
        return Reading({"device_used": self.used_gb * GB, "device_total": 8 * GB, "device_own": 4 * GB}, 0.9)


def kept(machine: Machine, told: list[Event], windows: bool) -> tuple[Stopwatch, Timekeeper]:
    watch: Any = Stopwatch(machine)
    watch.start()
    return watch, Timekeeper(watch, machine.gauges, PRESET, told.append, windows)


def steps(machine: Machine, watch: Stopwatch, emit: Timekeeper, first: int, count: int, seconds: float) -> None:
    for step in range(first, first + count):
        with watch.part("data/vae"):
            machine.now += 0.25 * seconds
        with watch.part("forward"):
            machine.now += 0.75 * seconds
        emit(StepDone(step=step, epoch=1.0, loss=0.1, learning_rate={}, seconds=seconds, images=4))


def test_every_ten_seconds_and_when_asked_with_nothing_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, told = Machine(monkeypatch), list[Event]()
    watch, emit = kept(machine, told, windows=False)
    steps(machine, watch, emit, 1, 25, 1.0)
    machine.now += 3
    emit.tell(25, wait=True)
    emit.tell(25)
    times = [event for event in told if isinstance(event, Timing)]
    assert [(event.step, event.steps, event.images, event.wall_s) for event in times] == [
        (10, 10, 40, 10.0), (20, 10, 40, 10.0), (25, 5, 20, 8.0),
    ]  # fmt: skip
    assert times[0].seconds == {"data": 2.5, "forward": 7.5} and times[0].inside == {"vae": 2.5}
    assert times[2].seconds["other"] == 3.0
    assert times[0].memory["device_total"] == 8 * GB and times[0].device_use == 0.9
    assert len([event for event in told if isinstance(event, StepDone)]) == 25, "every event is passed on"


def test_what_measures_nothing_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, told = Machine(monkeypatch), list[Event]()
    emit = Timekeeper(SILENT, machine.gauges, PRESET, told.append, windows=True)
    steps(machine, SILENT, emit, 1, 30, 1.0)
    emit.tell(30, wait=True)
    assert not [event for event in told if not isinstance(event, StepDone)]


@pytest.mark.parametrize("windows", [True, False])
def test_a_spilling_card_is_told_once_on_windows(monkeypatch: pytest.MonkeyPatch, windows: bool) -> None:
    machine, told = Machine(monkeypatch), list[Event]()
    watch, emit = kept(machine, told, windows)
    steps(machine, watch, emit, 1, 60, 1.0)
    assert not [event for event in told if isinstance(event, Warned)]
    machine.used_gb = 7.8
    steps(machine, watch, emit, 61, 20, 5.0)
    warned = [event for event in told if isinstance(event, Warned)]
    assert len(warned) == (1 if windows else 0)
    if windows:
        assert "spilling into shared memory" in warned[0].text and warned[0].setting in warned[0].text
        text = warned[0].text
        assert text.index("training.batch_size") < text.index("gradient_checkpointing"), "the cheaper first"


def test_a_long_run_keeps_few_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, told = Machine(monkeypatch), list[Event]()
    watch, emit = kept(machine, told, windows=True)
    steps(machine, watch, emit, 1, 300, 10.0)
    assert emit._probes is not None and len(emit._probes) <= timekeeper.KEPT_PROBES
