"""Rank, alpha and rate of every layer of an adapter: the plan counts with them and the trainer builds by them.

First a rule that fits the layer's key, then the lists of blocks as sd-scripts reads them (`networks/lora.py`:
`get_block_dims_and_alphas`, `get_block_lr_weight`, `remove_block_dims_and_alphas`), then the network's own rank.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from trainer.contract.blocks import STRETCHES, parse_rates
from trainer.contract.families import Family
from trainer.contract.settings import LayerRule, Network, Preset

__all__ = ["BlockValue", "LayerSize", "Sizes", "block_values", "parse_rates", "part_rates", "sizes", "trained_parts"]

NOTHING: Mapping[str, tuple[int, float]] = {}


@dataclass(frozen=True)
class LayerSize:
    """`rank` 0: the layer is left out. `rate`: factor on its part's learning rate."""

    rank: int
    alpha: float
    rate: float


LEFT_OUT = LayerSize(0, 0.0, 0.0)


class Sizes(Protocol):
    """Layer -> its size."""

    def __call__(self, key: str, wide: bool, residual: bool = False) -> LayerSize:
        """`key`: in the adapter file; `wide`: a convolution larger than 1x1; `residual`: of a residual block."""
        ...


@dataclass(frozen=True)
class BlockValue:
    """What one block of the U-Net gets; ranks of 0 are left out."""

    name: str
    rank: int
    alpha: float
    conv_rank: int
    conv_alpha: float
    rate: float


def sizes(network: Network, family: Family, started: Mapping[str, tuple[int, float]] = NOTHING) -> Sizes:
    """The sizes of a resolved network's layers. `started`: key -> (rank, alpha) of an adapter whose ranks are taken
    over: what it lacks is then left out."""
    rates = block_rates(network, family)
    rules = [(re.compile(rule.match), rule) for rule in network.layers]

    def size(key: str, wide: bool, residual: bool = False) -> LayerSize:
        block = family.block_of(key)
        rule = next((rule for pattern, rule in rules if pattern.search(key)), None)
        rank, alpha = _of_block(network, block, wide, residual)
        if rule is not None:
            rank, alpha = _ruled(rule, rank, alpha)
        if started:
            rank, alpha = started.get(key, (0, 0.0))
        rate = rates[block] if block >= 0 else 1.0
        rate = rule.rate if rule is not None and rule.rate is not None else rate
        return LayerSize(rank, alpha or float(rank), rate) if rank and rate else LEFT_OUT

    return size


def _of_block(network: Network, block: int, wide: bool, residual: bool) -> tuple[int, float]:
    """Rank and alpha of a layer that no rule names; alpha 0 stands for the rank."""
    if (wide or residual) and not trains_residual(network):
        return 0, 0.0
    if wide:
        ranks, alphas = network.block_conv_ranks, network.block_conv_alphas
        rank, alpha = network.conv_rank, network.conv_alpha
    else:
        ranks, alphas = network.block_ranks, network.block_alphas if network.block_ranks else []
        rank, alpha = network.rank, network.alpha
    if block >= 0:
        rank = ranks[block] if block < len(ranks) else rank
        alpha = alphas[block] if block < len(alphas) else alpha
    return rank, float(alpha)  # type: ignore[arg-type]


def _ruled(rule: LayerRule, rank: int, alpha: float) -> tuple[int, float]:
    if rule.alpha is not None:
        alpha = rule.alpha
    elif rule.rank is not None:
        alpha = float(rule.rank)
    return (rule.rank if rule.rank is not None else rank), alpha


def trains_residual(network: Network) -> bool:
    """Whether the residual blocks are trained beside what rules name in them."""
    return network.conv_rank > 0 or bool(network.block_conv_ranks)


def reaches_residual(network: Network) -> bool:
    """Whether any layer of the residual blocks may be trained."""
    taken_over = bool(network.start and network.start_ranks)
    return trains_residual(network) or taken_over or any(rule.rank for rule in network.layers)


def block_rates(network: Network, family: Family) -> list[float]:
    """Factor on the learning rate of each block; what is at or below the threshold is 0. ValueError for texts that are
    not understood."""
    rates = [1.0] * len(family.blocks)
    texts = (network.down_rates, network.mid_rates, network.up_rates)
    for text, stretch in zip(texts, STRETCHES.get(len(rates), ())):
        if text.strip():
            for block, rate in zip(stretch, parse_rates(text, len(stretch))):
                rates[block] = rate if rate > network.rates_zero else 0.0
    return rates


def block_values(network: Network, family: Family) -> list[BlockValue]:
    """What each block gets by the lists, rules of layers left aside. ValueError for texts and lists that do not fit."""
    rates = block_rates(network, family)
    lists: Sequence[Sequence[float]] = (network.block_ranks, network.block_conv_ranks)
    if any(values and len(values) != len(rates) for values in lists):
        raise ValueError(f"the model has {len(rates)} blocks")
    found = []
    for block, (name, rate) in enumerate(zip(family.blocks, rates)):
        rank, alpha = _of_block(network, block, wide=False, residual=False)
        conv_rank, conv_alpha = _of_block(network, block, wide=True, residual=True)
        if not rate:
            rank = conv_rank = 0
        found.append(
            BlockValue(name, rank, alpha or float(rank), conv_rank, conv_alpha or float(conv_rank), float(rate))
        )
    return found


def part_rates(preset: Preset) -> dict[str, float]:
    """The peak learning rate of each part that is trained: one with rate 0 is not."""
    network, chosen = preset.network, preset.optimizer
    rates = {
        "unet": chosen.unet_learning_rate if network.unet else 0.0,
        "te1": chosen.text_encoder_learning_rate if network.text_encoder else 0.0,
        "te2": chosen.text_encoder_2_learning_rate if network.text_encoder else 0.0,
    }
    return {part: float(rate) for part, rate in rates.items() if rate}  # type: ignore[arg-type]


def trained_parts(preset: Preset, parts: Sequence[str]) -> list[str]:
    """Those of a model's `parts` that get an adapter, the encoders first where they stand first."""
    rates = part_rates(preset)
    return [part for part in parts if part in rates]
