"""How often is measured where the clock decides, on clocks that are made up."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.contract.events import Event, Noted, StepDone, Validated
from trainer.validation.pace import Pacer


class Clock:
    """A run of `total` steps whose steps and checks take made-up seconds."""

    def __init__(self, total: int, step_s: float, check_s: float, percent: float = 10.0, scatter: float = 0.0) -> None:
        self.total, self.step_s, self.check_s, self.percent = total, step_s, check_s, percent
        self.said: list[Noted] = []
        self.checked: list[int] = []
        self.seconds = {"steps": 0.0, "checks": 0.0}
        self._random, self._scatter = random.Random(5), scatter

    def _near(self, seconds: float) -> float:
        return seconds * (1 + self._scatter * (self._random.random() - 0.5))

    def tell(self, event: Event) -> None:
        assert isinstance(event, Noted)
        self.said.append(event)

    def pacer(self, again: tuple[int, ...] = (), stops: bool = False) -> Pacer:
        return Pacer(self.total, self.percent, self.tell, again, stops)

    def step(self, pacer: Pacer, step: int, seconds: float) -> None:
        self.seconds["steps"] += seconds
        pacer.write(StepDone(step=step, epoch=0.0, loss=0.1, learning_rate={}, seconds=seconds))

    def check(self, pacer: Pacer, step: int) -> None:
        seconds = self._near(self.check_s)
        self.seconds["checks"] += seconds
        self.checked.append(step)
        pacer.write(Validated(step=step, loss=0.1, seconds=seconds))

    def run(self, pacer: Pacer, first: int = 1, last: int = 0) -> None:
        if first == 1:
            self.check(pacer, 0)
        for step in range(first, (last or self.total) + 1):
            self.step(pacer, step, self._near(self.step_s) * (10 if step == first else 1))
            if pacer.due(step):
                self.check(pacer, step)

    @property
    def share(self) -> float:
        return 100 * self.seconds["checks"] / sum(self.seconds.values())


@settings(max_examples=60, deadline=None)
@given(
    total=st.integers(20, 800),
    check=st.floats(0.05, 40.0),
    percent=st.floats(1, 60),
    scatter=st.sampled_from([0.0, 0.2]),
)
def test_never_above_the_budget_and_the_last_step_is_always_checked(
    total: int, check: float, percent: float, scatter: float
) -> None:
    clock = Clock(total, 1.0, check, percent, scatter)
    clock.run(clock.pacer())
    assert clock.checked[0] == 0 and clock.checked[-1] == total
    assert len(set(clock.checked)) == len(clock.checked)
    if len(clock.checked) > 2:
        budget_s = percent / 100 * sum(clock.seconds.values())
        unknown_s = 2 * scatter * check  # the last two may each take so much longer than those that they were judged by
        assert clock.seconds["checks"] <= 1.001 * budget_s + unknown_s


def test_the_budget_is_used_and_the_first_checks_come_early() -> None:
    clock = Clock(1500, 0.3, 1.2)
    clock.run(clock.pacer())
    assert 9.0 < clock.share <= 10.0
    gaps = [b - a for a, b in zip(clock.checked, clock.checked[1:])]
    usual = sorted(gaps)[len(gaps) // 2]
    assert gaps[0] <= usual / 2 and gaps[1] <= 0.75 * usual
    assert max(gaps) < 1.6 * usual


def test_it_says_the_interval_and_why() -> None:
    clock = Clock(1500, 0.3, 1.2)
    clock.run(clock.pacer())
    assert len(clock.said) == 1
    assert clock.said[0].text == (
        "The held-out images are measured every ~38 steps: a check takes 1.2 s, a step 0.3 s, and 10 % of the time may "
        "go into checks."
    )


def test_it_says_again_where_steps_become_slower_by_far() -> None:
    clock = Clock(4000, 0.1, 1.0)
    pacer = clock.pacer()
    clock.run(pacer, last=500)
    clock.step_s = 1.0
    clock.run(pacer, first=501)
    assert 2 <= len(clock.said) <= 3 and "a step 1 s" in clock.said[-1].text


@pytest.mark.parametrize("stops", [False, True])
def test_a_check_that_is_too_dear_is_done_before_and_after_only(stops: bool) -> None:
    clock = Clock(100, 0.1, 5.0)
    clock.run(clock.pacer(stops=stops))
    assert clock.checked == [0, 100]
    assert len(clock.said) == 1 and "before the first step and after the last only" in clock.said[0].text
    assert ("Early stopping cannot act" in clock.said[0].text) == stops


def test_a_first_check_that_was_slow_does_not_count_for_ever() -> None:
    clock = Clock(1000, 0.1, 3.0)
    pacer = clock.pacer()
    clock.check(pacer, 0)
    clock.check_s = 0.3
    for step in range(1, 1001):
        clock.step(pacer, step, 0.1)
        if pacer.due(step):
            clock.check(pacer, step)
    assert len(clock.checked) > 20 and clock.share <= 10


def test_without_a_first_check_it_tries_now_and_then() -> None:
    clock = Clock(100, 0.1, 0.1)
    pacer = clock.pacer()
    due = [step for step in range(1, 101) if pacer.due(step)]
    assert due == list(range(10, 101, 10))


def test_a_resumed_run_remembers_what_was_spent_and_repeats_lost_checks() -> None:
    first = Clock(400, 0.1, 0.5)
    events: list[Event] = []
    before = first.pacer()
    write = before.write
    before.write = lambda event: (events.append(event), write(event))[1]  # type: ignore[method-assign]
    first.run(before, last=200)
    second = Clock(400, 0.1, 0.5)
    pacer = second.pacer(again=(203,))
    for event in events:
        pacer.write(event)
    pacer.resumed()
    second.run(pacer, first=201)
    assert 203 in second.checked and second.checked[-1] == 400
    spent = first.seconds["checks"] + second.seconds["checks"]
    assert spent <= 0.1 * (spent + first.seconds["steps"] + second.seconds["steps"])
