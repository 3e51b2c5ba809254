"""Distances between prediction and target, value by value, and their mean over each image, so that images weigh alike.

All take (prediction, target, c) and return float32; only huber and smooth_l1 use c, one threshold an image
[B, 1, 1, 1], which may depend on the timestep. Their smooth forms and thresholds are those of sd-scripts
(`library/train_util.py`, `conditional_loss` and `get_huber_threshold_if_needed`), which come from arXiv 2403.16728.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .process import Tables

Distance = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(prediction [B, C, H, W], target, threshold [B, 1, 1, 1]) -> distance of each value."""

SCHEDULED = ("huber", "smooth_l1")
"""Losses that have a threshold."""

Threshold = Callable[[Tables, Tensor, float, float], Tensor]
"""(tables, timesteps [B], c, scale) -> threshold of each image [B]."""


def l2(prediction_BCHW: Tensor, target_BCHW: Tensor, c_B111: Tensor) -> Tensor:
    """e²."""
    return (prediction_BCHW.float() - target_BCHW.float()).square()


def l1(prediction_BCHW: Tensor, target_BCHW: Tensor, c_B111: Tensor) -> Tensor:
    """|e|."""
    return (prediction_BCHW.float() - target_BCHW.float()).abs()


def huber(prediction_BCHW: Tensor, target_BCHW: Tensor, c_B111: Tensor) -> Tensor:
    """2c (sqrt(e² + c²) - c): e² for small errors, 2c |e| for large ones."""
    return 2.0 * c_B111 * _smooth(prediction_BCHW, target_BCHW, c_B111)


def smooth_l1(prediction_BCHW: Tensor, target_BCHW: Tensor, c_B111: Tensor) -> Tensor:
    """2 (sqrt(e² + c²) - c): e² / c for small errors, 2 |e| for large ones."""
    return 2.0 * _smooth(prediction_BCHW, target_BCHW, c_B111)


def _smooth(prediction_BCHW: Tensor, target_BCHW: Tensor, c_B111: Tensor) -> Tensor:
    error_BCHW = prediction_BCHW.float() - target_BCHW.float()
    return torch.sqrt(error_BCHW.square() + c_B111 * c_B111) - c_B111


def per_image(distances_BCHW: Tensor, mask_B1HW: Tensor | None = None) -> Tensor:
    """The mean of each image's values, each multiplied with its place's weight where there is a mask: [B]."""
    weighted = distances_BCHW if mask_B1HW is None else distances_BCHW * mask_B1HW
    return weighted.flatten(1).mean(dim=1)


def constant(tables: Tables, timesteps_B: Tensor, c: float, scale: float) -> Tensor:
    """c times scale everywhere."""
    return torch.full_like(timesteps_B, c * scale, dtype=torch.float32)


def exponential(tables: Tables, timesteps_B: Tensor, c: float, scale: float) -> Tensor:
    """From `scale` where there is no noise down to c times that at the end, by the same factor each step."""
    return torch.pow(c, timesteps_B.float() / tables.steps) * scale


def snr(tables: Tables, timesteps_B: Tensor, c: float, scale: float) -> Tensor:
    """c + (1 - c) / (1 + sigma / alpha)²: 1 where there is no noise, c in pure noise. `scale` has no part in it, as in
    sd-scripts. Written without the division by alpha, which is 0 at zero terminal SNR."""
    alpha_B, sigma_B = tables.alpha_T[timesteps_B], tables.sigma_T[timesteps_B]
    return c + (1.0 - c) * (alpha_B / (alpha_B + sigma_B)).square()


THRESHOLDS: Mapping[str, Threshold] = {"constant": constant, "exponential": exponential, "snr": snr}
"""By the name of `noise.huber_schedule`."""
