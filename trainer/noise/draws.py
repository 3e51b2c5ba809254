"""Random numbers of a look as a function of its seed, never of a generator's history.

A look's seed comes from (run's seed, epoch, image, repeat). So batch 4 and 2 x batch 2 accumulated, one process and
two, an interrupted run and a whole one, all see the same noise. It is drawn on the CPU, so that every device gets the
same: 0.04 ms for a 4x64x64 latent. Each purpose has numbers of its own: what is added to the noise changes no other
draw.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.contract.settings import Noise
from trainer.plan.draws import number, uniforms
from trainer.plan.timesteps import pick

_NUMBERS = 2**63
"""`number` is below it."""


def draw_timesteps(
    seeds: Sequence[int], process_steps: int, chosen: Noise | None = None, device: torch.device | str = "cpu"
) -> Tensor:
    """One timestep a look, as often as `chosen` says; all alike without. `seeds`: one a look (`Batch.seeds`)."""
    values = [pick(chosen or Noise(), _share(seed, process_steps), process_steps) for seed in seeds]
    return send(torch.tensor(values, dtype=torch.int64), device)


def _share(seed: int, steps: int) -> float:
    """A uniform number in [0, 1): the remainder by `steps` is its first digit, the quotient the others, so that where
    all timesteps are alike the remainder is the timestep."""
    rest, timestep = divmod(number(seed, "timestep"), steps)
    return (timestep + rest / (_NUMBERS // steps + 1)) / steps


def draw_noise(
    shape_CHW: Sequence[int], seeds: Sequence[int], purpose: str = "noise", device: torch.device | str = "cpu"
) -> Tensor:
    """Normal noise for each look; other numbers for another `purpose`."""
    noise_BCHW = torch.empty((len(seeds), *shape_CHW))
    generator = torch.Generator()
    for noise_CHW, seed in zip(noise_BCHW, seeds):
        generator.manual_seed(number(seed, purpose))
        noise_CHW.normal_(generator=generator)
    return send(noise_BCHW, device)


def draw_strengths(
    most: float, at_random: bool, seeds: Sequence[int], purpose: str, device: torch.device | str = "cpu"
) -> Tensor:
    """`most` for each look, or where `at_random` a number between 0 and it: [B, 1, 1, 1]."""
    values = [most * (uniforms(seed, purpose)[0] if at_random else 1.0) for seed in seeds]
    return send(torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1), device)


def layer_sizes(height: int, width: int, shares: Sequence[float]) -> list[tuple[int, int]]:
    """Heights and widths of the layers of multi-resolution noise, one for each of the `shares` in [0, 1): layer i has
    the sides divided by r^i, r anew between 2 and 4, so that it may be a little larger than the one before; the first
    that is a single row or column is the last."""
    sizes: list[tuple[int, int]] = []
    for place, share in enumerate(shares):
        divisor = (2.0 + 2.0 * share) ** place
        sizes.append((max(1, int(height / divisor)), max(1, int(width / divisor))))
        if 1 in sizes[-1]:
            break
    return sizes


def draw_layers(
    shape_CHW: Sequence[int], seed: int, iterations: int, device: torch.device | str = "cpu"
) -> list[Tensor]:
    """The layers of a look's multi-resolution noise: [C, h, w] each."""
    channels, height, width = shape_CHW
    sizes = layer_sizes(height, width, [uniforms(seed, "layer", place)[0] for place in range(iterations)])
    return [draw_noise((channels, h, w), [seed], f"layer {place}", device)[0] for place, (h, w) in enumerate(sizes)]


def send(values: Tensor, device: torch.device | str) -> Tensor:
    """To the device without making the CPU wait, where that can be."""
    if torch.device(device).type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
