"""How much each timestep's loss counts."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.noise.process import Tables, snr


def min_snr(tables: Tables, timesteps_B: Tensor, gamma: float) -> Tensor:
    """Min-SNR weights (arXiv 2303.09556): min(SNR, gamma) / SNR for noise prediction, / (SNR + 1) for v.

    Both are the same limit on the loss of x_0, whose weight would otherwise be the SNR itself."""
    snr_B = snr(tables, timesteps_B)
    below = snr_B + 1.0 if tables.prediction == "v" else snr_B.clamp(min=torch.finfo(torch.float32).tiny)
    return snr_B.clamp(max=gamma) / below
