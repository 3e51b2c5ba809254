"""What all adapters have in common: a layer of values in front of each target, and the network of them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainer.contract.problems import Problem, Problems
from trainer.parts import Piece, Target
from trainer.plan.layers import LayerSize, Sizes

BY_OUTPUT = "wd_on_output"
"""The argument that makes DoRA learn sizes of a layer's outputs, as PEFT does."""

FIX = "use the settings that it was trained with"


@dataclass(frozen=True)
class Drops:
    """Shares left out at random in training: inner values, ranks, whole layers."""

    values: float = 0.0
    ranks: float = 0.0
    layers: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.values or self.ranks or self.layers)


@dataclass(frozen=True)
class Make:
    """How a network is made. `facts`: the `ss_network_*` pairs of its files."""

    size: Sizes
    seed: int = 0
    drops: Drops = Drops()
    dora: bool = False
    rank_stabilised: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def dora_by(self) -> int:
        """The side of a weight that DoRA learns sizes of: 1 its inputs, 0 its outputs."""
        return 0 if self.arguments.get(BY_OUTPUT) else 1

    def alpha(self, size: LayerSize) -> float:
        """The alpha that multiplies the update when it is divided by the rank, as every reader does."""
        return size.alpha * size.rank**0.5 if self.rank_stabilised else size.alpha


class AdapterLayer(nn.Module):
    """The trained values of one layer, float32. It is no child of the layer that it changes: the base model keeps its
    own modules and names. `chains`: lists of values whose products, added up, are the update."""

    def __init__(self, target: Target, rate: float, drops: Drops) -> None:
        super().__init__()
        self.layer: tuple[Any] = (target.module,)  # in a tuple, so that the base's weights are not taken for ours
        self.key, self.part, self.path, self.rate = target.key, target.part, target.path, rate
        self.drops, self.on = drops, True

    @property
    def weight(self) -> Tensor:
        """The weight of the layer that is changed."""
        value: Tensor = self.layer[0].weight
        return value

    def attach(self) -> None:
        """Put the adapted forward in front of the layer's own, on this one object."""
        self.layer[0].forward = self.adapted()

    def detach(self) -> None:
        """Give the layer its class's forward back."""
        self.layer[0].__dict__.pop("forward", None)

    def adapted(self) -> Any:
        """The adapted forward."""
        raise NotImplementedError

    def skipped(self) -> bool:
        """Whether the adapter has no part in this pass: switched off, or left out at random."""
        if not self.on:
            return True
        chance = self.drops.layers if self.training else 0.0
        return chance > 0 and bool(torch.rand(()) < chance)

    def update(self) -> Tensor:
        """What the adapter adds to the layer's weight, in its shape, float32."""
        raise NotImplementedError

    def squared_norm(self) -> Tensor:
        """Sum of the squares of `update`."""
        return self.update().detach().square().sum()

    def chains(self) -> list[list[nn.Parameter]]:
        """Values whose products, added up, are the update."""
        return []

    def free_squared_norm(self) -> Tensor:
        """Sum of the squares of the update that `chains` make."""
        return self.squared_norm()

    def outer(self) -> list[nn.Parameter]:
        """Values that start at zero beside others that do not."""
        return []

    def saved(self) -> dict[str, Tensor]:
        """End of a tensor's name in the file -> its value."""
        raise NotImplementedError

    def peft(self) -> dict[str, Tensor]:
        """PEFT's end of a tensor's name -> its value, alpha worked in."""
        raise ValueError("PEFT has no such adapter")

    def take(self, saved: Mapping[str, Tensor]) -> None:
        """Values as `saved` gives them, of the same shapes."""
        raise NotImplementedError

    def begin(self, saved: Mapping[str, Tensor]) -> None:
        """Values of another adapter's file, so that the update is that file's, whatever its alpha."""
        self.take(saved)

    @torch.no_grad()
    def shrink(self, limit: float, fine: Tensor) -> None:
        """Scale the update down to norm `limit` where it is larger, as sd-scripts' `apply_max_norm_regularization` does
        after each step, and only where `fine` is true. Nothing waits for the device."""
        norm = self.free_squared_norm().clamp_min(0.0).sqrt().clamp_min(limit / 2)
        ratio = torch.where(fine, norm.clamp_max(limit) / norm, torch.ones_like(norm))
        for chain in self.chains():
            for value in chain:
                value.mul_(ratio ** (1 / len(chain)))


class LayeredNetwork:
    """An adapter over a family's targets; see `parts.Network`."""

    def __init__(self, layers: Sequence[AdapterLayer], facts: Sequence[tuple[str, str]] = ()) -> None:
        self.layers: dict[str, Any] = {layer.key: layer for layer in sorted(layers, key=lambda layer: layer.key)}
        self._facts = tuple(facts)
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
        return [value for layer in self.layers.values() if layer.part == part for value in layer.parameters()]

    def pieces(self, part: str) -> Iterator[Piece]:
        """Trained values of one part with the factors on their rate."""
        for layer in self.layers.values():
            if layer.part == part:
                outer = {id(value) for value in layer.outer()}
                yield from (Piece(value, layer.rate, id(value) in outer) for value in layer.parameters())

    def enabled(self, on: bool) -> None:
        """Switch the adapter's effect without detaching it."""
        for layer in self.layers.values():
            layer.on = on

    def training(self, on: bool) -> None:
        """Training mode (dropout) on or off."""
        for layer in self.layers.values():
            layer.train(on)

    def shrink(self, limit: float, fine: Tensor) -> None:
        """Scale every layer's update down to norm `limit` where it is larger."""
        for layer in self.layers.values():
            layer.shrink(limit, fine)

    def tensors(self) -> dict[str, Tensor]:
        """What is saved: key -> float32 CPU tensor, in Kohya's names."""
        return {
            f"{key}.{name}": value.detach().float().cpu().clone()
            for key, layer in self.layers.items()
            for name, value in layer.saved().items()
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take values as saved by `tensors`; an alpha that is missing equals the rank. Problems where the tensors are
        of other layers or another rank."""
        self._fill(tensors, "network.rank", begin=False)

    def begin(self, tensors: Mapping[str, Tensor]) -> None:
        """Start from another adapter's values: its effect is taken over, whatever its alpha. Problems as above."""
        self._fill(tensors, "network.start", begin=True)

    def _fill(self, tensors: Mapping[str, Tensor], setting: str, begin: bool) -> None:
        wanted: dict[str, dict[str, Tensor]] = {}
        for key, layer in self.layers.items():
            for name, value in layer.saved().items():
                given = tensors.get(f"{key}.{name}")
                if given is None and name in (*OPTIONAL, *(BEGIN_WITHOUT if begin else ())):
                    continue
                if given is None or given.shape != value.shape:
                    shape = "missing" if given is None else f"{tuple(given.shape)}"
                    why = f"the adapter file does not fit: {key}.{name} is {shape}, here {tuple(value.shape)}"
                    raise Problems([Problem(setting, why, FIX)])
                wanted.setdefault(key, {})[name] = given.detach().to("cpu", torch.float32)
        known = {f"{key}.{name}" for key, layer in self.layers.items() for name in (*layer.saved(), *OPTIONAL)}
        extra = [name for name in tensors if name not in known]
        if extra:
            why = f"the adapter file has {len(extra)} tensors that are not trained here (first: {extra[0]})"
            raise Problems([Problem("network.type" if setting == "network.rank" else setting, why, FIX)])
        with torch.no_grad():
            for key, layer in self.layers.items():
                (layer.begin if begin else layer.take)(wanted[key])

    def norm(self) -> Tensor:
        """Frobenius norm of the updates of all layers together; rounding may not take it below 0."""
        squares = [layer.squared_norm() for layer in self.layers.values()]
        return torch.stack(squares).sum().clamp_min(0.0).sqrt() if squares else torch.zeros(())

    def changes(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Of each layer: its part, what the adapter adds to the layer's weight, and that weight."""
        for layer in self.layers.values():
            yield layer.part, layer.update(), layer.weight

    def peft_tensors(self) -> dict[str, Tensor]:
        """The adapter in PEFT's names, as diffusers saves one: alpha is worked into the second matrix. Only for a LoRA:
        ValueError for other kinds."""
        found = {}
        for layer in self.layers.values():
            for name, value in layer.peft().items():
                found[f"{PEFT_PARTS[layer.part]}.{layer.path}.{name}"] = value.detach().float().cpu().clone()
        return found

    def facts(self) -> Iterator[tuple[str, str]]:
        """`ss_network_*` metadata, as Kohya's networks write it."""
        yield from self._facts


PEFT_PARTS = {"unet": "unet", "te1": "text_encoder", "te2": "text_encoder_2"}
"""Part -> what diffusers' pipelines call it."""

OPTIONAL = ("alpha",)
BEGIN_WITHOUT = ("dora_scale",)
"""What a file may lack that is loaded, and what one may lack that is started from."""
