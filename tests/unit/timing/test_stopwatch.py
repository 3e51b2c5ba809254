"""The stopwatch: parts add up to all of the time, on the host's clock and on a device's that runs behind the host."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.timing.stopwatch import DRAIN, SILENT, DeviceClock, HostClock, Stopwatch, stopwatch


class Queue:
    """A device that works through what it is given, behind a host that does not wait for it. Seconds are made up."""

    def __init__(self) -> None:
        self.host = self.device = 0.0
        self.waits = self.alive = 0

    def submit(self, seconds: float) -> None:
        """Work for the device: it begins when the device is free."""
        self.device = max(self.host, self.device) + seconds

    def mark(self) -> float:
        self.alive += 1
        self.device = max(self.host, self.device)
        return self.device

    def passed(self, mark: float) -> bool:
        return mark <= self.host

    def between(self, first: float, second: float) -> float:
        return second - first

    def forget(self, mark: float) -> None:
        self.alive -= 1

    def wait(self, mark: float) -> None:
        self.waits += 1
        self.host = max(self.host, mark)


def step(watch: Stopwatch, queue: Queue, data_s: float) -> None:
    """The host works `data_s` on data, then gives the device half a second in no time."""
    with watch.part("data"):
        queue.host += data_s
    for part, seconds in (("forward", 0.2), ("backward", 0.25), ("optimizer", 0.05)):
        with watch.part(part):
            queue.submit(seconds)


def told(data_s: float, steps: int = 20) -> tuple[dict[str, float], Queue]:
    queue = Queue()
    watch = Stopwatch(queue)
    watch.start()
    for _ in range(steps):
        step(watch, queue, data_s)
        queue.host = max(queue.host, queue.device - 0.5)  # figures are read a step late
    return watch.take(wait=True)[0], queue


def test_data_that_come_while_the_device_works_cost_nothing() -> None:
    seconds, _ = told(data_s=0.3)
    assert seconds["data"] == pytest.approx(0.3), "the first batch only: the others hide behind the step before"
    assert seconds["backward"] == pytest.approx(20 * 0.25)


def test_data_that_keep_the_device_waiting_cost_what_it_stands_idle() -> None:
    seconds, queue = told(data_s=0.9)
    assert seconds["data"] == pytest.approx(0.9 + 19 * 0.4, rel=0.1)
    assert sum(seconds.values()) == pytest.approx(queue.device)


def test_nothing_waits_for_the_device_before_the_end_and_marks_are_used_again() -> None:
    queue = Queue()
    watch = Stopwatch(queue)
    watch.start()
    for _ in range(3 * DRAIN):
        step(watch, queue, 0.01)
        queue.host = queue.device
    first, _ = watch.take()
    assert queue.waits == 0 and queue.alive <= DRAIN + 2
    step(watch, queue, 0.01)
    second, _ = watch.take(wait=True)
    assert queue.waits == 1
    assert sum(first.values()) + sum(second.values()) == pytest.approx(queue.device)


PARTS = ("data", "data/vae", "transfer", "forward", "validation", "sampling", "saving")
TREES = st.recursive(
    st.tuples(st.sampled_from(PARTS), st.floats(0, 2)),
    lambda inner: st.tuples(st.sampled_from(PARTS), st.floats(0, 2), st.lists(inner, max_size=3)),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(TREES, max_size=5), st.booleans())
def test_whatever_lies_in_what_the_parts_add_up_to_the_whole(trees: list[Any], device: bool) -> None:
    queue = Queue()
    watch = Stopwatch(queue)
    watch.start()

    def grow(tree: Any) -> None:
        with watch.part(tree[0]):
            if device:
                queue.submit(tree[1])
            else:
                queue.host += tree[1]
            for inner in tree[2] if len(tree) > 2 else []:
                grow(inner)

    for tree in trees:
        grow(tree)
        queue.host += 0.5
    seconds, _ = watch.take(wait=True)
    assert sum(seconds.values()) == pytest.approx(max(queue.host, queue.device), abs=1e-6)
    assert all(value >= 0 for value in seconds.values())


def test_a_moment_keeps_its_parts_but_gives_way_to_another() -> None:
    queue = Queue()
    watch = Stopwatch(queue)
    watch.start()
    with watch.part("validation"):
        queue.host += 1
        with watch.part("data"):
            queue.host += 2
        with watch.part("saving"):
            queue.host += 4
    queue.host += 8
    assert watch.take()[0] == {"validation": 3, "saving": 4, "other": 8}


def test_an_error_in_a_part_leaves_the_one_around_it_on() -> None:
    queue = Queue()
    watch = Stopwatch(queue)
    watch.start()
    with watch.part("forward"):
        with pytest.raises(ValueError, match="no"), watch.part("data"):
            queue.host += 1
            raise ValueError("no")
        queue.host += 2
    assert watch.take()[0] == {"forward": 2, "data": 1, "other": 0}


def test_what_went_before_the_start_does_not_count() -> None:
    queue = Queue()
    watch = Stopwatch(queue)
    with watch.part("validation"):
        queue.host += 5
    assert watch.take() == ({}, {})
    watch.start()
    queue.host += 1
    assert watch.take()[0] == {"other": 1}


def test_threads_count_beside() -> None:
    watch = Stopwatch(HostClock())
    watch.start()

    def work() -> None:
        with watch.beside("read"):
            time.sleep(0.05)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, beside = watch.take()
    assert beside["read"] >= 0.2 > sum(seconds.values())
    assert watch.take()[1] == {}
    with SILENT.beside("read"), SILENT.part("data"):
        pass
    assert SILENT.take() == ({}, {})


class FakeEvent:
    """torch.cuda.Event as far as it is used; `made` counts them, `synchronised` must stay 0 while a run trains."""

    made = synchronised = 0
    now_ms = 0.0

    def __init__(self, enable_timing: bool = False) -> None:
        assert enable_timing, "an event without timing has no time"
        FakeEvent.made += 1

    def record(self, stream: object) -> None:
        assert stream == "stream of cuda:1"
        self.at_ms = FakeEvent.now_ms

    def query(self) -> bool:
        return self.at_ms + 100 <= FakeEvent.now_ms

    def elapsed_time(self, end: FakeEvent) -> float:
        assert self.query() and end.query(), "torch raises for events that have not passed"
        return end.at_ms - self.at_ms

    def synchronize(self) -> None:
        FakeEvent.synchronised += 1
        FakeEvent.now_ms = max(FakeEvent.now_ms, self.at_ms + 100)


def test_cuda_events_are_read_when_they_have_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against torch's interface with a recorded stand-in for the device, which is 100 ms behind."""
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    watch = Stopwatch(DeviceClock(torch.device("cuda", 1)))
    watch.start()
    total = 0.0
    for _ in range(1000):
        with watch.part("forward"):
            FakeEvent.now_ms += 30
        with watch.part("data"):
            FakeEvent.now_ms += 10
        total += sum(watch.take()[0].values())
    assert FakeEvent.synchronised == 0 and FakeEvent.made < 30
    seconds, _ = watch.take(wait=True)
    assert FakeEvent.synchronised == 1
    assert total + sum(seconds.values()) == pytest.approx(40.0)


def test_who_measures_how() -> None:
    assert isinstance(stopwatch(torch.device("cpu"))._clock, HostClock)
    assert isinstance(stopwatch(torch.device("cuda", 0))._clock, DeviceClock)
    assert stopwatch(torch.device("mps")) is SILENT, "its work goes on while the host's clock runs"


def test_a_cut_costs_microseconds() -> None:
    """About ten a step, of steps of 100 ms: the bound is far above what it takes."""
    watch = Stopwatch(HostClock())
    watch.start()
    began = time.perf_counter()
    for _ in range(5000):
        with watch.part("forward"):
            pass
    assert (time.perf_counter() - began) / 5000 < 100e-6
