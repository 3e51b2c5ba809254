"""The distribution of timesteps against draws made as the paper (arXiv 2403.03206) makes them."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from trainer.contract.settings import Noise
from trainer.plan.timesteps import SHAPES, density, pick

GENERATOR = np.random.default_rng(2403)


def by_the_paper(noise: Noise, count: int) -> np.ndarray:
    """Fractions drawn as section 3.1 writes them, from uniform or normal numbers."""
    u = GENERATOR.random(count)
    if noise.timesteps == "logit normal":
        return 1 / (1 + np.exp(-GENERATOR.normal(noise.timestep_mean, noise.timestep_spread, count)))
    if noise.timesteps == "mode":
        return 1 - u - noise.timestep_mode * (np.cos(math.pi * u / 2) ** 2 - 1 + u)
    return 1 - 1 / (np.tan(math.pi * u / 2) + 1) if noise.timesteps == "cosmap" else u


CASES = [
    Noise(),
    Noise(timesteps="logit normal"),
    Noise(timesteps="logit normal", timestep_mean=1.0, timestep_spread=0.5),
    Noise(timesteps="logit normal", timestep_mean=-2.0, timestep_spread=3.0),
    Noise(timesteps="mode"),
    Noise(timesteps="mode", timestep_mode=-1.0),
    Noise(timesteps="mode", timestep_mode=1.75),
    Noise(timesteps="cosmap"),
    Noise(timestep_min=200, timestep_max=700),
    Noise(timesteps="logit normal", timestep_min=500, timestep_max=1000),
]


@pytest.mark.parametrize("noise", CASES, ids=lambda noise: f"{noise.timesteps}-{noise.timestep_min}")
def test_the_density_is_that_of_the_papers_draws(noise: Noise) -> None:
    shares = np.array(density(noise))
    low, high = noise.timestep_min, noise.timestep_max
    drawn = low + np.floor(by_the_paper(noise, 400_000) * (high - low)).clip(0, high - low - 1).astype(int)
    theirs = np.bincount(drawn, minlength=1000) / len(drawn)
    assert len(shares) == 1000 and shares.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(shares.reshape(20, 50).sum(1), theirs.reshape(20, 50).sum(1), atol=0.004)


@pytest.mark.parametrize("noise", CASES, ids=lambda noise: f"{noise.timesteps}-{noise.timestep_min}")
def test_picks_come_as_often_as_the_density_says(noise: Noise) -> None:
    count = 20_000
    picks = Counter(pick(noise, (place + 0.5) / count) for place in range(count))
    shares = density(noise)
    assert all(abs(picks[t] - shares[t] * count) <= 1.01 for t in range(1000))
    assert sum(picks.values()) == count and set(picks) <= set(range(1000))


@pytest.mark.parametrize("noise", CASES, ids=lambda noise: f"{noise.timesteps}-{noise.timestep_min}")
def test_the_ends_of_the_range_are_kept(noise: Noise) -> None:
    trained = range(noise.timestep_min, noise.timestep_max)
    assert pick(noise, 0.0) in trained and pick(noise, math.nextafter(1.0, 0.0)) in trained


def test_one_timestep_alone_can_be_trained() -> None:
    only = Noise(timestep_min=999, timestep_max=1000, timesteps="logit normal")
    assert {pick(only, u) for u in (0.0, 0.3, 0.999)} == {999}


def test_a_positive_mean_is_noisier() -> None:
    mean = {m: sum(t * p for t, p in enumerate(density(_logit(m)))) for m in (-1.0, 0.0, 1.0)}
    assert mean[-1.0] < 400 < mean[0.0] < 600 < mean[1.0]


def _logit(mean: float) -> Noise:
    return Noise(timesteps="logit normal", timestep_mean=mean)


def test_every_choice_of_the_setting_has_a_shape() -> None:
    from typing import get_args

    assert set(SHAPES) == set(get_args(Noise.model_fields["timesteps"].annotation))


def test_a_process_of_other_length_is_drawn_over_its_own_steps() -> None:
    assert density(Noise(), 10) == pytest.approx([0.1] * 10)
    assert {pick(Noise(), u / 100, 10) for u in range(100)} == set(range(10))
