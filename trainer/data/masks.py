"""Where a batch's masks come from: what each latent counts in the loss, decoded beforehand or as needed.

A mask is brought to the size of the latents by averaging over each latent's square of pixels; what it leaves out
counts `outside`. Names carry shapes: B looks of a batch, H height, W width, in latents.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from trainer.contract.problems import Problem, Problems
from trainer.data.cache import Cache, hash_bytes
from trainer.data.latents import Place, Progress, place
from trainer.plan.draws import Draw
from trainer.plan.pixels import BrokenImage, open_mask, read_bytes, seen_mask, shares
from trainer.plan.scan import ImageFile
from trainer.timing.stopwatch import SILENT, Stopwatch

_SHARES = "shares"


@dataclass(frozen=True)
class Weighing:
    """`factor`: pixels of a latent's side. `outside`: what counts of the unmasked rest, 0 to 1. `by_area`: weights are
    divided by their mean, so that a small subject teaches as much as a large one."""

    factor: int
    outside: float = 0.0
    by_area: bool = False

    def __call__(self, shares_B1HW: Tensor) -> Tensor:
        """Weights of each latent's loss. Where nothing counts at all, nothing is divided by: all weights stay 0."""
        weights_B1HW = shares_B1HW + (1 - shares_B1HW) * self.outside
        if not self.by_area:
            return weights_B1HW
        mean_B111 = weights_B1HW.mean(dim=(1, 2, 3), keepdim=True)
        return torch.where(mean_B111 > 0, weights_B1HW / mean_B111, weights_B1HW)


class Masks(Protocol):
    """A source of masks."""

    def expect(self, draws: Sequence[Draw]) -> None:
        """These will be taken soon: start decoding."""
        ...

    def take(self, draws: Sequence[Draw]) -> Tensor | None:
        """Weights B1HW, float32; None where every one of these looks counts whole."""
        ...


class CachedMasks:
    """Masks that are all in memory: 16 kB for a 512-pixel image. An image without one counts whole."""

    def __init__(self, held: dict[Place, Tensor], weighing: Weighing) -> None:
        self._held, self._weighing = held, weighing

    def expect(self, draws: Sequence[Draw]) -> None:
        """Nothing to start."""

    def take(self, draws: Sequence[Draw]) -> Tensor | None:
        """Stacked from memory."""
        found = [self._held.get(place(draw)) for draw in draws]
        return _stacked(found, draws, self._weighing)

    def __len__(self) -> int:
        return len(self._held)


class LiveMasks:
    """Decodes the mask of each look in threads while the step before runs: for looks that no cache can hold."""

    def __init__(self, images: Sequence[ImageFile], weighing: Weighing, watch: Stopwatch = SILENT) -> None:
        self._images, self._weighing, self._watch = images, weighing, watch
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="mask")
        self._pending: dict[int, Future[Tensor]] = {}

    def expect(self, draws: Sequence[Draw]) -> None:
        """Start decoding these, unless that has begun."""
        for draw in draws:
            if draw.seed not in self._pending and self._images[draw.image].mask is not None:
                self._pending[draw.seed] = self._pool.submit(self._decode, draw)

    def take(self, draws: Sequence[Draw]) -> Tensor | None:
        """Decoded now or before. BrokenImage where a file has gone bad since it was checked."""
        self.expect(draws)
        found = [self._pending.pop(draw.seed).result() if draw.seed in self._pending else None for draw in draws]
        return _stacked(found, draws, self._weighing)

    def _decode(self, draw: Draw) -> Tensor:
        image = self._images[draw.image]
        assert image.mask is not None
        with self._watch.beside("read"):
            data = read_bytes(image.mask)
        with self._watch.beside("decode"):
            return decode(image, data, [draw], self._weighing.factor)[0]


def _stacked(found: Sequence[Tensor | None], draws: Sequence[Draw], weighing: Weighing) -> Tensor | None:
    if all(mask is None for mask in found):
        return None
    width, height = draws[0].bucket
    whole_1HW = torch.ones((1, height // weighing.factor, width // weighing.factor))
    return weighing(torch.stack([whole_1HW if mask is None else mask for mask in found]))


def decode(image: ImageFile, data: bytes, draws: Sequence[Draw], factor: int) -> list[Tensor]:
    """What a mask leaves white of each latent, 1HW, for each of some looks at its image. `data`: the mask's file.
    BrokenImage where it cannot be decoded."""
    assert image.mask is not None
    mask = open_mask(image.mask, image.mask == image.path, data)
    return [torch.from_numpy(shares(seen_mask(mask, image.size, draw), factor))[None] for draw in draws]


def prepare_masks(
    draws: Iterable[Draw],
    images: Sequence[ImageFile],
    cache: Cache,
    weighing: Weighing,
    progress: Progress | None = None,
) -> CachedMasks:
    """The masks of everything that these draws show, from the cache where they are there, else decoded and put there.
    Each file is decoded once, whatever the number of its looks. Problems (kind "data") name those that are damaged."""
    wanted = sorted({place(draw): draw for draw in draws if images[draw.image].mask is not None}.items())
    groups = [(index, list(rows)) for index, rows in groupby(wanted, key=lambda row: row[0][0])]
    held: dict[Place, Tensor] = {}
    broken: list[BrokenImage] = []

    def load(group: tuple[int, list[tuple[Place, Draw]]]) -> dict[Place, Tensor] | BrokenImage:
        try:
            return _load(images[group[0]], group[1], cache, weighing.factor)
        except BrokenImage as error:
            return error

    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="mask") as pool:
        for done, found in enumerate(pool.map(load, groups), start=1):
            if isinstance(found, BrokenImage):
                broken.append(found)
            else:
                held |= found
            if progress:
                progress("preparing masks", done, len(groups))
    if broken:
        why = "masks cannot be decoded: " + "; ".join(f"{Path(error.path).name}: {error.why}" for error in broken[:5])
        raise Problems([Problem("dataset.folders", why, "replace the files, or set dataset.masks to none", "data")])
    return CachedMasks(held, weighing)


def _load(image: ImageFile, rows: Sequence[tuple[Place, Draw]], cache: Cache, factor: int) -> dict[Place, Tensor]:
    """The masks of one image's looks."""
    assert image.mask is not None
    data = read_bytes(image.mask)
    facts = (hash_bytes(data), "alpha" if image.mask == image.path else "picture", tuple(image.size), factor)
    keys = {spot: cache.key(*facts, *spot[1:]) for spot, _ in rows}
    found = {spot: kept[_SHARES] for spot, _ in rows if (kept := cache.get(keys[spot])) is not None}
    missing = [(spot, draw) for spot, draw in rows if spot not in found]
    if missing:
        made = decode(image, data, [draw for _, draw in missing], factor)
        for (spot, _), values in zip(missing, made):
            cache.put(keys[spot], {_SHARES: values})
            found[spot] = values
    return found
