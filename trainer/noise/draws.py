"""Random numbers of a look as a function of its seed, never of a generator's history.

A look's seed comes from (run's seed, epoch, image, repeat). So batch 4 and 2 x batch 2 accumulated, one process and
two, an interrupted run and a whole one, all see the same noise. It is drawn on the CPU, so that every device gets the
same: 0.04 ms for a 4x64x64 latent.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.plan.draws import number


def draw_timesteps(seeds: Sequence[int], process_steps: int, device: torch.device | str = "cpu") -> Tensor:
    """One timestep a look, uniform over the process's steps. `seeds`: one a look (`Batch.seeds`)."""
    values = [number(seed, "timestep") % process_steps for seed in seeds]
    return _send(torch.tensor(values, dtype=torch.int64), device)


def draw_noise(
    shape_CHW: Sequence[int], seeds: Sequence[int], offset: float = 0.0, device: torch.device | str = "cpu"
) -> Tensor:
    """Normal noise for each look. `offset`: strength of a second draw, one value a channel, added to all its pixels,
    which lets brightness be learnt (https://www.crosslabs.org/blog/diffusion-with-offset-noise)."""
    noise_BCHW = torch.empty((len(seeds), *shape_CHW))
    generator = torch.Generator()
    for noise_CHW, seed in zip(noise_BCHW, seeds):
        generator.manual_seed(number(seed, "noise"))
        noise_CHW.normal_(generator=generator)
        if offset:
            noise_CHW += offset * torch.randn((shape_CHW[0], 1, 1), generator=generator)
    return _send(noise_BCHW, device)


def _send(values: Tensor, device: torch.device | str) -> Tensor:
    """To the device without making the CPU wait, where that can be."""
    if torch.device(device).type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
