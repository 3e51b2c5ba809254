"""The loop's order of things, on sums of numbers instead of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.contract.events import Event, StepDone, Warned
from trainer.contract.rundir import RunDir
from trainer.contract.settings import parse_interval
from trainer.control import Control, Turn
from trainer.loop import Parts, train
from trainer.parallel import Ranks
from trainer.plan.steps import Steps
from trainer.update import LossNotFinite, Outcome

STEPS = Steps(per_epoch=2, total=5, batches=2, looks=8)


class Diary:
    """Writes down what the loop does, in order; `losses` and `norms` by step, 0.5 where not named."""

    def __init__(self, run: RunDir, turns: dict[str, Turn], early_at: int = 0) -> None:
        self.lines: list[str] = []
        self.events: list[Event] = []
        self.losses: dict[int, float] = {}
        self.norms: dict[int, float] = {}
        self.control = Control(run, Ranks(), turns)
        self.early_at = early_at

    def parts(self, **more: Any) -> Parts:
        return Parts(
            update=self.update,
            take=lambda step: ([step], 8),
            set_rate=lambda step: None,
            rates=lambda: {"unet": 1.0},
            validate=lambda step: self.note(f"validate {step}") or step == self.early_at,
            preview=lambda step: self.note(f"sample {step}"),
            save=lambda step: self.note(f"save {step}"),
            control=self.control,
            emit=self.emit,
            **more,
        )

    def note(self, text: str) -> None:
        self.lines.append(text)

    def update(self, step: int, batches: Sequence[Any], looks: int) -> Outcome:
        assert list(batches) == [step]
        self.note(f"update {step}")
        loss, norm = self.losses.get(step, 0.5), self.norms.get(step, 1.0)
        return Outcome(torch.tensor(loss), torch.tensor(norm), looks)

    def emit(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StepDone):
            self.note(f"told {event.step}")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "loop")


def turn(*steps: int) -> Turn:
    return Turn(steps, parse_interval("never"))


def test_what_is_due_is_done_in_order_and_after_the_step_is_told(run: RunDir) -> None:
    diary = Diary(run, {"validate": turn(2), "sample": turn(2), "save": turn(2)})
    assert train(diary.parts(), STEPS) == ("done", 5)
    start = diary.lines.index("update 2")
    assert diary.lines[start : start + 6] == ["update 2", "told 2", "validate 2", "sample 2", "save 2", "update 3"]
    assert [event.epoch for event in diary.events if isinstance(event, StepDone)] == [0.5, 1.0, 1.5, 2.0, 2.5]


def test_on_a_device_that_works_by_itself_figures_are_read_a_step_late(run: RunDir) -> None:
    diary = Diary(run, {"save": turn(3)})
    train(diary.parts(late=True), STEPS)
    told = "update 1, update 2, told 1, update 3, told 2, told 3, save 3, update 4, update 5, told 4, told 5"
    assert diary.lines == told.split(", ")


def test_a_stop_request_ends_after_the_step_and_what_is_due(run: RunDir) -> None:
    diary = Diary(run, {"save": turn(1)})
    run.request("stop")
    assert train(diary.parts(), STEPS) == ("stopped", 0)
    diary.control._stop = False
    emit = diary.emit

    def ask(event: Event) -> None:
        emit(event)
        if event.step == 2:
            run.request("stop")

    diary.emit = ask  # type: ignore[method-assign]
    assert train(diary.parts(), STEPS) == ("stopped", 2)
    assert diary.lines == ["update 1", "told 1", "save 1", "update 2", "told 2"]


def test_early_stopping_ends_the_run(run: RunDir) -> None:
    diary = Diary(run, {"validate": turn(1, 2, 3, 4)}, early_at=3)
    assert train(diary.parts(), STEPS) == ("stopped early", 3)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run(run: RunDir, late: bool, value: float) -> None:
    diary = Diary(run, {})
    diary.losses[2] = value
    with pytest.raises(LossNotFinite, match="step 2") as caught:
        train(diary.parts(late=late), STEPS)
    assert (caught.value.step, diary.lines[-1]) == (2, "update 3" if late else "update 2")
    assert [event.step for event in diary.events if isinstance(event, StepDone)] == [1]  # step 2 was not done


def test_an_overflow_in_fp16_is_counted_and_told_and_else_ends_the_run(run: RunDir) -> None:
    diary = Diary(run, {})
    diary.norms = {1: math.inf, 2: math.inf}
    assert train(diary.parts(fp16=True), STEPS) == ("done", 5)
    assert len([event for event in diary.events if isinstance(event, Warned)]) == 1
    with pytest.raises(LossNotFinite, match="gradient of step 1"):
        train(diary.parts(), STEPS)


def test_fp16_that_never_stops_to_overflow_ends_the_run(run: RunDir) -> None:
    diary = Diary(run, {})
    diary.losses, many = dict.fromkeys(range(3, 99), math.nan), Steps(per_epoch=2, total=99, batches=2, looks=8)
    with pytest.raises(LossNotFinite, match="step 27"):
        train(diary.parts(fp16=True), many)


def test_a_crash_does_not_hide_that_the_step_before_was_no_number(run: RunDir) -> None:
    diary = Diary(run, {})
    diary.norms[2] = math.nan
    update = diary.update

    def crash(step: int, batches: Sequence[Any], looks: int) -> Outcome:
        if step == 3:
            raise RuntimeError("out of memory")
        return update(step, batches, looks)

    diary.update = crash  # type: ignore[method-assign]
    with pytest.raises(LossNotFinite, match="gradient of step 2"):
        train(diary.parts(late=True), STEPS)
