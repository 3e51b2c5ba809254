"""How much each timestep's loss counts: factors [B], of which a run may have several.

They are finite everywhere, also where the signal-to-noise ratio is 0 (zero terminal SNR, arXiv 2305.08891). sd-scripts
tabulates the ratio before it changes the schedule to zero terminal SNR, so that its factors there are those of the
unchanged schedule; ours are those of the noise that is really used. Without zero terminal SNR both are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from trainer.contract.settings import Noise

from .process import Tables, snr

Weight = Callable[[Tables, Tensor], Tensor]
"""(tables, timesteps [B]) -> factors [B]."""

_LIMIT = 1000.0
"""Ratios above it, where there is next to no noise, count as it, as in sd-scripts; ratios below its inverse likewise,
so that dividing by one is always possible. Only zero terminal SNR has those: the usual schedule ends at 0.0047."""


def min_snr(tables: Tables, timesteps_B: Tensor, gamma: float) -> Tensor:
    """Min-SNR weights (arXiv 2303.09556): min(SNR, gamma) / SNR for noise prediction, / (SNR + 1) for v.

    Both are the same limit on the loss of x_0, whose weight would otherwise be the SNR itself."""
    snr_B = snr(tables, timesteps_B)
    if tables.prediction == "v":
        return snr_B.clamp(max=gamma) / (snr_B + 1.0)
    return gamma / snr_B.clamp(min=gamma)


def debiased(tables: Tables, timesteps_B: Tensor) -> Tensor:
    """1 / sqrt(SNR) for noise prediction (arXiv 2310.08442), 1 / (SNR + 1) for v, as in sd-scripts."""
    snr_B = _limited(tables, timesteps_B)
    return 1.0 / (snr_B + 1.0) if tables.prediction == "v" else snr_B.rsqrt()


def scale_v_like_noise(tables: Tables, timesteps_B: Tensor) -> Tensor:
    """SNR / (SNR + 1) = alpha²: a model that predicts v predicts the noise alpha v + sigma x_t (arXiv 2202.00512),
    whose squared error is alpha² times that of v."""
    snr_B = _limited(tables, timesteps_B)
    return snr_B / (snr_B + 1.0)


def v_like(tables: Tables, timesteps_B: Tensor, strength: float) -> Tensor:
    """1 + strength (SNR + 1) / SNR: the loss of the noise plus `strength` times that of the v that it means."""
    return 1.0 + strength / scale_v_like_noise(tables, timesteps_B)


def chosen_weights(noise: Noise) -> tuple[Weight, ...]:
    """The factors that the settings turn on."""
    rows: tuple[tuple[bool, Weight], ...] = (
        (noise.min_snr_gamma > 0, partial(min_snr, gamma=noise.min_snr_gamma)),
        (noise.debiased, debiased),
        (noise.scale_v_like_noise, scale_v_like_noise),
        (noise.v_like > 0, partial(v_like, strength=noise.v_like)),
    )
    return tuple(weight for on, weight in rows if on)


def _limited(tables: Tables, timesteps_B: Tensor) -> Tensor:
    return snr(tables, timesteps_B).clamp(1.0 / _LIMIT, _LIMIT)
