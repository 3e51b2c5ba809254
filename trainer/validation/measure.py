"""Loss on a fixed grid: the same noise at the same timesteps each time, so that only the adapter's change shows.

One timestep drawn at random a look makes a training loss nearly all noise; here every image is measured at the same
evenly spread noise levels, which leaves the differences between images as the only scatter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from trainer.parts import BatchFacts, Conditioning
from trainer.plan.draws import Draw, number, uniforms


class Image(Protocol):
    """A batch of one look, as the loader gives it for `Draws.fixed`."""

    @property
    def seeds(self) -> list[int]:
        """One number, the same at each check."""
        ...

    @property
    def latents_BCHW(self) -> Tensor:
        """Scaled latents on the device."""
        ...

    @property
    def conditioning(self) -> Conditioning:
        """What its caption says."""
        ...

    @property
    def facts(self) -> BatchFacts:
        """Its sizes."""
        ...


Losses = Callable[[Tensor, Sequence[int], Sequence[int], Conditioning, BatchFacts], Tensor]
"""(latents_BCHW, timesteps, seeds of the noise, conditioning, facts) -> unweighted loss of each row, on the device."""


@dataclass(frozen=True)
class Result:
    """`loss`: mean over images and timesteps. `error`: its standard error over images (0 for one image).
    `per_timestep`: timestep -> mean over images. `per_image` in the order given."""

    loss: float
    error: float
    per_timestep: dict[int, float] = field(default_factory=dict)
    per_image: list[float] = field(default_factory=list)


def grid(count: int, process_steps: int) -> list[int]:
    """The middles of `count` equal parts of the process: 8 of 1000 are 62, 187, 312, ... 937."""
    return [int((k + 0.5) / count * process_steps) for k in range(count)]


@torch.no_grad()
def measure(losses: Losses, images: Iterable[Image], timesteps: Sequence[int], passes: int = 4) -> Result:
    """Measure each image at all timesteps, `passes` of them in one forward pass.

    The seeds handed to `losses` are a function of the image's own and the timestep. Give batches made anew for each
    check where the text encoder is trained, since a batch keeps its conditioning. The caller has the adapter in
    evaluation mode. The device is waited for once, at the end. ValueError without images."""
    rows = []
    for image in images:
        parts = [_pass(losses, image, timesteps[i : i + passes]) for i in range(0, len(timesteps), passes)]
        rows.append(torch.cat(parts).detach())
    if not rows:
        raise ValueError("no images to measure")
    losses_IT = torch.stack(rows).cpu().double()
    per_image_I = losses_IT.mean(dim=1)
    error = float(per_image_I.std(correction=1)) / math.sqrt(len(rows)) if len(rows) > 1 else 0.0
    per_timestep = dict(zip(timesteps, losses_IT.mean(dim=0).tolist()))
    return Result(float(losses_IT.mean()), error, per_timestep, per_image_I.tolist())


_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Glance:
    """One held-out image at one noise level after each step: a noisy loss, for the price of one forward pass.

    Image, timestep and noise are functions of (seed, step). The images take turns, and the timesteps step through the
    process by the golden ratio from a start of the seed's: any few steps in a row cover it evenly, so that a mean over
    them is far steadier than of independent draws (a Weyl sequence). `images`: the draw of each; `batch`: makes one."""

    losses: Losses
    batch: Callable[[Draw], Image]
    images: Sequence[Draw]
    process_steps: int
    seed: int

    @torch.no_grad()
    def __call__(self, step: int) -> Tensor:
        """The loss on the device, which is not waited for. The caller has the adapter in evaluation mode."""
        start, turn, *_ = uniforms(self.seed, "each step")
        place = (int(turn * len(self.images)) + step) % len(self.images)
        timestep = int((start + step * _GOLDEN) % 1.0 * self.process_steps)
        image = self.batch(self.images[place])
        return _losses(self.losses, image, [timestep], [number(self.seed, step, "each step")])[0]


def _pass(losses: Losses, image: Image, timesteps: Sequence[int]) -> Tensor:
    """One image at some timesteps, with its noise of the grid."""
    return _losses(losses, image, timesteps, [number(image.seeds[0], timestep, "grid") for timestep in timesteps])


def _losses(losses: Losses, image: Image, timesteps: Sequence[int], seeds: Sequence[int]) -> Tensor:
    """One image at some timesteps, as a batch."""
    count = len(timesteps)
    conditioning = {name: _repeated(values, count) for name, values in image.conditioning.items()}
    original_B2, crop_B2, target_B2 = image.facts.original_B2, image.facts.crop_B2, image.facts.target_B2
    facts = BatchFacts(_repeated(original_B2, count), _repeated(crop_B2, count), _repeated(target_B2, count))
    return losses(_repeated(image.latents_BCHW, count), timesteps, seeds, conditioning, facts)


def _repeated(values: Tensor, count: int) -> Tensor:
    return values.expand(count, *values.shape[1:])
