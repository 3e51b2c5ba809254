"""The batches of each step, for one process of possibly several, from the order that the plan has drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from trainer.data.latents import Latents
from trainer.data.masks import Masks
from trainer.data.text import Text
from trainer.parts import BatchFacts, Conditioning
from trainer.plan.draws import Draw, Draws, looks_in, rank_slice
from trainer.timing.stopwatch import SILENT, Stopwatch


@dataclass(frozen=True)
class Batch:
    """One forward pass of one process. Tensors are made when first asked for and stay for the batch's life; making them
    is time for data, whoever asks, and sending them is time for transfer.

    `weights`: of each look's loss in the step's loss, which is their sum over micro-batches and processes: 1 / looks of
    the step, so that accumulation, ragged batches and several processes weigh every look alike; 0 for a look that only
    keeps this process in step with the others."""

    draws: Sequence[Draw]
    weights: Sequence[float]
    sizes: Sequence[tuple[int, int]]
    device: torch.device
    latent_source: Latents
    text_source: Text
    watch: Stopwatch = SILENT
    mask_source: Masks | None = None

    def __len__(self) -> int:
        return len(self.draws)

    @property
    def captions(self) -> list[str]:
        """The text of each look."""
        return [draw.caption for draw in self.draws]

    @property
    def seeds(self) -> list[int]:
        """Of each look: what its noise and timestep are drawn from."""
        return [draw.seed for draw in self.draws]

    @cached_property
    def weights_B(self) -> Tensor:
        """`weights` on the device."""
        return self._send(torch.tensor(self.weights, dtype=torch.float32))

    @cached_property
    def latents_BCHW(self) -> Tensor:
        """Scaled latents, float32, on the device."""
        with self.watch.part("data"):
            latents_BCHW = self.latent_source.take(self.draws)
        return self._send(latents_BCHW)

    @cached_property
    def mask_B1HW(self) -> Tensor | None:
        """What each latent counts in its look's loss, float32, on the device; None where all of them count whole."""
        if self.mask_source is None:
            return None
        with self.watch.part("data"):
            mask_B1HW = self.mask_source.take(self.draws)
        return None if mask_B1HW is None else self._send(mask_B1HW)

    @cached_property
    def conditioning(self) -> Conditioning:
        """What the captions say, on the device."""
        with self.watch.part("data"):
            encoded = self.text_source.take(self.captions)
        return {name: self._send(values) for name, values in encoded.items()}

    @cached_property
    def facts(self) -> BatchFacts:
        """Sizes as (width, height), corners as (x, y), in pixels; a mirrored look's corner is that of the mirrored
        image."""
        rows = (self.sizes, [_corner(draw) for draw in self.draws], [tuple(draw.bucket) for draw in self.draws])
        return BatchFacts(*(self._send(torch.tensor(row, dtype=torch.float32)) for row in rows))

    def _send(self, values: Tensor) -> Tensor:
        with self.watch.part("transfer"):
            return _send(values, self.device)


def _corner(draw: Draw) -> tuple[int, int]:
    """What was cut off at the left and the top of what is seen."""
    x, y = draw.crop
    return (draw.resized[0] - draw.bucket[0] - x, y) if draw.flip else (x, y)


def _send(values: Tensor, device: torch.device) -> Tensor:
    """To the device without making the CPU wait, where that can be. Keeps gradients."""
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


@dataclass(frozen=True)
class Share:
    """Which process this is, of how many."""

    rank: int = 0
    processes: int = 1


class Loader:
    """Batches of each step for one process; the next step's images are being decoded meanwhile."""

    def __init__(
        self,
        draws: Draws,
        sizes: Sequence[tuple[int, int]],
        latents: Latents,
        text: Text,
        device: torch.device,
        share: Share = Share(),
        watch: Stopwatch = SILENT,
        masks: Masks | None = None,
    ) -> None:
        """`sizes`: (width, height) before any change of each of the plan's images. `masks`: None where none are
        used."""
        self._total, self._sizes, self._share = draws.recipe.total, sizes, share
        self._latents, self._text, self._device, self._watch = latents, text, device, watch
        self._masks = masks
        self._step = lru_cache(maxsize=4)(draws.step)

    def micro_batches(self, step: int) -> list[Batch]:
        """This process's batches of step `step`, counted from 1: as many on every process."""
        with self._watch.part("data"):
            whole = self._step(step)
            looks = looks_in(whole)
            batches = [self._batch(self._mine(batch), looks) for batch in whole]
            if step < self._total:
                for batch in self._step(step + 1):
                    mine = self._mine(batch)
                    self._latents.expect(mine)
                    if self._masks is not None:
                        self._masks.expect(mine)
        return batches

    def looks(self, step: int) -> int:
        """Images shown in a step over all processes."""
        return looks_in(self._step(step))

    def fixed(self, draws: Sequence[Draw]) -> Batch:
        """A batch of given draws of one bucket, for measuring."""
        return self._batch(draws, len(draws))

    def _mine(self, batch: Sequence[Draw]) -> list[Draw]:
        return rank_slice(batch, self._share.rank, self._share.processes)

    def _batch(self, draws: Sequence[Draw], looks: int) -> Batch:
        weights = [draw.weight / looks for draw in draws]
        sizes = [self._sizes[draw.image] for draw in draws]
        return Batch(draws, weights, sizes, self._device, self._latents, self._text, self._watch, self._masks)
