"""Figures of the checks on held-out images."""

from __future__ import annotations

import pytest

from trainer.contract.events import Likened, Noted, Resumed, RunStarted, Sampled, StepDone, Validated, Warned
from trainer.report import checks, figures
from trainer.report.view import RunView, drawn_step


def check(step: int, low: float, high: float, images: list[float], train: float = 0.1) -> Validated:
    levels = {str(62 + 125 * n): low if n < 2 else 0.1 if n < 6 else high for n in range(8)}
    mean = sum(images) / len(images)
    return Validated(step=step, loss=mean, train_loss=train, per_timestep=levels, per_image=images)


CHECKS = [
    check(0, 0.4, 0.01, [0.10, 0.20, 0.30]),
    check(50, 0.2, 0.02, [0.05, 0.20, 0.30]),
    check(100, 0.2, 0.01, [0.08, 0.30, 0.15], 0.05),
]


def test_bands_tell_change_and_reach() -> None:
    """Eight levels make three bands; a band's change is that of its mean, so levels of small loss count in theirs."""
    bands = checks.by_noise(CHECKS)
    assert [name for name, _ in bands] == [
        "low noise (timestep 62-312)", "middle noise (timestep 437-562)", "high noise (timestep 687-937)",
    ]  # fmt: skip
    low, middle, high = (points for _, points in bands)
    assert low[0] == (0.0, 0.0) and low[1][1] == pytest.approx(100 * (0.5 / 0.9 - 1))
    assert [value for _, value in middle] == [0.0, 0.0, 0.0]
    assert high[1][1] == pytest.approx(100 * (0.14 / 0.12 - 1)) and high[2][1] == pytest.approx(0.0)


@pytest.mark.parametrize(("levels", "bands"), [(0, 0), (1, 0), (2, 2), (3, 3), (5, 3), (100, 3)])
def test_any_number_of_levels_is_banded(levels: int, bands: int) -> None:
    per = {str(n): 0.1 for n in range(levels)}
    assert len(checks.by_noise([Validated(step=0, loss=0.1, per_timestep=per)])) == bands


def test_the_image_that_suffers_comes_first() -> None:
    """Checks of another number of images (the split was changed before a resume) are left out."""
    other = Validated(step=20, loss=0.1, per_image=[0.1])
    images = checks.by_image([CHECKS[0], other, *CHECKS[1:]], ["a.png", "b.png"])
    assert [image.name for image in images] == ["b.png", "a.png", "image 3"]
    worst = images[0]
    assert (worst.first, worst.lowest, worst.lowest_step, worst.last) == (0.2, 0.2, 0, 0.3)
    assert worst.risen == pytest.approx(50) and [step for step, _ in worst.change] == [0, 50, 100]


def test_the_gap_is_in_percent_of_the_training_images() -> None:
    assert [value for _, value in checks.gap(CHECKS)] == pytest.approx([100, 83.3333333, 253.3333333])
    assert checks.gap([Validated(step=0, loss=0.1)]) == [], "no training images were measured"


def test_charts_come_where_there_is_something_to_draw() -> None:
    view = RunView()
    assert figures.groups(view) == []
    view.add(RunStarted(name="a", total_steps=100, steps_per_epoch=10, total_epochs=10, images=4,
                        held_out_images=["<b>.png", "b.png", "c.png"]))  # fmt: skip
    for one in CHECKS:
        view.add(one)
    (held,) = figures.groups(view)
    assert held.key == "held-out" and "&lt;b&gt;.png" in held.body and "<b>.png" not in held.body
    view.add(StepDone(step=1, epoch=0.1, loss=0.1, learning_rate={}, grad_norm=1.0, adapter_norm=0.5))
    view.add(Likened(step=10, similarity=0.5))
    assert [group.key for group in figures.groups(view)] == ["likeness", "held-out", "norms"]
    assert "Adapter norm" in figures.norms(view) and "img 1" in figures.held_out(view, ["img 1"] * 3)
    view.add(StepDone(step=2, epoch=0.1, loss=0.1, learning_rate={}, validation_loss=0.2))
    assert "held-out batch" in figures.main(view)


def test_the_view_of_a_long_run_stays_light() -> None:
    view = RunView()
    for step in range(0, 40_000, 4):
        view.add(Validated(step=step, loss=0.1, train_loss=0.1, per_timestep={"100": 0.1, "900": 0.2},
                           per_image=[0.1] * 5))  # fmt: skip
    assert len(figures.held_out(view)) < 120_000 and len(figures.main(view)) < 120_000


def test_what_is_told_keeps_its_order_and_pauses_are_no_work() -> None:
    view = RunView()
    for event in (Noted(time=100, step=1, text="a"), Warned(time=110, step=2, text="b"), Resumed(time=500, step=2),
                  Noted(time=505, step=3, text="c")):  # fmt: skip
        view.add(event)
    assert [event.text for event in view.told] == ["a", "b", "c"] and view.resumes == [2]
    assert [event.text for event in view.warnings] == ["b"] and len(view.notes) == 2
    assert view.worked_s == 15


def test_pictures_of_a_kept_adapter_stand_for_its_step() -> None:
    view = RunView()
    view.add(Sampled(step=40, files=["a.png"], prompts=["a"]))
    kept = Sampled(step=90, files=["b.png"], prompts=["a"], weights_step=30)
    view.add(kept)
    assert drawn_step(kept) == 30 and len(view.samples) == 2
