"""What can be said of a U-Net's blocks in sd-scripts' vocabulary: 25 values for SD 1.x and 2.x, 23 for SDXL."""

from __future__ import annotations

import math
from collections.abc import Callable

STRETCHES: dict[int, tuple[range, range, range]] = {
    25: (range(12), range(12, 13), range(13, 25)),
    23: (range(1, 10), range(10, 13), range(13, 22)),
}
"""Number of blocks -> those on the way down, in the middle, and on the way up (sd-scripts' `get_block_lr_weight`). Of
23 the first and the last are the embeddings and the output, which no adapter trains."""

CURVES: dict[str, Callable[[float], float]] = {
    "cosine": lambda t: math.sin(math.pi * (1 - t) / 2),
    "sine": lambda t: math.sin(math.pi * t / 2),
    "linear": lambda t: t,
    "reverse_linear": lambda t: 1 - t,
    "zeros": lambda t: 0.0,
}
"""Name -> factor at a place between the first block of a stretch (0) and its last (1)."""


def parse_rates(text: str, count: int) -> list[float]:
    """The factors of `count` blocks: numbers with commas between them (an empty place is 0, what is missing at the end
    is 1), or a curve's name with a base added by + ("cosine+0.25"). ValueError says what is wrong."""
    name, _, base = (part.strip() for part in text.partition("+"))
    if name in CURVES:
        return _curve(name, base, count)
    values = [_number(part) for part in text.split(",")]
    if len(values) > count:
        raise ValueError(f"{len(values)} factors for {count} block{'' if count == 1 else 's'}")
    return values + [1.0] * (count - len(values))


def _curve(name: str, base: str, count: int) -> list[float]:
    if count == 1 and name != "zeros":
        raise ValueError(f"{name} needs several blocks, here is 1: write a number")
    return [CURVES[name](place / max(count - 1, 1)) + (_number(base) if base else 0.0) for place in range(count)]


def _number(text: str) -> float:
    text = text.strip()
    if not text:
        return 0.0
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor one of {', '.join(CURVES)}") from None
    if not 0 <= value <= 1000:
        raise ValueError(f"{text} is not between 0 and 1000")
    return value
