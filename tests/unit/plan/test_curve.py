"""The learning-rate schedule: limits, shapes, and equality with the library everyone else uses after the warmup."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract import catalog
from trainer.contract.settings import Schedule
from trainer.plan import curve as curves
from trainer.plan.curve import SHAPES, curve, factor


def test_every_row_of_the_catalog_has_its_shape_here() -> None:
    assert list(SHAPES) == list(catalog.names("schedules"))
    for entry in catalog.SCHEDULES:
        module, _, name = entry.target.partition(":")
        assert module == "trainer.plan.curve" and getattr(curves, name) is SHAPES[entry.name]


@given(st.sampled_from(list(SHAPES)), st.integers(1, 500), st.floats(0, 100), st.floats(0, 1))
def test_factors_stay_between_minimum_and_peak(name: str, total: int, warmup: float, minimum: float) -> None:
    schedule = Schedule(name=name, warmup=warmup, minimum=minimum)
    warmup_steps = round(total * warmup / 100)
    for step in range(1, total + 1):
        value = factor(schedule, step, total)
        assert 0 < value + 1e-9 <= 1 + 2e-9
        if step > warmup_steps:
            assert value >= minimum - 1e-9


@pytest.mark.parametrize("name", list(SHAPES))
def test_the_warmup_climbs_evenly_and_the_peak_follows(name: str) -> None:
    schedule = Schedule(name=name, warmup=10)
    assert [factor(schedule, step, 100) for step in range(1, 12)] == pytest.approx([i / 11 for i in range(1, 12)])


@pytest.mark.parametrize(
    ("name", "step", "wanted"),
    [
        ("constant", 100, 1.0),
        ("linear", 51, 0.5),
        ("linear", 100, 0.01),
        ("cosine", 51, 0.5),
        ("cosine with restarts", 26, 1.0),
        ("polynomial", 51, 0.25),
        ("inverse sqrt", 16, 0.5),
        ("warmup stable decay", 80, 1.0),
        ("warmup stable decay", 91, 0.5),
    ],
)
def test_values_worked_by_hand(name: str, step: int, wanted: float) -> None:
    assert factor(Schedule(name=name, warmup=0, restarts=4, power=2, decay=20), step, 100) == pytest.approx(wanted)


def test_equal_peaks_linear_and_cosine_learn_half_of_constant() -> None:
    for name in ("linear", "cosine"):
        share = sum(factor(Schedule(name=name, warmup=0), step, 1000) for step in range(1, 1001)) / 1000
        assert share == pytest.approx(0.5, abs=0.002)


def _transformers(name: str, warmup: int, total: int) -> Callable[[int], float]:
    import torch
    from transformers import optimization

    makers: dict[str, Any] = {
        "linear": lambda o: optimization.get_linear_schedule_with_warmup(o, warmup, total),
        "cosine": lambda o: optimization.get_cosine_schedule_with_warmup(o, warmup, total),
        "cosine with restarts": lambda o: optimization.get_cosine_with_hard_restarts_schedule_with_warmup(
            o, warmup, total, num_cycles=3
        ),
        "inverse sqrt": lambda o: optimization.get_inverse_sqrt_schedule(o, warmup),
    }
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    found: Callable[[int], float] = makers[name](optimizer).lr_lambdas[0]
    return found


@pytest.mark.parametrize("name", ["linear", "cosine", "cosine with restarts", "inverse sqrt"])
def test_after_the_warmup_equal_to_transformers(name: str) -> None:
    library = _transformers(name, 20, 200)
    schedule = Schedule(name=name, warmup=10, restarts=3)
    for step in range(21, 201):
        assert factor(schedule, step, 200) == pytest.approx(library(step - 1), abs=1e-12)


def test_the_curve_has_ends_and_the_peak() -> None:
    points = curve(Schedule(name="cosine", warmup=5), 1500, 100)
    steps = [step for step, _ in points]
    assert steps[0] == 1 and steps[-1] == 1500 and 76 in steps and len(points) <= 103
    assert max(value for _, value in points) == 1.0 and math.isclose(points[0][1], 1 / 76)
