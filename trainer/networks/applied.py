"""Adapter files put in front of a loaded model's layers for drawing and taken off again without a trace, or merged.

In front, the model's own weights are never touched: what is computed after an adapter has gone is the base model to the
last bit. A LoRA is computed beside the layer, as in training; other kinds as a changed copy of the layer's weight,
which needs memory for as many weights as they change. Legend: R rank, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.contract.problems import Problem, Problems
from trainer.parts import Target

from .forward import convolution_forward, linear_forward
from .lora import ALPHA, DOWN, UP
from .updates import by_layer, kind_of, update_of

FOREIGN = {"lora_A": "PEFT's", "lora_B": "PEFT's", "lora.down": "diffusers'", "lora_linear_layer": "diffusers'"}
"""A piece of a tensor's name -> whose key names it is from."""


class Layer:
    """One layer's part of a LoRA at a strength, as `forward.Adapter` wants it."""

    dropout, on, training = 0.0, True, False

    def __init__(self, down: Tensor, up: Tensor, scale: float) -> None:
        self.down = nn.Parameter(down, requires_grad=False)
        self.up = nn.Parameter(up, requires_grad=False)
        self.scale = scale

    @property
    def rank(self) -> int:
        """R."""
        return self.down.shape[0]


@dataclass(frozen=True)
class Loaded:
    """An adapter file in memory: its tensors by layer, and which of the model's layers they are for."""

    file: str
    layers: Mapping[str, Mapping[str, Tensor]]
    targets: tuple[Target, ...]
    unused: int = 0

    @property
    def of_text(self) -> bool:
        """Whether it changes a text encoder, so that prompts must be encoded with it."""
        return any(target.part.startswith("te") for target in self.targets)

    def is_plain(self, key: str) -> bool:
        """Whether a layer's part is a LoRA of two matrices."""
        return set(self.layers[key]) <= {ALPHA, DOWN, UP}

    def layer(self, target: Target, strength: float) -> Layer:
        """Its part of one layer; the strength multiplies the update and nothing else.

        The values are copied into memory of torch's own: where they lie in the file decides how they are aligned, and
        with that the last bits of a product, which would then not be those of the training."""
        weight: Any = target.module.weight
        values = self.layers[target.key]
        down, up = (values[name].to(weight.device, torch.float32, copy=True) for name in (DOWN, UP))
        rank = down.shape[0]
        alpha = float(values.get(ALPHA, torch.tensor(float(rank))))
        up = up.reshape(up.shape[0], rank, *[1] * (weight.dim() - 2))
        return Layer(down.reshape(rank, *weight.shape[1:]), up, alpha / rank * strength)

    @torch.no_grad()
    def update(self, target: Target) -> Tensor:
        """What it adds to a layer's weight at strength 1, float32."""
        weight: Any = target.module.weight
        return update_of({name: value.to(weight.device) for name, value in self.layers[target.key].items()}, weight)


def fit(file: str, tensors: Mapping[str, Tensor], targets: Sequence[Target], setting: str = "adapter") -> Loaded:
    """The adapter's values laid against the model's layers. Problems where it is of another kind or another model."""
    name = Path(file).name
    whose = sorted({names for piece, names in FOREIGN.items() if any(piece in key for key in tensors)})
    if whose:
        why = f"{name} has {whose[0]} key names"
        raise Problems([Problem(setting, why, "choose the file in Kohya's layout, or convert it")])
    layers = by_layer(tensors)
    found, faults = [], []
    for target in targets:
        if target.key in layers:
            found.append(target)
            faults += _fault(layers[target.key], target)
    if not found or faults:
        why = f"{name} was trained on another kind of model" + (f" ({faults[0]})" if faults else "")
        raise Problems([Problem(setting, why, "choose the base model that it was trained on")])
    return Loaded(file, layers, tuple(found), len(layers) - len(found))


def _fault(values: Mapping[str, Tensor], target: Target) -> list[str]:
    """Why a layer's tensors do not fit it: tried with shapes alone."""
    weight: Any = target.module.weight
    try:
        kind_of(values)
        shapes_only = {name: value.to("meta") if value.dim() else value for name, value in values.items()}
        update_of(shapes_only, weight.to("meta"))
    except ValueError as error:
        return [f"{target.key}: {error}"]
    except (RuntimeError, KeyError):
        shapes = ", ".join(str(tuple(value.shape)) for value in values.values() if value.dim())
        return [f"{target.key} is {shapes} for {tuple(weight.shape)}"]
    return []


class Applied:
    """Adapters at their strengths in front of the layers, while it is entered."""

    def __init__(self, adapters: Sequence[tuple[Loaded, float]]) -> None:
        self._adapters = [(adapter, strength) for adapter, strength in adapters if strength]
        self._layers: list[Any] = []

    def __enter__(self) -> Applied:
        """Put them there. A strength of 0 leaves the layers as they are."""
        found: dict[str, tuple[Target, list[tuple[Loaded, float]]]] = {}
        for adapter, strength in self._adapters:
            for target in adapter.targets:
                found.setdefault(target.key, (target, []))[1].append((adapter, strength))
        for target, used in found.values():
            layer: Any = target.module
            if all(adapter.is_plain(target.key) for adapter, _ in used):
                make: Any = convolution_forward if isinstance(layer, nn.Conv2d) else linear_forward
                layer.forward = make(layer, together([adapter.layer(target, strength) for adapter, strength in used]))
            else:
                layer.forward = changed_forward(layer, changed(target, used))
            self._layers.append(layer)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the layers their class's forward back."""
        for layer in self._layers:
            layer.__dict__.pop("forward", None)
        self._layers.clear()


def together(layers: Sequence[Layer]) -> Layer:
    """Several adapters of one layer as one of their summed rank: the sum of the updates is one product."""
    if len(layers) == 1:
        return layers[0]
    down = torch.cat([layer.down for layer in layers])
    up = torch.cat([layer.up * layer.scale for layer in layers], dim=1)
    return Layer(down, up, 1.0)


@torch.no_grad()
def changed(target: Target, used: Sequence[tuple[Loaded, float]]) -> Tensor:
    """A layer's weight with adapters added to it, in the layer's own format."""
    weight: Any = target.module.weight
    added = sum((adapter.update(target) * strength for adapter, strength in used), weight.float())
    result: Tensor = added.to(weight.dtype)
    return result


def changed_forward(layer: Any, weight: Tensor) -> Callable[[Tensor], Tensor]:
    """The layer with another weight."""
    if isinstance(layer, nn.Conv2d):
        return lambda x: layer._conv_forward(x, weight, layer.bias)
    return lambda x: F.linear(x, weight, layer.bias)


@torch.no_grad()
def merge(adapters: Sequence[tuple[Loaded, float]]) -> None:
    """Add adapters to the weights of the layers themselves, one after the other: what a generator that merges does.
    Computed in float32; the layer's own format keeps the sum."""
    for adapter, strength in adapters:
        for target in adapter.targets if strength else ():
            weight: Any = target.module.weight
            weight.copy_(changed(target, [(adapter, strength)]))


def merge_into(targets: Sequence[Target], tensors: Mapping[str, Tensor], strength: float = 1.0) -> None:
    """Add an adapter's update to the weights of these layers."""
    merge([(fit("the adapter", tensors, targets), strength)])
