"""Which images are held out for validation."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from trainer.contract.parse import parse_split

from .scan import ImageFile

AUTO_FROM = 20
"""Images from which "auto" holds some out."""
AUTO_SHARE = 0.1
_EDGE_BYTES = 65536


def held_out_count(images: int, how: str) -> int:
    """How many of `images` are held out; at least one is always left to train on. `how` as in `parse_split`."""
    wanted = parse_split(how)
    count = int(wanted.amount)
    if wanted.kind == "auto":
        count = max(2, round(images * AUTO_SHARE)) if images >= AUTO_FROM else 0
    elif wanted.kind == "percent":
        count = max(1, round(images * wanted.amount / 100))
    return min(count, max(images - 1, 0))


_known: dict[tuple[str, int, float], bytes] = {}


def content_hash(path: Path, size: int, mtime: float) -> bytes:
    """Hash of a file's length, first and last 64 KiB: enough to tell images apart, without reading gigabytes for a
    preview. Remembered while the program runs, by path, length and time of change."""
    key = (str(path), size, mtime)
    if key not in _known:
        with open(path, "rb") as file:
            data = file.read(_EDGE_BYTES)
            if size > 2 * _EDGE_BYTES:
                file.seek(-_EDGE_BYTES, 2)
            data += file.read(_EDGE_BYTES)
        _known[key] = blake2b(size.to_bytes(8, "big") + data, digest_size=16).digest()
    return _known[key]


def split(images: Sequence[ImageFile], how: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indices of (training, held-out) images: held out are those with the smallest content hashes.

    So the choice does not depend on names, order or seed. When images are added the held-out set hardly changes: it
    grows by those whose hash is next, or a new image with a smaller hash takes the place of the one with the largest,
    which then is trained on. Copies of one image always stay on one side."""
    count = held_out_count(len(images), how)
    everyone = tuple(range(len(images)))
    if count == 0:
        return everyone, ()
    hashes = [content_hash(image.path, image.bytes, image.mtime) for image in images]
    order = sorted(everyone, key=lambda index: hashes[index])
    held = set(order[:count])
    chosen = {hashes[index] for index in held}
    held |= {index for index in everyone if hashes[index] in chosen}
    if len(held) >= len(images):
        return everyone, ()
    return tuple(i for i in everyone if i not in held), tuple(sorted(held))
