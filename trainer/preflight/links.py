"""Whether the adapter hangs together: what it consists of, what the optimizer holds, where gradients arrive."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trainer.parts import Network
from trainer.plan.draws import Draw
from trainer.plan.layers import trained_parts

from .stand import Fresh, Stand

SCALE = 1024.0
"""Of the loss before the backward pass under fp16, whose small gradients would vanish; divided out again."""


@dataclass(frozen=True)
class PartLink:
    """One part of the model ("unet", "te1"). Adapter layers in all; with values that are frozen; with values that the
    optimizer does not hold; that get no gradient at all. `gradient`: norm over the part."""

    part: str
    layers: int = 0
    frozen: int = 0
    unheld: int = 0
    silent: int = 0
    gradient: float = 0.0


@dataclass(frozen=True)
class Links:
    """All parts that the preset wants trained. `connected`: the loss depends on something that can be trained."""

    connected: bool
    parts: tuple[PartLink, ...]

    @property
    def trainable(self) -> bool:
        """Whether a training step can be done at all."""
        return self.connected and any(part.gradient > 0 for part in self.parts)


def inspect(stand: Stand, fresh: Fresh, looks: Sequence[Draw]) -> Links:
    """Send one loss backward through a new adapter and see where gradients arrive. The adapter's outer matrix is zero
    at first, so that the inner one gets none yet: a layer counts as reached if any of its values is."""
    fresh.optimizer.zero_grad(set_to_none=True)
    scale = SCALE if stand.bench.preset.precision.compute == "fp16" else 1.0
    connected = True
    for batch in stand.batches(looks):
        loss = (fresh.update.losses(batch) * batch.weights_B).sum() * scale
        if loss.requires_grad:
            loss.backward()
        else:
            connected = False
    held = {id(value) for group in fresh.optimizer.param_groups for value in group["params"]}
    parts = tuple(_part(fresh.network, part, held, scale) for part in wanted_parts(stand))
    fresh.optimizer.zero_grad(set_to_none=True)
    for layer in fresh.network.modules.values():
        layer.zero_grad(set_to_none=True)
    return Links(connected, parts)


def wanted_parts(stand: Stand) -> list[str]:
    """Parts that the preset says are trained."""
    return trained_parts(stand.bench.preset, tuple(stand.bench.family.parts))


def _part(network: Network, part: str, held: set[int], scale: float) -> PartLink:
    own = {id(value) for value in network.parameters(part)}
    layers = [layer for layer in network.modules.values() if any(id(value) in own for value in layer.parameters())]
    norms = [_gradient(layer) / scale for layer in layers]
    values = [list(layer.parameters()) for layer in layers]
    return PartLink(
        part=part,
        layers=len(layers),
        frozen=sum(any(not value.requires_grad for value in row) for row in values),
        unheld=sum(any(id(value) not in held for value in row) for row in values),
        silent=sum(norm == 0 for norm in norms),
        gradient=sum(norm * norm for norm in norms) ** 0.5,
    )


def _gradient(layer: torch.nn.Module) -> float:
    """Norm of all gradients of a layer; 0 where none arrived."""
    found = [value.grad.float().norm() for value in layer.parameters() if value.grad is not None]
    return float(torch.stack(found).norm()) if found else 0.0


@torch.no_grad()
def movement(network: Network, parts: Sequence[str]) -> dict[str, float]:
    """Part -> norm of what the adapter adds to a layer's weight, relative to the norm of that weight: the median over
    the part's layers.

    Relative to the weight, not to the adapter's own values: those start at zero, and rank, alpha and the layers' widths
    all change what a rate means, while this says how far the model itself is moved. The ratio of update to weight is
    the usual yardstick of a rate: about 1e-3 a step is the rule of thumb for training from scratch (CS231n, "Neural
    Networks Part 3: ratio of weights:updates"), and LARS scales each layer's rate by it (arXiv 1708.03888)."""
    ratios: dict[str, list[float]] = {part: [] for part in parts}
    for part, update, weight in network.changes():
        if part in ratios:
            ratios[part].append(float(update.norm() / weight.float().norm().clamp(min=1e-12)))
    return {part: statistics.median(values) for part, values in ratios.items() if values}
