"""A loss that climbs is told from one that scatters."""

from __future__ import annotations

import importlib.util
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trainer.contract.events import Event, StepDone, Validated, Warned
from trainer.contract.settings import Preset
from trainer.report.divergence import Alarm, Divergence

ROOT = Path(__file__).resolve().parents[3]
SPEC = importlib.util.spec_from_file_location("noisy", ROOT / "tests" / "browser" / "fake_trainer.py")
assert SPEC is not None and SPEC.loader is not None
NOISY = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(NOISY)


def steps(count: int, seed: int, climb: Callable[[int], float] = lambda step: 1.0) -> Iterator[StepDone]:
    """The fake trainer's losses, as noisy as a diffusion loss, times `climb(step)`."""
    noise, norms = random.Random(seed), random.Random(seed + 1)
    for step in range(1, count + 1):
        loss = NOISY.loss_at(step, noise) * climb(step)
        yield StepDone(step=step, epoch=0.0, loss=loss, learning_rate={}, grad_norm=norms.lognormvariate(0, 0.4))


def first_told(events: Iterator[Event], blank_loss: float = math.inf) -> tuple[int, str]:
    watch = Divergence(blank_loss)
    return next(((event.step, said) for event in events if (said := watch.add(event))), (0, ""))


@pytest.mark.parametrize("seed", range(12))
def test_noise_alone_is_never_called_diverging(seed: int) -> None:
    assert first_told(steps(3000, seed), blank_loss=1.0) == (0, "")


@pytest.mark.parametrize("seed", range(6))
def test_a_loss_that_climbs_is_told_soon_and_with_figures(seed: int) -> None:
    step, said = first_told(steps(1000, seed, lambda step: 4.0 if step > 500 else 1.0))
    assert 500 < step <= 550 and "median loss of the last" in said and "times that of steps" in said
    step, _ = first_told(steps(1000, seed, lambda step: 30.0 if step > 100 else 1.0))
    assert 105 < step <= 120
    step, _ = first_told(steps(1000, seed, lambda step: 1.02 ** max(0, step - 300)))
    assert 330 < step < 450


def test_a_loss_as_high_as_that_of_no_prediction_is_told_at_once() -> None:
    step, said = first_told(steps(100, 1, lambda step: 8.0), blank_loss=1.0)
    assert step == 20 and "predicts nothing at all" in said


def test_gradients_that_grow_with_the_loss_are_told_before_the_loss_alone_would_be() -> None:
    def events() -> Iterator[StepDone]:
        for event in steps(300, 3, lambda step: 3.0 if step > 150 else 1.0):
            yield StepDone(**{**event.__dict__, "grad_norm": (event.grad_norm or 0) * (100 if event.step > 150 else 1)})

    assert "gradients are" in first_told(events())[1]


def check(step: int, loss: float, train: float) -> Validated:
    return Validated(step=step, loss=loss, error=0.01, train_loss=train)


def test_checks_that_rise_with_the_training_images_are_told_and_overfitting_is_not() -> None:
    both = [check(0, 0.1, 0.1), check(50, 0.4, 0.4), check(100, 0.5, 0.5)]
    assert "1.7" not in (said := first_told(iter(both))[1]) and "5.0 times that of step 0" in said
    assert not first_told(iter(both[:2]))[1]
    assert not first_told(iter([check(0, 0.1, 0.1), check(50, 0.4, 0.05), check(100, 0.5, 0.04)]))[1]


def test_the_warning_comes_once_also_over_a_resume_and_says_what_to_try() -> None:
    told: list[Event] = []
    alarm = Alarm(Preset(), told.append, 1.0)
    for event in steps(200, 1, lambda step: 20.0):
        alarm.write(event)
    (warned,) = told
    assert isinstance(warned, Warned) and warned.setting == "optimizer.learning_rate"
    assert warned.text.startswith("The loss is diverging: ") and "3.3e-05 instead of 0.0001" in warned.text
    again = Alarm(Preset(), told.append, 1.0)
    for event in [*steps(100, 1), warned, *steps(100, 1, lambda step: 20.0)]:
        again.hear(event)
        again.write(event)
    assert len(told) == 1
