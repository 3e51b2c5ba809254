"""The network types of the LyCORIS library: its modules give shapes, names and initial values, `updates` what they add.

The library's own forward, dropout and network classes are not used: they keep settings in class attributes, multiply by
alpha twice in places (`get_diff_weight` of LoHa and LoKr) and draw DyLoRA's piece from Python's generator.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.contract import catalog
from trainer.parts import Target
from trainer.plan.layers import LayerSize

from .base import BY_OUTPUT, AdapterLayer, LayeredNetwork, Make
from .forward import plain
from .lora import ALPHA, DOWN, MAGNITUDE, UP, layers_of, number_of
from .updates import limit_of, norms, resized, update_of

OUTER = ("hada_w2_a", "lokr_w2", "lokr_w2_b", "a2.weight", "b2.weight")
"""Names of what starts at zero, besides DyLoRA's pieces."""


def module_class(algo: str) -> Any:
    """LyCORIS' class of an algorithm. Its notes on the console are left out."""
    logging.getLogger("LyCORIS").setLevel(logging.ERROR)
    from lycoris.modules.boft import ButterflyOFTModule
    from lycoris.modules.diag_oft import DiagOFTModule
    from lycoris.modules.dylora import DyLoraModule
    from lycoris.modules.glora import GLoRAModule
    from lycoris.modules.ia3 import IA3Module
    from lycoris.modules.loha import LohaModule
    from lycoris.modules.lokr import LokrModule

    classes = (LohaModule, LokrModule, DyLoraModule, GLoRAModule, IA3Module, DiagOFTModule, ButterflyOFTModule)
    names = ("loha", "lokr", "dylora", "glora", "ia3", "diag-oft", "boft")
    return dict(zip(names, classes, strict=True))[algo]


class LycorisLayer(AdapterLayer):
    """The values of one layer under the names of the library's module, and DoRA's magnitude where it is asked for."""

    def __init__(self, target: Target, size: LayerSize, make: Make, row: catalog.Network) -> None:
        super().__init__(target, size.rate, make.drops)
        self.row, self.rank, self.alpha = row, size.rank, make.alpha(size) if row.scaled else 0.0
        arguments = {name: value for name, value in make.arguments.items() if name != BY_OUTPUT}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number_of(make.seed, target.key))
            module = module_class(row.algo)(
                target.key, target.module, 1.0, lora_dim=size.rank, alpha=self.alpha or 1.0, **arguments
            )
        device = self.weight.device
        self.values = {name: nn.Parameter(value.detach().to(device)) for name, value in module.named_parameters()}
        for name, value in self.values.items():
            self.register_parameter("own_" + name.replace(".", "_"), value)
        self.limit = float(make.arguments.get("constraint", 0.0))
        self.by_input = bool(make.arguments.get("train_on_input", False))
        if make.dora:
            self.dora_by = make.dora_by
            self.magnitude = nn.Parameter(norms(self.weight.detach().float(), self.dora_by))

    @property
    def dora(self) -> bool:
        """Whether direction and size are learnt apart."""
        return hasattr(self, "magnitude")

    def shaped(self) -> dict[str, Tensor]:
        """The tensors that `updates` computes with."""
        extra: dict[str, Tensor] = {}
        device = self.weight.device
        if self.row.scaled:
            extra["alpha"] = torch.tensor(self.alpha, device=device)
        elif self.limit:
            extra["alpha"] = torch.tensor(self.limit, device=device)
        if self.row.algo == "ia3":
            extra["on_input"] = torch.tensor(int(self.by_input))
        return {**self.values, **extra}

    def free_update(self) -> Tensor:
        """What the values add to the weight, DoRA aside."""
        return update_of(self.shaped(), self.weight)

    def update(self) -> Tensor:
        """What the adapter adds to the layer's weight, in its shape, float32."""
        update = self.free_update()
        weight = self.weight.float()
        return resized(weight + update, self.magnitude) - weight if self.dora else update

    def adapted(self) -> Callable[[Tensor], Tensor]:
        """The layer with its weight changed; in half precision the small update goes its own way, or rounding would
        swallow it."""
        layer: Any = self.layer[0]
        apply: Any = partial(_convolve, layer) if isinstance(layer, nn.Conv2d) else F.linear

        def forward(x: Tensor) -> Tensor:
            if self.skipped():
                return plain(layer, x, layer.bias)
            with torch.autocast(x.device.type, enabled=False):  # or the update would be rounded like an activation
                update = self._thinned(self.update())
            dropout = self.drops.values if self.training else 0.0
            exact = layer.weight.dtype == torch.float32 and not torch.is_autocast_enabled(x.device.type)
            if exact and not dropout:
                answer: Tensor = apply(x, layer.weight + update, layer.bias)
                return answer
            base = plain(layer, x, layer.bias)
            added: Tensor = apply(x, update.to(base.dtype), None)
            return base.add_(F.dropout(added, dropout) if dropout else added)

        return forward

    def _thinned(self, update: Tensor) -> Tensor:
        """Outputs of the update left out in training, the others made up for it."""
        chance = self.drops.ranks if self.training else 0.0
        if not chance:
            return update
        kept = (torch.rand(update.shape[0], device=update.device) > chance).to(update.dtype) / (1 - chance)
        return update * kept.view(-1, *[1] * (update.dim() - 1))

    def free_squared_norm(self) -> Tensor:
        """Sum of the squares of the update, DoRA aside."""
        return self.free_update().detach().square().sum()

    def chains(self) -> list[list[nn.Parameter]]:
        """One product of all values; two for GLoRA."""
        values = self.values
        if self.row.algo == "glora":
            return [[values["a1.weight"], values["a2.weight"]], [values["b1.weight"], values["b2.weight"]]]
        return [list(values.values())] if self.row.normed else []

    def outer(self) -> list[nn.Parameter]:
        """What starts at zero: of LoKr's larger matrix the second half."""
        return [value for name, value in self.values.items() if name in OUTER]

    def saved(self) -> dict[str, Tensor]:
        """The library's names. Of a rotation the limit is worked in, since readers do not agree on what it means."""
        found: dict[str, Tensor] = dict(self.shaped())
        if "oft_blocks" in found:
            blocks = self.values["oft_blocks"].detach()
            skew = blocks - blocks.transpose(-1, -2)
            limit = torch.tensor(self.limit * self.weight.shape[0], device=blocks.device)
            found |= {"oft_blocks": blocks * limit_of(skew, limit), "alpha": torch.tensor(0.0)}
        return found | ({MAGNITUDE: self.magnitude} if self.dora else {})

    def take(self, saved: Mapping[str, Tensor]) -> None:
        """Values and alpha; one that is missing equals the rank."""
        for name, value in self.values.items():
            value.copy_(saved[name])
        if self.row.scaled:
            self.alpha = float(saved.get(ALPHA, torch.tensor(float(self.rank))))
        if self.dora:
            self.magnitude.copy_(saved[MAGNITUDE])

    def begin(self, saved: Mapping[str, Tensor]) -> None:
        """The file's update at this network's alpha. DoRA that starts without it takes the sizes that the update
        gives."""
        own = self.alpha
        self.take({MAGNITUDE: torch.ones(()), **saved} if self.dora else saved)
        for value in self.outer() if self.row.scaled and not self._whole else ():
            value.mul_(self.alpha / own)
        self.alpha = own
        if self.dora and MAGNITUDE not in saved:
            moved = self.weight.float() + self.free_update()
            self.magnitude.copy_(norms(moved, self.dora_by))

    @property
    def _whole(self) -> bool:
        """LoKr without anything split by rank: its alpha has no effect."""
        return {"lokr_w1", "lokr_w2"} <= set(self.values)


class DyLoRALayer(LycorisLayer):
    """Pieces of the ranks: a step trains one on those before it, which stay as they are. Its file is a LoRA's.

    The update of the first r ranks is alpha / r * up down, so that a file cut to r ranks has the strength that it was
    trained with."""

    @property
    def pieces_of_ranks(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Ups [O, piece] and downs [piece, I ...] in order."""
        count = len(self.values) // 2
        return tuple([self.values[f"{name}.{i}"] for i in range(count)] for name in ("up_list", "down_list"))  # type: ignore[return-value]

    def free_update(self) -> Tensor:
        """Of all pieces; in training with gradients, of those up to one drawn at random, which alone is trained."""
        ups, downs = self.pieces_of_ranks
        drawing = self.training and torch.is_grad_enabled()
        last = int(torch.randint(len(ups), ())) if drawing else len(ups) - 1
        up, down = (
            torch.cat([v.detach() if drawing and i < last else v for i, v in enumerate(values[: last + 1])], dim=side)
            for values, side in ((ups, 1), (downs, 0))
        )
        return ((up @ down) * (self.alpha / down.shape[0])).reshape(self.weight.shape)

    def chains(self) -> list[list[nn.Parameter]]:
        """Each piece is a product of two."""
        return [list(pair) for pair in zip(*self.pieces_of_ranks)]

    def outer(self) -> list[nn.Parameter]:
        """The up matrices."""
        return self.pieces_of_ranks[0]

    def saved(self) -> dict[str, Tensor]:
        """A LoRA's tensors."""
        ups, downs = self.pieces_of_ranks
        outputs, inputs, *kernel = self.weight.shape
        down, up = torch.cat([d.detach() for d in downs]), torch.cat([u.detach() for u in ups], dim=1)
        shaped = {DOWN: down.reshape(self.rank, inputs, *kernel), UP: up.reshape(outputs, -1, *[1] * len(kernel))}
        return {ALPHA: torch.tensor(self.alpha), **shaped}

    def take(self, saved: Mapping[str, Tensor]) -> None:
        """A LoRA's tensors, cut into pieces."""
        ups, downs = self.pieces_of_ranks
        size = downs[0].shape[0]
        for index, (up, down) in enumerate(zip(ups, downs)):
            own = slice(index * size, (index + 1) * size)
            up.copy_(saved[UP].flatten(1)[:, own])
            down.copy_(saved[DOWN].flatten(1)[own])
        self.alpha = float(saved.get(ALPHA, torch.tensor(float(self.rank))))


class LycorisNetwork(LayeredNetwork):
    """A network of one of the library's types."""


def _make(kind: str, targets: Sequence[Target], how: Make) -> LycorisNetwork:
    row = catalog.network(kind)
    layer: Any = DyLoRALayer if row.algo == "dylora" else LycorisLayer
    return LycorisNetwork(layers_of(targets, how, partial(layer, row=row)), how.facts)


def _convolve(layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    answer: Tensor = layer._conv_forward(x, weight, bias)
    return answer


loha, lokr, dylora, glora = (partial(_make, kind) for kind in ("LoHa", "LoKr", "DyLoRA", "GLoRA"))
ia3, oft, boft = (partial(_make, kind) for kind in ("IA3", "OFT", "BOFT"))
