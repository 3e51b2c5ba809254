"""The noising process as tables on the device: noisy latents, targets, signal-to-noise ratio.

Names carry shapes: B images, CHW channels, height, width; T the steps of the process.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.parts import DiscreteProcess


class Tables:
    """A process's schedule as tensors on one device, made once, so that a training step copies nothing to it.

    x_t = alpha_t x_0 + sigma_t noise with alpha² = cumprod(1 - beta) and sigma² = 1 - alpha² (DDPM, arXiv 2006.11239).
    The products are taken in float64: in float32 a thousand of them lose two digits."""

    def __init__(self, process: DiscreteProcess, device: torch.device | str = "cpu") -> None:
        kept_T = torch.cumprod(1.0 - torch.tensor(process.betas, dtype=torch.float64), dim=0)
        self.prediction = process.prediction
        self.steps = len(process.betas)
        self.alpha_T = kept_T.sqrt().to(device, torch.float32)
        self.sigma_T = (1.0 - kept_T).sqrt().to(device, torch.float32)
        self.snr_T = (kept_T / (1.0 - kept_T)).to(device, torch.float32)


def add_noise(tables: Tables, latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
    """The latents as they are at these timesteps."""
    alpha_B111, sigma_B111 = _at(tables, timesteps_B)
    return alpha_B111 * latents_BCHW + sigma_B111 * noise_BCHW


def target(tables: Tables, latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
    """What the model should answer: the noise, or v = alpha noise - sigma x_0 (arXiv 2202.00512, section 2.4)."""
    if tables.prediction == "epsilon":
        return noise_BCHW
    if tables.prediction != "v":
        raise ValueError(f"no such prediction: {tables.prediction!r}")
    alpha_B111, sigma_B111 = _at(tables, timesteps_B)
    return alpha_B111 * noise_BCHW - sigma_B111 * latents_BCHW


def snr(tables: Tables, timesteps_B: Tensor) -> Tensor:
    """alpha² / sigma² at these timesteps; 0 at the end of a process with zero terminal SNR."""
    return tables.snr_T[timesteps_B]


def _at(tables: Tables, timesteps_B: Tensor) -> tuple[Tensor, Tensor]:
    return tables.alpha_T[timesteps_B].view(-1, 1, 1, 1), tables.sigma_T[timesteps_B].view(-1, 1, 1, 1)
