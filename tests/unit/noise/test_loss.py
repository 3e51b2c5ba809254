"""Losses against their formulas in numpy, and what each is for."""

import numpy as np
import pytest
import torch

from trainer.contract import catalog
from trainer.noise import loss

C = 0.3


def errors() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(3, 4, 6, 5)) * np.array([0.01, 1.0, 30.0])[:, None, None, None]


def smooth(e: np.ndarray) -> np.ndarray:
    return np.sqrt(e**2 + C**2) - C


FORMULAS = {
    "l2": lambda e: e**2,
    "l1": np.abs,
    "huber": lambda e: 2 * C * smooth(e),
    "smooth_l1": lambda e: 2 * smooth(e),
}


@pytest.mark.parametrize("name", catalog.names("losses"))
def test_formula(name: str) -> None:
    e = errors()
    base = torch.randn(e.shape, dtype=torch.float64)
    ours = getattr(loss, name)(base + torch.from_numpy(e), base, C)
    assert ours.shape == (3,) and ours.dtype == torch.float32
    np.testing.assert_allclose(ours.numpy(), FORMULAS[name](e).mean(axis=(1, 2, 3)), rtol=2e-3)


def test_huber_meets_l2_at_small_and_l1_at_large_errors() -> None:
    zero = torch.zeros(1, 1, 1, 1)
    small, large = zero + 1e-3, zero + 1e3
    assert float(loss.huber(small, zero, 1.0)) == pytest.approx(float(loss.l2(small, zero)), rel=0.2)
    assert float(loss.huber(large, zero, 1.0)) == pytest.approx(2 * float(loss.l1(large, zero)), rel=0.01)
    assert float(loss.smooth_l1(large, zero, C)) == pytest.approx(2 * float(loss.l1(large, zero)), rel=0.01)


@pytest.mark.parametrize("name", catalog.names("losses"))
def test_half_precision_predictions_are_measured_in_float(name: str) -> None:
    prediction = torch.full((1, 4, 8, 8), 300.0, dtype=torch.float16)
    value = getattr(loss, name)(prediction, torch.zeros_like(prediction), C)
    assert torch.isfinite(value).all() and value.dtype == torch.float32
