"""Where a batch's latents come from: encoded beforehand and kept in memory, or decoded and encoded as needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from trainer.data.cache import Cache, finite, hash_bytes
from trainer.data.images import to_tensor
from trainer.parts import Family
from trainer.plan.draws import Draw, number
from trainer.plan.pixels import BrokenImage, open_image, read_bytes, seen
from trainer.timing.stopwatch import SILENT, Stopwatch

Progress = Callable[[str, int, int], None]
"""What is being done, how many are done, of how many."""

Place = tuple[int, tuple[int, int], tuple[int, int], tuple[int, int], bool]
"""What tells a cached latent from others in a run: image, resized size, crop corner, bucket, mirrored."""

_ENCODED = "latents"


class BrokenImages(Exception):
    """All images that could not be decoded, after the others were done: plan again without them."""

    def __init__(self, broken: Sequence[BrokenImage]) -> None:
        super().__init__("; ".join(str(error) for error in broken))
        self.broken = tuple(broken)


class Latents(Protocol):
    """A source of latents."""

    def expect(self, draws: Sequence[Draw]) -> None:
        """These will be taken soon: start decoding."""
        ...

    def take(self, draws: Sequence[Draw]) -> Tensor:
        """Scaled latents BCHW, float32."""
        ...


def place(draw: Draw) -> Place:
    """The cached latent that a draw shows."""
    resized, crop, bucket = draw.resized, draw.crop, draw.bucket
    return (draw.image, (resized[0], resized[1]), (crop[0], crop[1]), (bucket[0], bucket[1]), draw.flip)


class CachedLatents:
    """Latents that are all in memory: 64 kB for a 512-pixel image."""

    def __init__(self, held: dict[Place, Tensor]) -> None:
        self._held = held

    def expect(self, draws: Sequence[Draw]) -> None:
        """Nothing to start."""

    def take(self, draws: Sequence[Draw]) -> Tensor:
        """Stacked from memory."""
        return torch.stack([self._held[place(draw)] for draw in draws])

    def __len__(self) -> int:
        return len(self._held)


class LiveLatents:
    """Decodes each look in threads while the step before runs, and encodes it by the VAE when it is taken.

    For what no cache can hold: random crops, rotation, colour jitter. Each look gets noise of its own in the VAE."""

    def __init__(self, paths: Sequence[Path], family: Family, threads: int = 2, watch: Stopwatch = SILENT) -> None:
        self._paths, self._family, self._watch = paths, family, watch
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="decode")
        self._pending: dict[int, Future[Tensor]] = {}

    def expect(self, draws: Sequence[Draw]) -> None:
        """Start decoding these, unless that has begun."""
        for draw in draws:
            if draw.seed not in self._pending:
                self._pending[draw.seed] = self._pool.submit(self._pixels, draw)

    def take(self, draws: Sequence[Draw]) -> Tensor:
        """Decoded now or before, encoded now. BrokenImage where a file has gone bad since it was checked."""
        self.expect(draws)
        pixels_BCHW = torch.stack([self._pending.pop(draw.seed).result() for draw in draws])
        with self._watch.part("data/vae"):
            return self._family.encode_images(pixels_BCHW, [number(draw.seed, "vae") % 2**32 for draw in draws])

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _pixels(self, draw: Draw) -> Tensor:
        path = self._paths[draw.image]
        with self._watch.beside("read"):
            data = read_bytes(path)
        with self._watch.beside("decode"):
            return to_tensor(seen(open_image(path, data), draw))


def check_decodable(paths: Sequence[Path], progress: Progress | None = None) -> list[BrokenImage]:
    """The images that cannot be decoded: for runs that decode while they train and would otherwise stop midway."""
    broken = []
    with ThreadPoolExecutor(max_workers=4) as pool:
        for done, error in enumerate(pool.map(_fault, paths), start=1):
            if error is not None:
                broken.append(error)
            if progress:
                progress("checking images", done, len(paths))
    return broken


def _fault(path: Path) -> BrokenImage | None:
    try:
        open_image(path)
    except BrokenImage as error:
        return error
    return None


class Missing(NamedTuple):
    """A look that the cache lacks. `key`: where it will be kept; `seed`: of the VAE's noise, from the image's content
    and the look alone, so that it is the same for every VAE and on every device."""

    place: Place
    draw: Draw
    key: str
    seed: int


def prepare_latents(
    draws: Iterable[Draw],
    paths: Sequence[Path],
    family: Family,
    cache: Cache,
    batch_size: int = 1,
    progress: Progress | None = None,
) -> CachedLatents:
    """Everything that these draws show, from the cache where it is there, else encoded and put there.

    `cache` carries the VAE's fingerprint. The VAE's noise comes from the content's hash, so a latent is the same in
    every run; it is drawn once and kept. BrokenImages after all others were encoded; ValueError for draws that are
    rotated or coloured, which differ at each look."""
    wanted = sorted({place(draw): draw for draw in draws}.items())
    if any(draw.rotate or draw.jitter != (1.0, 1.0, 1.0) for _, draw in wanted):
        raise ValueError("rotated or coloured looks cannot be cached")
    held: dict[Place, Tensor] = {}
    missing: list[Missing] = []
    broken: dict[int, BrokenImage] = {}
    images = [(image, list(rows)) for image, rows in groupby(wanted, key=lambda row: row[0][0])]
    for done, (image, rows) in enumerate(images, start=1):
        if progress:
            progress("looking images up in the cache", done, len(images))
        try:
            content = hash_bytes(read_bytes(paths[image]))
        except BrokenImage as error:
            broken[image] = error
            continue
        for spot, draw in rows:
            key = cache.key(content, *spot[1:])
            found = cache.get(key)
            if found is None:
                missing.append(Missing(spot, draw, key, number(content, *spot[1:]) % 2**32))
            else:
                held[spot] = found[_ENCODED]
    _encode(missing, paths, family, cache, batch_size, held, broken, progress)
    if broken:
        raise BrokenImages([broken[image] for image in sorted(broken)])
    return CachedLatents(held)


def _encode(
    missing: list[Missing],
    paths: Sequence[Path],
    family: Family,
    cache: Cache,
    batch_size: int,
    held: dict[Place, Tensor],
    broken: dict[int, BrokenImage],
    progress: Progress | None,
) -> None:
    """Encode what is missing, bucket by bucket; the next group is decoded while the VAE works on this one."""
    by_bucket = sorted(missing, key=lambda row: (row.place[3], row.place))
    groups = []
    for _, rows in groupby(by_bucket, key=lambda row: row.place[3]):
        bucket = list(rows)
        groups += [bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size)]
    done = 0
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="decode") as pool:
        ahead = deque(pool.submit(_decode, group, paths) for group in groups[:2])
        for index, group in enumerate(groups):
            pixels = ahead.popleft().result()
            if index + 2 < len(groups):
                ahead.append(pool.submit(_decode, groups[index + 2], paths))
            good = [(row, values) for row, values in zip(group, pixels) if isinstance(values, Tensor)]
            broken |= {row.place[0]: error for row, error in zip(group, pixels) if isinstance(error, BrokenImage)}
            if good:
                seeds = [row.seed for row, _ in good]
                latents_BCHW = family.encode_images(torch.stack([values for _, values in good]), seeds).float().cpu()
                for (row, _), latents_CHW in zip(good, latents_BCHW):
                    if not finite({_ENCODED: latents_CHW}):
                        why = "the VAE gives values for it that are no numbers"
                        broken[row.place[0]] = BrokenImage(paths[row.place[0]], why)
                        continue
                    held[row.place] = latents_CHW.clone()
                    cache.put(row.key, {_ENCODED: latents_CHW})
            done += len(group)
            if progress:
                progress("encoding images", done, len(missing))


def _decode(group: Sequence[Missing], paths: Sequence[Path]) -> list[Tensor | BrokenImage]:
    decoded: list[Tensor | BrokenImage] = []
    for row in group:
        try:
            decoded.append(to_tensor(seen(open_image(paths[row.draw.image]), row.draw)))
        except BrokenImage as error:
            decoded.append(error)
    return decoded
