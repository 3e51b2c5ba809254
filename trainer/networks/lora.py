"""LoRA: layer(x) + alpha / rank * up(down(x)), trained in place of the layer (arXiv 2106.09685).

Values, names and initial state are those of Kohya's networks.lora, so that files go both ways.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainer.contract.problems import Problem, Problems
from trainer.parts import Target

from .forward import convolution_forward, linear_forward

DOWN, UP, ALPHA = "lora_down.weight", "lora_up.weight", "alpha"


class LoRALayer(nn.Module):
    """The trained values of one layer, float32: down [rank, in, (k, k)] and up [out, rank, (1, 1)].

    It is no child of the layer that it changes: the base model keeps its own modules and names."""

    def __init__(self, target: Target, rank: int, alpha: float, dropout: float, seed: int) -> None:
        super().__init__()
        layer: Any = target.module
        self.layer = (layer,)  # in a tuple, so that the base's weights are not taken for ours
        self.part, self.rank, self.alpha, self.dropout = target.part, rank, alpha, dropout
        self.scale = alpha / rank
        self.on = True
        outputs, inputs, *kernel = layer.weight.shape
        down = initial_down((rank, inputs, *kernel), seed, target.key)
        self.down = nn.Parameter(down.to(layer.weight.device))
        self.up = nn.Parameter(torch.zeros((outputs, rank, *[1] * len(kernel)), device=layer.weight.device))

    def attach(self) -> None:
        """Put the adapted forward in front of the layer's own, on this one object."""
        layer: Any = self.layer[0]
        make = convolution_forward if isinstance(layer, nn.Conv2d) else linear_forward
        layer.forward = make(layer, self)

    def detach(self) -> None:
        """Give the layer its class's forward back."""
        self.layer[0].__dict__.pop("forward", None)

    def update(self) -> Tensor:
        """What the adapter adds to the layer's weight, in its shape, float32."""
        product = self.up.flatten(1) @ self.down.flatten(1)
        return (product * self.scale).reshape(self.layer[0].weight.shape)

    def squared_norm(self) -> Tensor:
        """Sum of the squares of `update` without making it: the trace of (up' up)(down down'), two rank x rank ones."""
        up, down = self.up.detach().flatten(1), self.down.detach().flatten(1)
        return ((up.T @ up) * (down @ down.T)).sum() * self.scale**2


def initial_down(shape: Sequence[int], seed: int, key: str) -> Tensor:
    """Kaiming-uniform values with a = sqrt(5), as Kohya's; a function of (seed, key) alone, drawn on the CPU."""
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
    values = torch.empty(tuple(shape))
    nn.init.kaiming_uniform_(values, a=math.sqrt(5), generator=generator)
    return values


class LoRA:
    """A LoRA over a family's targets; see `parts.Network`.

    Linear layers and 1x1 convolutions get `rank`, larger convolutions `conv_rank`, as in Kohya's networks.lora."""

    def __init__(
        self,
        targets: Sequence[Target],
        rank: int,
        alpha: float,
        conv_rank: int = 0,
        conv_alpha: float = 0.0,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._ranks = (rank, alpha, conv_rank, conv_alpha)
        self._dropout = dropout
        layers = {}
        for target in targets:
            wide = isinstance(target.module, nn.Conv2d) and target.module.kernel_size != (1, 1)
            sizes = (conv_rank, conv_alpha) if wide else (rank, alpha)
            if sizes[0] > 0:
                layers[target.key] = LoRALayer(target, sizes[0], sizes[1], dropout, seed)
        self.layers: dict[str, LoRALayer] = dict(sorted(layers.items()))
        self.training(False)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Target key -> its adapter layer, in the order of the file."""
        return self.layers

    def attach(self) -> None:
        """Make the base model's layers apply the adapter."""
        for layer in self.layers.values():
            layer.attach()

    def detach(self) -> None:
        """Give the base model its own layers back."""
        for layer in self.layers.values():
            layer.detach()

    def parameters(self, part: str) -> list[nn.Parameter]:
        """Trained values of one part ("unet", "te1"), float32."""
        return [value for layer in self.layers.values() if layer.part == part for value in (layer.down, layer.up)]

    def enabled(self, on: bool) -> None:
        """Switch the adapter's effect without detaching it."""
        for layer in self.layers.values():
            layer.on = on

    def training(self, on: bool) -> None:
        """Training mode (dropout) on or off."""
        for layer in self.layers.values():
            layer.train(on)

    def tensors(self) -> dict[str, Tensor]:
        """What is saved: key -> float32 CPU tensor, in Kohya's names."""
        saved = {}
        for key, layer in self.layers.items():
            saved[f"{key}.{ALPHA}"] = torch.tensor(float(layer.alpha))
            saved[f"{key}.{DOWN}"] = layer.down.detach().float().cpu().clone()
            saved[f"{key}.{UP}"] = layer.up.detach().float().cpu().clone()
        return saved

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take values as saved by `tensors`; an alpha that is missing equals the rank. Problems where the tensors are
        of other layers or another rank."""
        for key, layer in self.layers.items():
            for name, value in ((DOWN, layer.down), (UP, layer.up)):
                given = tensors.get(f"{key}.{name}")
                if given is None or given.shape != value.shape:
                    shape = "missing" if given is None else f"{tuple(given.shape)}"
                    why = f"the adapter file does not fit: {key}.{name} is {shape}, here {tuple(value.shape)}"
                    raise Problems([Problem("network.rank", why, "use the settings that it was trained with")])
        known = {f"{key}.{name}" for key in self.layers for name in (DOWN, UP, ALPHA)}
        extra = [name for name in tensors if name not in known]
        if extra:
            why = f"the adapter file has {len(extra)} tensors that are not trained here (first: {extra[0]})"
            raise Problems([Problem("network.type", why, "use the settings that it was trained with")])
        with torch.no_grad():
            for key, layer in self.layers.items():
                layer.down.copy_(tensors[f"{key}.{DOWN}"])
                layer.up.copy_(tensors[f"{key}.{UP}"])
                layer.alpha = float(tensors.get(f"{key}.{ALPHA}", torch.tensor(float(layer.rank))))
                layer.scale = layer.alpha / layer.rank

    def norm(self) -> Tensor:
        """Frobenius norm of the updates of all layers together; rounding may not take it below 0."""
        squares = [layer.squared_norm() for layer in self.layers.values()]
        return torch.stack(squares).sum().clamp_min(0.0).sqrt() if squares else torch.zeros(())

    def changes(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Of each layer: its part, what the adapter adds to the layer's weight, and that weight."""
        for layer in self.layers.values():
            base: Any = layer.layer[0]
            yield layer.part, layer.update(), base.weight

    def facts(self) -> Iterator[tuple[str, str]]:
        """`ss_network_*` metadata, as Kohya's networks.lora writes it."""
        rank, alpha, conv_rank, conv_alpha = self._ranks
        yield "ss_network_module", "networks.lora"
        yield "ss_network_dim", str(rank)
        yield "ss_network_alpha", str(float(alpha))
        yield "ss_network_dropout", str(self._dropout or None)
        if conv_rank:
            yield "ss_network_args", json.dumps({"conv_dim": str(conv_rank), "conv_alpha": str(float(conv_alpha))})


@torch.no_grad()
def merge_into(targets: Sequence[Target], tensors: Mapping[str, Tensor], strength: float = 1.0) -> None:
    """Add an adapter's update to the weights of the layers themselves: what a generator that merges does. Computed in
    float32; the layer's own format keeps the sum."""
    for target in targets:
        down, up = tensors.get(f"{target.key}.{DOWN}"), tensors.get(f"{target.key}.{UP}")
        if down is None or up is None:
            continue
        rank = down.shape[0]
        scale = float(tensors.get(f"{target.key}.{ALPHA}", torch.tensor(float(rank)))) / rank * strength
        weight: Any = target.module.weight
        update = (up.float().flatten(1) @ down.float().flatten(1)).reshape(weight.shape) * scale
        weight.copy_(weight.float() + update.to(weight.device))
