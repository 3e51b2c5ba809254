"""Losses against their formulas in numpy, thresholds by timestep, masks, and what each is for."""

import math
from typing import get_args

import numpy as np
import pytest
import torch

from trainer.contract import catalog
from trainer.contract.settings import Noise
from trainer.noise import loss
from trainer.noise.process import Tables
from trainer.parts import DiscreteProcess

C = 0.3
BETAS = np.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=np.float64) ** 2
T_B = [0, 1, 250, 600, 998, 999]


def tables(zero_snr: bool = False) -> Tables:
    betas = (*BETAS[:-1], 1.0) if zero_snr else BETAS
    return Tables(DiscreteProcess(tuple(map(float, betas)), "v"))


def errors() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(3, 4, 6, 5)) * np.array([0.01, 1.0, 30.0])[:, None, None, None]


def smooth(e: np.ndarray, c: np.ndarray) -> np.ndarray:
    return np.sqrt(e**2 + c**2) - c


FORMULAS = {
    "l2": lambda e, c: e**2,
    "l1": lambda e, c: np.abs(e),
    "huber": lambda e, c: 2 * c * smooth(e, c),
    "smooth_l1": lambda e, c: 2 * smooth(e, c),
}


@pytest.mark.parametrize("name", catalog.names("losses"))
def test_formula_with_a_threshold_for_each_image(name: str) -> None:
    e, c = errors(), np.array([0.3, 0.05, 1.0]).reshape(3, 1, 1, 1)
    base = torch.randn(e.shape, dtype=torch.float64)
    ours = loss.per_image(getattr(loss, name)(base + torch.from_numpy(e), base, torch.from_numpy(c).float()))
    assert ours.shape == (3,) and ours.dtype == torch.float32
    np.testing.assert_allclose(ours.numpy(), FORMULAS[name](e, c).mean(axis=(1, 2, 3)), rtol=2e-3)


def test_huber_meets_l2_at_small_and_l1_at_large_errors() -> None:
    zero, one, c = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), C)
    small, large = zero + 1e-3, zero + 1e3
    assert float(loss.huber(small, zero, one)) == pytest.approx(float(loss.l2(small, zero, one)), rel=0.2)
    assert float(loss.huber(large, zero, one)) == pytest.approx(2 * float(loss.l1(large, zero, one)), rel=0.01)
    assert float(loss.smooth_l1(large, zero, c)) == pytest.approx(2 * float(loss.l1(large, zero, c)), rel=0.01)


@pytest.mark.parametrize("name", catalog.names("losses"))
def test_half_precision_predictions_are_measured_in_float(name: str) -> None:
    prediction = torch.full((1, 4, 8, 8), 300.0, dtype=torch.float16)
    value = getattr(loss, name)(prediction, torch.zeros_like(prediction), torch.full((1, 1, 1, 1), C))
    assert torch.isfinite(value).all() and value.dtype == torch.float32


def test_a_mask_weighs_places_before_the_mean() -> None:
    distances = torch.from_numpy(errors()).float().abs()
    mask = torch.rand((3, 1, 6, 5))
    by_hand = [
        sum(float(distances[b, c, y, x] * mask[b, 0, y, x]) for c in range(4) for y in range(6) for x in range(5)) / 120
        for b in range(3)
    ]
    np.testing.assert_allclose(loss.per_image(distances, mask).numpy(), by_hand, rtol=1e-5)


def plain_threshold(schedule: str, t: int, c: float, scale: float) -> float:
    """The thresholds of sd-scripts' `get_huber_threshold_if_needed`, number by number, from the betas."""
    kept = math.prod(1 - beta for beta in BETAS[: t + 1])
    if schedule == "exponential":
        return math.exp(math.log(c) / 1000 * t) * scale
    if schedule == "snr":
        return (1 - c) / (1 + math.sqrt((1 - kept) / kept)) ** 2 + c
    return c * scale


@pytest.mark.parametrize(("c", "scale"), [(0.1, 1.0), (0.02, 3.0), (2.0, 0.5)])
@pytest.mark.parametrize("schedule", loss.THRESHOLDS)
def test_thresholds_by_timestep(schedule: str, c: float, scale: float) -> None:
    ours = loss.THRESHOLDS[schedule](tables(), torch.tensor(T_B), c, scale)
    expected = [plain_threshold(schedule, t, c, scale) for t in T_B]
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("schedule", loss.THRESHOLDS)
def test_thresholds_are_finite_and_above_0_in_pure_noise(schedule: str) -> None:
    ours = loss.THRESHOLDS[schedule](tables(zero_snr=True), torch.arange(1000), 0.1, 1.0)
    assert torch.isfinite(ours).all() and (ours >= 0.0999).all()


def test_every_schedule_that_can_be_chosen_is_there() -> None:
    assert set(loss.THRESHOLDS) == set(get_args(Noise.model_fields["huber_schedule"].annotation))
    assert set(loss.SCHEDULED) < set(catalog.names("losses"))
