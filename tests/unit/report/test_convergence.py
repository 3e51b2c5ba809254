"""Of a flat loss nothing is said that the learning rate explains."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from trainer.contract.events import RunStarted, StepDone
from trainer.report import figures
from trainer.report.convergence import convergence
from trainer.report.view import RunView

COUNT = 2000
Figure = Callable[[int], float]


def constant(step: int) -> float:
    return 1e-4


def cosine(step: int) -> float:
    return 1e-4 * (1 + math.cos(math.pi * step / COUNT)) / 2


def dropped(step: int) -> float:
    """Constant, then down to nothing between the steps 1000 and 1200."""
    return 1e-4 * min(1.0, max(0.0, (1200 - step) / 200)) + 1e-9


def said(loss: Figure, rate: Figure, seed: int, count: int = COUNT) -> str:
    noise, steps = random.Random(seed), range(1, count + 1)
    losses = [loss(step) * noise.lognormvariate(0.0, 0.55) for step in steps]
    return convergence(steps, losses, {"unet": [(step, rate(step)) for step in steps]})


@pytest.mark.parametrize("seed", range(8))
def test_flat_because_the_rate_has_fallen_is_the_schedule(seed: int) -> None:
    text = said(lambda step: 0.1 + 0.15 * max(0.0, 1 - step / 1200), dropped, seed)
    assert text.endswith("below 10% of its peak: that is the schedule, not convergence.")
    assert "step 11" in text or "step 12" in text


@pytest.mark.parametrize("seed", range(8))
def test_flat_at_full_rate_is_told_with_its_step(seed: int) -> None:
    text = said(lambda step: 0.1 + 0.15 * max(0.0, 1 - step / 900), constant, seed)
    step = int(text.removeprefix("The loss is flat since about step ").split()[0])
    assert 500 < step < 1100 and "at 100% of its peak" in text and "schedule" not in text


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [300, 800, 2000])
def test_nothing_is_said_of_a_loss_that_falls(seed: int, count: int) -> None:
    assert said(lambda step: 0.3 * math.exp(-step / (0.75 * count)), constant, seed, count) == ""
    assert said(lambda step: 0.1 + 1500 * cosine(step), cosine, seed) == ""


def test_no_fall_from_the_start_is_said_carefully() -> None:
    assert "shows no fall beyond its scatter" in said(lambda step: 0.1, constant, 1)


def test_flat_long_before_the_rate_fell_is_not_put_down_to_it() -> None:
    late = lambda step: 1e-4 if step < 1700 else 1e-9  # noqa: E731
    text = said(lambda step: 0.1 + 0.3 * max(0.0, 1 - step / 500), late, 2)
    assert "was so before the rate fell below 10% of its peak at step 1700" in text


def test_short_runs_and_losses_that_are_no_numbers_say_nothing() -> None:
    assert convergence(range(100), [0.1] * 100, {}) == ""
    assert convergence(range(500), [math.nan] * 500, {}) == ""


def test_it_is_said_between_the_loss_and_the_rate_which_share_their_axis() -> None:
    view, noise = RunView(), random.Random(3)
    view.add(RunStarted(name="flat", total_steps=COUNT, steps_per_epoch=50, total_epochs=40.0, images=50))
    for step in range(1, COUNT + 1):
        loss = (0.1 + 0.15 * max(0.0, 1 - step / 1200)) * noise.lognormvariate(0.0, 0.55)
        view.add(StepDone(step=step, epoch=0.0, loss=loss, learning_rate={"unet": dropped(step)}))
    drawn = figures.main(view)
    places = [drawn.index(text) for text in ("<b>Loss</b>", "that is the schedule", "<b>Learning rate</b>")]
    assert places == sorted(places)
    ends = [chart.split("</figure>")[0].count(">2000</span>") for chart in drawn.split("<figure")[1:]]
    assert ends == [1, 1]
