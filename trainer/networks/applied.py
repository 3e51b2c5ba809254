"""Adapter files put in front of a loaded model's layers for drawing, and taken off again without a trace.

The model's own weights are never touched: what is computed with an adapter is what was computed in training, and what
is computed after it has gone is the base model to the last bit. Legend: R rank, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainer.contract.problems import Problem, Problems
from trainer.parts import Target

from .forward import convolution_forward, linear_forward
from .lora import ALPHA, DOWN, UP

OTHERS = {
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "oft_": "OFT",
    "dora_scale": "DoRA",
    "lora_mid": "LoCon with a middle matrix",
    "lora_A": "PEFT",
    "lora.down": "diffusers",
}
"""A piece of a tensor's name -> the kind of adapter that it tells of, none of which is drawn with."""


class Layer:
    """One layer's part of an adapter at a strength, as `forward.Adapter` wants it."""

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
    """An adapter file in memory: its values, and which of the model's layers they are for."""

    file: str
    tensors: Mapping[str, Tensor]
    targets: tuple[Target, ...]
    unused: int = 0

    @property
    def of_text(self) -> bool:
        """Whether it changes a text encoder, so that prompts must be encoded with it."""
        return any(target.part.startswith("te") for target in self.targets)

    def layer(self, target: Target, strength: float) -> Layer:
        """Its part of one layer; the strength multiplies the update and nothing else.

        The values are copied into memory of torch's own: where they lie in the file decides how they are aligned, and
        with that the last bits of a product, which would then not be those of the training."""
        weight: Any = target.module.weight
        down, up = (
            self.tensors[f"{target.key}.{name}"].to(weight.device, torch.float32, copy=True) for name in (DOWN, UP)
        )
        rank = down.shape[0]
        alpha = float(self.tensors.get(f"{target.key}.{ALPHA}", torch.tensor(float(rank))))
        return Layer(down, up, alpha / rank * strength)


def fit(file: str, tensors: Mapping[str, Tensor], targets: Sequence[Target]) -> Loaded:
    """The adapter's values laid against the model's layers. Problems where it is of another kind or another model."""
    name = Path(file).name
    kinds = sorted({kind for piece, kind in OTHERS.items() if any(piece in key for key in tensors)})
    if kinds:
        why = f"{name} is a {kinds[0]} adapter, which cannot be drawn with here"
        raise Problems([Problem("adapter", why, "choose a LoRA in Kohya's layout")])
    found, faults = [], []
    for target in targets:
        down, up = tensors.get(f"{target.key}.{DOWN}"), tensors.get(f"{target.key}.{UP}")
        if down is None or up is None:
            continue
        weight: Any = target.module.weight
        if down.shape[1:] != weight.shape[1:] or up.shape[0] != weight.shape[0] or up.shape[1] != down.shape[0]:
            faults.append(f"{target.key} is {tuple(down.shape)}, {tuple(up.shape)} for {tuple(weight.shape)}")
        found.append(target)
    if not found or faults:
        why = f"{name} was trained on another kind of model" + (f" ({faults[0]})" if faults else "")
        raise Problems([Problem("adapter", why, "choose the base model that it was trained on")])
    meant = {key.partition(".")[0] for key in tensors}
    return Loaded(file, tensors, tuple(found), len(meant - {target.key for target in found}))


class Applied:
    """Adapters at their strengths in front of the layers, while it is entered."""

    def __init__(self, adapters: Sequence[tuple[Loaded, float]]) -> None:
        self._adapters = [(adapter, strength) for adapter, strength in adapters if strength]
        self._layers: list[Any] = []

    def __enter__(self) -> Applied:
        """Put them there. A strength of 0 leaves the layers as they are."""
        found: dict[str, tuple[Target, list[Layer]]] = {}
        for adapter, strength in self._adapters:
            for target in adapter.targets:
                found.setdefault(target.key, (target, []))[1].append(adapter.layer(target, strength))
        for target, layers in found.values():
            layer: Any = target.module
            make: Any = convolution_forward if isinstance(layer, nn.Conv2d) else linear_forward
            layer.forward = make(layer, together(layers))
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
