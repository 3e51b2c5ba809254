"""How sharp an image is where it is sharpest, at the size that it is trained at.

Sharpness is lost detail: an image is blurred a little more, and what share of its neighbouring differences goes away is
measured (Crete and others, "The blur effect", 2007). A sharp image loses much, one that is blurred already little; so
drawings with even areas and photographs are measured alike, which the variance of the Laplacian does not do. It is
taken in tiles, and the sharpest counts: a blurred background behind a sharp subject is no fault. It is taken across and
down, and the lower counts: a moved camera blurs one way only.

`BLURRED_BELOW` was chosen by measuring (`python -m benchmarks.blur` prints it for pictures of one's own). Seven
photographs of 256 to 910 px, a chart and three drawings were 0.71-0.94 as they are; blurred by a Gaussian of 3 px
0.25-0.37, of 2 px 0.30-0.60, moved by 15 px 0.26-0.57, enlarged to twice their size 0.51-0.83.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLURRED_BELOW = 0.45
"""No sharp picture of those measured lies below, every one that was blurred by 3 px does."""
_TILES = 6
_LINES = 256
"""About as many lines are looked at each way: of lines that lie close together some speak for all."""
_WINDOW = 9
"""Length of the box that blurs once more, as in the paper."""
_FAINT = 1.0
"""Mean difference of neighbours, in levels of 255, below which a tile shows nothing to judge."""


def sharpness(grey: NDArray[np.float32]) -> float | None:
    """0 (nothing finer than the box) to 1, of grey levels (height, width) of 0-255; None for an even image, or one too
    small to judge."""
    if min(grey.shape) < 8 * _WINDOW:
        return None
    ways = [[share for share in _tiles(way) if share is not None] for way in (grey, grey.T)]
    best = [max(shares) for shares in ways if shares]
    return min(best) if best else None


def _tiles(grey: NDArray[np.float32]) -> list[float | None]:
    """The share of the differences along the first axis that one more blur takes, tile by tile."""
    grey = np.ascontiguousarray(grey[:, :: max(1, grey.shape[1] // _LINES)])
    blurred = _box(grey)
    own, left = np.abs(np.diff(grey, axis=0)), np.abs(np.diff(blurred, axis=0))
    lost = np.maximum(own - left, 0)
    return [_share(a, b) for a, b in zip(_cut(own), _cut(lost))]


def _share(own: NDArray[np.float32], lost: NDArray[np.float32]) -> float | None:
    total = float(own.sum())
    return float(lost.sum()) / total if total > _FAINT * own.size else None


def _cut(values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [part for row in np.array_split(values, _TILES) for part in np.array_split(row, _TILES, axis=1)]


def _box(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of `_WINDOW` neighbours along the first axis, edges repeated. Sums of 8-bit levels are exact in
    float32, up to 65,000 pixels."""
    wide = np.pad(grey, ((_WINDOW // 2, _WINDOW // 2), (0, 0)), mode="edge")
    sums = np.cumsum(np.concatenate([np.zeros_like(wide[:1]), wide]), axis=0)
    return (sums[_WINDOW:] - sums[:-_WINDOW]) / np.float32(_WINDOW)
