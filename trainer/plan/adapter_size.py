"""How many values an adapter trains, from the shapes of the layers alone: a formula for each network type.

The formulas are those of LyCORIS' modules (`lycoris/modules`), whose layers the trainer builds. Letters: R rank,
O outputs, I inputs, A area of a convolution's kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from trainer.contract import catalog
from trainer.contract.families import Family
from trainer.contract.families.base import Header
from trainer.contract.problems import Problem
from trainer.contract.settings import Preset

from .layers import part_rates, sizes
from .started import ranks_of

Arguments = Mapping[str, bool | int | float | str]


@dataclass(frozen=True)
class Shape:
    """A layer's weight and what the adapter does to it. `wide`: a convolution larger than 1x1."""

    outputs: int
    inputs: int
    area: int
    rank: int
    arguments: Arguments

    @property
    def tucker(self) -> bool:
        """Whether a middle matrix holds the kernel."""
        return bool(self.arguments.get("use_tucker")) and self.area > 1


def count(kind: str, weight: tuple[int, ...], rank: int, dora: bool, arguments: Arguments) -> int:
    """Trained values of one layer; 0 for one that is left out. ValueError where the type cannot adapt it at this
    rank."""
    if rank == 0:
        return 0
    outputs, inputs, *kernel = weight
    shape = Shape(outputs, inputs, prod(kernel), rank, arguments)
    sizes = (outputs if arguments.get("wd_on_output") else inputs) if dora else 0
    return COUNTS[catalog.network(kind).algo](shape) + sizes


def _lora(s: Shape) -> int:
    return s.rank * (s.inputs * s.area + s.outputs)


def _loha(s: Shape) -> int:
    if s.tucker:
        return 2 * s.rank * (s.rank * s.area + s.outputs + s.inputs)
    return 2 * s.rank * (s.inputs * s.area + s.outputs)


def _lokr(s: Shape) -> int:
    factor = int(s.arguments.get("factor", -1))
    (in_m, in_n), (out_l, out_k) = factorization(s.inputs, factor), factorization(s.outputs, factor)
    if s.arguments.get("unbalanced_factorization"):
        out_l, out_k = out_k, out_l
    full = bool(s.arguments.get("full_matrix"))
    split = bool(s.arguments.get("decompose_both")) and s.rank < max(out_l, in_m) / 2 and not full
    small = s.rank * (out_l + in_m) if split else out_l * in_m
    if full or s.rank >= max(out_k, in_n) / 2:
        return small + out_k * in_n * s.area
    if s.tucker:
        return small + s.rank * (s.rank * s.area + out_k + in_n)
    return small + s.rank * (out_k + in_n * s.area)


def _glora(s: Shape) -> int:
    return s.rank * (2 * s.inputs + s.inputs * s.area + s.outputs)


def _ia3(s: Shape) -> int:
    return s.inputs if s.arguments.get("train_on_input") else s.outputs


def _oft(s: Shape) -> int:
    size, number = factorization(s.outputs, s.rank)
    return number * size * size + _rescaled(s)


def _boft(s: Shape) -> int:
    size, number = butterfly(s.outputs, s.rank)
    passes = (number - 1).bit_count() + 1
    return passes * number * size * size + _rescaled(s)


def _rescaled(s: Shape) -> int:
    return s.outputs if s.arguments.get("rescaled") else 0


COUNTS: dict[str, Callable[[Shape], int]] = {
    "locon": _lora,
    "dylora": _lora,
    "loha": _loha,
    "lokr": _lokr,
    "glora": _glora,
    "ia3": _ia3,
    "diag-oft": _oft,
    "boft": _boft,
}


def factorization(dimension: int, factor: int = -1) -> tuple[int, int]:
    """Two factors of a number, the smaller first: `factor` itself where it divides it, else the pair nearest to each
    other whose smaller one is at most `factor` (-1: no limit). As LyCORIS' function of this name."""
    if factor > 0 and dimension % factor == 0:
        return min(factor, dimension // factor), max(factor, dimension // factor)
    limit = dimension if factor < 0 else factor
    small = max((m for m in range(1, int(dimension**0.5) + 1) if dimension % m == 0 and m <= limit), default=1)
    return small, dimension // small


def butterfly(dimension: int, factor: int) -> tuple[int, int]:
    """An even size of at most `factor` and a power of two whose product is `dimension`, the size as large as can be.
    ValueError where there is none. As LyCORIS' `power2factorization`."""
    fit = [m for m in range(2, dimension + 1, 2) if dimension % m == 0 and (dimension // m).bit_count() == 1]
    sizes = [m for m in fit if m <= factor]
    if not sizes:
        raise ValueError(f"{dimension} outputs need groups of {fit[0]}" if fit else f"{dimension} outputs are odd")
    return sizes[-1], dimension // sizes[-1]


def measure(preset: Preset, family: Family, header: Header) -> tuple[int, tuple[Problem, ...]]:
    """Trained values of a resolved preset's adapter on a model with this header, and why it cannot be built on it.
    ValueError or re.error for settings that are not understood."""
    network, rates = preset.network, part_rates(preset)
    started = ranks_of(network.start) if network.start and network.start_ranks else {}
    size, total, faults = sizes(network, family, started), 0, []
    for layer in family.layers(header):
        wide = any(side > 1 for side in layer.shape[2:])
        rank = size(layer.key, wide, layer.residual).rank if layer.part in rates else 0
        try:
            total += count(network.type, layer.shape, rank, network.dora, network.args)
        except ValueError as error:
            faults.append(f"{layer.key}: {error}")
    if faults:
        why = f"{network.type} cannot split {len(faults)} layers at this rank (first: {faults[0]})"
        return 0, (Problem("network.rank", why, "raise the rank, or choose another type"),)
    if rates and not total:
        why = "no layer is trained: every rank or rate is 0"
        return 0, (Problem("network.rank", why, "raise a rank or a rate of blocks or layers"),)
    return total, ()
