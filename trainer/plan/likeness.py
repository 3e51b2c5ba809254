"""Which images are near-duplicates: the same picture in another size, quality or format, or mirrored.

The print of an image is a difference hash (N. Krawetz, "Kind of Like That", 2013): the image in grey at 17 x 16 pixels,
and for each pixel whether its right-hand neighbour is clearly brighter, or clearly darker. Two prints are compared by
the share of differing signs among those that either has set (Jaccard distance), so that drawings with large empty parts
are not all alike.

`SAME_BELOW` was chosen by measuring (photographs, line drawings, noise, 16 demo badges that look alike by design):
copies at half or double size, JPEG quality 30, blurred, brighter, mirrored: 0.00-0.20; quality 10: up to 0.29; a margin
of 2 % cut off: 0.1-0.35; two different badges of the demo: from 0.42; other different pictures: from 0.49. Two drawings
that differ in one small part (the eyes of a face) do count as near-duplicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .headers import register_heif

SAME_BELOW = 0.3
SIDE = 16
"""Differences in a row, and rows."""
_BITS = 2 * SIDE * SIDE
PRINT_BYTES = 2 * _BITS // 8
"""A print holds the image's own signs, then those of its mirror image."""
_CLEAR = 2
"""Levels of 255 by which neighbours must differ: below lies the noise of JPEG in even parts."""
_FEWEST_SIGNS = 8
"""An image with fewer is even all over: its print says nothing of it."""
_SHARED = (1 - SAME_BELOW) / (2 - SAME_BELOW)
_BLOCK = 128
_Signs = NDArray[np.float32]
"""(images, _BITS), 0 or 1: in float32 a product of matrices counts shared signs, exactly and fast. Made anew for each
question: of 10,000 images they are 40 MB."""

Print = bytes
"""`PRINT_BYTES` long; empty for an image that is even all over or cannot be decoded."""


def print_of(path: Path) -> Print:
    """The print of an image file, decoded only as far as that needs. Never raises: a file that cannot be decoded is
    the business of those who train on it."""
    try:
        grey = _small_grey(path)
    except Exception:  # decoders raise whatever the damage leads them to
        return b""
    step = np.diff(grey.astype(np.int16), axis=1)
    own = np.concatenate([step > _CLEAR, step < -_CLEAR])
    mirrored = np.concatenate([step[:, ::-1] < -_CLEAR, step[:, ::-1] > _CLEAR])
    if own.sum() < _FEWEST_SIGNS:
        return b""
    return np.packbits(own).tobytes() + np.packbits(mirrored).tobytes()


def _small_grey(path: Path) -> NDArray[np.uint8]:
    """(SIDE, SIDE + 1) grey levels of the upright image; what is transparent is white."""
    from PIL import Image, ImageOps

    if path.suffix.lower() in (".heic", ".heif"):
        register_heif()
    with Image.open(path) as image:
        image.draft("RGB" if image.mode == "RGB" else None, (4 * SIDE, 4 * SIDE))  # JPEG: an eighth of the size at best
        turned = ImageOps.exif_transpose(image) if "exif" in image.info else image
        if turned.mode.startswith(("I", "F")):
            values = np.asarray(turned, dtype=np.float64)
            turned = Image.fromarray((255 * values / max(values.max(), 1e-9)).clip(0, 255).astype(np.uint8))
        elif "A" in turned.getbands() or "transparency" in turned.info:
            clear = turned.convert("RGBA")
            turned = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
        grey = turned.convert("L")
        return np.asarray(grey.resize((SIDE + 1, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0))


class Likeness:
    """Near-duplicates among images, given by the hashes of their contents (equal ones are the same image) and their
    prints, in one order. `benchmarks/likeness.py` prints how long it takes."""

    def __init__(self, contents: Sequence[bytes], prints: Sequence[Print]) -> None:
        self._contents, self._prints = list(contents), list(prints)
        self._content = _numbered(self._contents)

    def near(self, rows: Sequence[int]) -> dict[int, int]:
        """Every image that is a near-duplicate of one of `rows`, themselves included -> which of them."""
        index = np.asarray(rows, dtype=np.int64)
        own, mirrored = _signs(self._prints)
        same = _alike(own[index], own, mirrored)
        same |= self._content[index, None] == self._content[None, :]
        return {image: int(index[same[:, image].argmax()]) for image in np.flatnonzero(same.any(axis=0)).tolist()}

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """For each image the number of its group: images that are linked by near-duplicates are in one.

        An image is compared only with those that have about as many signs: up to 1 / _SHARED - 1 times as many. Equal
        prints, of which copies and stills have many, are compared once."""
        label, number = self._content.copy(), _numbered(self._prints)
        _, first = np.unique(number, return_index=True)
        for place, found in enumerate(self._prints):
            if found:
                _join(label, [int(first[number[place]]), place])
        own, mirrored = _signs([self._prints[place] for place in first])
        by_signs = np.argsort(own.sum(axis=1), kind="stable")
        order, own, mirrored = first[by_signs], own[by_signs], mirrored[by_signs]
        signs = own.sum(axis=1)
        for start in range(0, len(order), _BLOCK):
            block = own[start : start + _BLOCK]
            end = int(np.searchsorted(signs, block[-1].sum() * (1 / _SHARED - 1), side="right"))
            near = _alike(block, own[start:end], mirrored[start:end])
            for row in np.flatnonzero(near.sum(axis=1) > 1):
                _join(label, order[start:end][near[row]])
        return label

    def parts(self, kept: Sequence[int] | None = None) -> list[list[int]]:
        """The groups, each a list of its images; where only the images `kept` are looked at, if they are given."""
        if kept is None:
            kept, label = range(len(self._contents)), self.groups
        else:
            label = Likeness([self._contents[place] for place in kept], [self._prints[place] for place in kept]).groups
        found: dict[int, list[int]] = {}
        for place, group in zip(kept, label.tolist()):
            found.setdefault(group, []).append(place)
        return list(found.values())


@lru_cache(maxsize=4)
def likeness_of(contents: tuple[bytes, ...], prints: tuple[Print, ...]) -> Likeness:
    """`Likeness`, remembered: the page asks for it at each edit."""
    return Likeness(contents, prints)


def _signs(prints: Sequence[Print]) -> tuple[_Signs, _Signs]:
    """The signs of images, and those of their mirror images; none of an image without a print."""
    whole = b"".join(found or bytes(PRINT_BYTES) for found in prints)
    bits = np.unpackbits(np.frombuffer(whole, np.uint8).reshape(-1, PRINT_BYTES), axis=1).astype(np.float32)
    return bits[:, :_BITS], bits[:, _BITS:]


def _alike(own: _Signs, others: _Signs, mirrored: _Signs) -> NDArray[np.bool_]:
    """(len(own), len(others)): whether two prints are alike, one of them mirrored or not.

    Two prints with s signs in both together, x of them shared, differ in s - 2x of the s - x that either has:
    (s - 2x) / (s - x) < SAME_BELOW where x > s (1 - SAME_BELOW) / (2 - SAME_BELOW)."""
    signs = own.sum(axis=1, keepdims=True)
    needed = (signs + others.sum(axis=1)) * np.float32(_SHARED)
    alike = own @ others.T > needed
    alike |= own @ mirrored.T > needed
    return alike & (signs > 0)


def _join(label: NDArray[np.int64], alike: Sequence[int] | NDArray[np.int64]) -> None:
    """Make the groups of some images one."""
    found = np.unique(label[alike])
    if len(found) > 1:
        label[np.isin(label, found)] = found[0]


def _numbered(values: Sequence[bytes]) -> NDArray[np.int64]:
    """The same number for the same bytes."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)
