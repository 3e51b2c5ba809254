"""Aspect-ratio buckets: the sizes that images are trained at, and which image goes where.

Sizes and rounding are those of sd-scripts' BucketManager, so that a data set falls into the buckets its owner knows.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple


class Size(NamedTuple):
    """Width and height in pixels, as the image is seen (EXIF rotation applied)."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def area(self) -> int:
        """Pixels in all."""
        return self.width * self.height

    @property
    def aspect(self) -> float:
        """Width by height."""
        return self.width / self.height


class Placed(NamedTuple):
    """How an image is brought into its bucket: scaled to `resized`, of which a part of size `bucket` is cut out."""

    bucket: Size
    resized: Size

    @property
    def slack(self) -> tuple[int, int]:
        """Pixels that are cut away, across and down."""
        return self.resized.width - self.bucket.width, self.resized.height - self.bucket.height

    @property
    def centre(self) -> tuple[int, int]:
        """Top-left corner of the centre crop in the resized image."""
        across, down = self.slack
        return across // 2, down // 2


def make_buckets(area_px: int, min_px: int, max_px: int, step_px: int) -> list[Size]:
    """All sizes of at most `area_px` whose sides are multiples of `step_px` between `min_px` and `max_px`, sorted.

    For each width the largest height that fits, both ways round, and the square (sd-scripts, make_bucket_resolutions).
    """
    min_px, max_px = -(-min_px // step_px) * step_px, max_px // step_px * step_px
    square = int(math.sqrt(area_px) // step_px) * step_px
    sizes = {Size(square, square)}
    for width in range(min_px, max_px + 1, step_px):
        height = min(max_px, area_px // width // step_px * step_px)
        if height >= min_px:
            sizes |= {Size(width, height), Size(height, width)}
    return sorted(sizes)


def nearest_bucket(size: Size, buckets: Sequence[Size]) -> Size:
    """The bucket of exactly this size, else the one whose aspect ratio is nearest (the first in order if two are)."""
    return Chooser(buckets)(size)


class Chooser:
    """`nearest_bucket` for many images: finds by bisection and remembers by size."""

    def __init__(self, buckets: Sequence[Size]) -> None:
        first: dict[float, Size] = {}
        for bucket in buckets:
            first.setdefault(bucket.aspect, bucket)
        self._aspects = sorted(first)
        self._sizes = [first[aspect] for aspect in self._aspects]
        self._order = {bucket: place for place, bucket in enumerate(buckets)}
        self._known = {bucket: bucket for bucket in buckets}

    def __call__(self, size: Size) -> Size:
        """The bucket of an image of this size."""
        found = self._known.get(size)
        if found is None:
            found = self._known[size] = self._search(size[0] / size[1])
        return found

    def _search(self, aspect: float) -> Size:
        place = bisect_left(self._aspects, aspect)
        if place == 0 or place == len(self._aspects):
            return self._sizes[min(place, len(self._sizes) - 1)]
        below, above = aspect - self._aspects[place - 1], self._aspects[place] - aspect
        low, high = self._sizes[place - 1], self._sizes[place]
        if below == above:
            return min(low, high, key=self._order.__getitem__)
        return low if below < above else high


def fit(size: Size, bucket: Size) -> Placed:
    """Scale an image of `size` so that it just covers `bucket`; what juts out on one axis is the slack to crop."""
    if size.aspect > bucket.aspect:
        scale = bucket.height / size.height
    else:
        scale = bucket.width / size.width
    resized = Size(int(size.width * scale + 0.5), int(size.height * scale + 0.5))
    return Placed(bucket, Size(max(resized.width, bucket.width), max(resized.height, bucket.height)))


def fit_without_enlarging(size: Size, area_px: int, step_px: int) -> Placed | None:
    """Shrink to `area_px` if larger, else keep the size, and cut both sides down to multiples of `step_px`.

    None for an image with a side below one step. As sd-scripts' bucket_no_upscale, where `bucket_min` and `bucket_max`
    have no effect.
    """
    resized = _shrunk(size, area_px, step_px) if size.area > area_px else size
    if resized is None:
        return None
    bucket = Size(resized.width - resized.width % step_px, resized.height - resized.height % step_px)
    return Placed(bucket, resized) if min(bucket) > 0 else None


def _shrunk(size: Size, area_px: int, step_px: int) -> Size | None:
    """Of the two sizes with one side rounded to a step, the one that keeps the shape better."""
    width = math.sqrt(area_px * size.aspect)
    by_width, by_height = _round_down(width, step_px), _round_down(area_px / width, step_px)
    if min(by_width, by_height) <= 0:
        return None
    height_of_width = _round_down(by_width / size.aspect, step_px)
    width_of_height = _round_down(by_height * size.aspect, step_px)
    error_w = abs(by_width / height_of_width - size.aspect) if height_of_width else math.inf
    error_h = abs(width_of_height / by_height - size.aspect)
    if error_w < error_h:
        return Size(by_width, int(by_width / size.aspect + 0.5))
    return Size(int(by_height * size.aspect + 0.5), by_height)


def _round_down(length_px: float, step_px: int) -> int:
    whole = int(length_px + 0.5)
    return whole - whole % step_px
