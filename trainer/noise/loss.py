"""Distances between prediction and target: the mean over each image's values, so that images weigh alike.

All take (prediction, target, c) and return one value an image, in float32; only huber and smooth_l1 use c. Their smooth
forms are those of sd-scripts (`library/train_util.py`, `conditional_loss`), which come from arXiv 2403.16728.
"""

from __future__ import annotations

import torch
from torch import Tensor


def l2(prediction_BCHW: Tensor, target_BCHW: Tensor, c: float = 0.1) -> Tensor:
    """e²."""
    return _mean((prediction_BCHW.float() - target_BCHW.float()).square())


def l1(prediction_BCHW: Tensor, target_BCHW: Tensor, c: float = 0.1) -> Tensor:
    """|e|."""
    return _mean((prediction_BCHW.float() - target_BCHW.float()).abs())


def huber(prediction_BCHW: Tensor, target_BCHW: Tensor, c: float = 0.1) -> Tensor:
    """2c (sqrt(e² + c²) - c): e² for small errors, 2c |e| for large ones."""
    return 2.0 * c * _smooth(prediction_BCHW, target_BCHW, c)


def smooth_l1(prediction_BCHW: Tensor, target_BCHW: Tensor, c: float = 0.1) -> Tensor:
    """2 (sqrt(e² + c²) - c): e² / c for small errors, 2 |e| for large ones."""
    return 2.0 * _smooth(prediction_BCHW, target_BCHW, c)


def _smooth(prediction_BCHW: Tensor, target_BCHW: Tensor, c: float) -> Tensor:
    error_BCHW = prediction_BCHW.float() - target_BCHW.float()
    return _mean(torch.sqrt(error_BCHW.square() + c * c) - c)


def _mean(values_BCHW: Tensor) -> Tensor:
    return values_BCHW.flatten(1).mean(dim=1)
