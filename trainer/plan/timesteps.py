"""Which timesteps are trained how often: the distribution that the page plots and the trainer draws from.

Each shape is a cumulative distribution over the fraction of the way to pure noise, 0 (clean) to 1 (noise), as in Stable
Diffusion 3's paper (arXiv 2403.03206, section 3.1), which proposes them for flows. The whole shape lies over the
trained range, as sd-scripts lays it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate, pairwise
from statistics import NormalDist

from trainer.contract.settings import Noise

Cumulative = Callable[[float, Noise], float]
"""(fraction, settings) -> share of the draws that lie below the fraction."""


def uniform(x: float, noise: Noise) -> float:
    """All alike, as SD and SDXL were trained (DDPM, arXiv 2006.11239)."""
    return x


def logit_normal(x: float, noise: Noise) -> float:
    """The fraction is 1 / (1 + exp(-n)), n normal with the mean and spread of the settings."""
    if not 0.0 < x < 1.0:
        return x
    return NormalDist(noise.timestep_mean, noise.timestep_spread).cdf(math.log(x / (1.0 - x)))


def mode(x: float, noise: Noise) -> float:
    """The fraction is f(u) = 1 - u - s (cos²(pi u / 2) - 1 + u), u uniform, which falls from 1 to 0: so the share below
    x is 1 - f⁻¹(x), found by halving."""
    low, high = 0.0, 1.0
    for _ in range(53):
        u = (low + high) / 2
        above = 1.0 - u - noise.timestep_mode * (math.cos(math.pi * u / 2) ** 2 - 1.0 + u) > x
        low, high = (u, high) if above else (low, u)
    return 1.0 - (low + high) / 2


def cosmap(x: float, noise: Noise) -> float:
    """The fraction is 1 - 1 / (tan(pi u / 2) + 1), u uniform: signal and noise as in the cosine schedule."""
    return math.atan2(x, 1.0 - x) * 2.0 / math.pi


SHAPES: dict[str, Cumulative] = {
    "uniform": uniform,
    "logit normal": logit_normal,
    "mode": mode,
    "cosmap": cosmap,
}


def density(noise: Noise, steps: int = 1000) -> list[float]:
    """The probability of each timestep of a process of `steps`; they sum to 1."""
    return list(_density(noise, steps))


def pick(noise: Noise, u: float, steps: int = 1000) -> int:
    """The timestep of a uniform number in [0, 1): as many of them lead to a timestep as its probability says."""
    return bisect_right(_cumulative(noise, steps), u)


@lru_cache(maxsize=16)
def _density(noise: Noise, steps: int) -> tuple[float, ...]:
    low, high = min(noise.timestep_min, steps - 1), min(noise.timestep_max, steps)
    trained = max(high - low, 1)
    shape = SHAPES[noise.timesteps]
    below = [shape(place / trained, noise) for place in range(trained + 1)]
    whole = below[-1] - below[0]
    inside = [max(after - before, 0.0) / whole for before, after in pairwise(below)]
    return (0.0,) * low + tuple(inside) + (0.0,) * (steps - low - trained)


@lru_cache(maxsize=16)
def _cumulative(noise: Noise, steps: int) -> tuple[float, ...]:
    """Upper ends of the timesteps' shares; from the last one that is drawn at all on, what no `u` reaches."""
    shares = _density(noise, steps)
    last = max(place for place, share in enumerate(shares) if share > 0)
    return tuple(accumulate(shares[:last]))
