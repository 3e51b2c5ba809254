"""LoRA: layer(x) + alpha / rank * up(down(x)), trained in place of the layer (arXiv 2106.09685); DoRA on top of it.

Values, names and initial state are those of Kohya's networks.lora, so that files go both ways; those of DoRA are
LyCORIS'.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainer.parts import Target
from trainer.plan.layers import LayerSize

from .base import BY_OUTPUT, AdapterLayer, Drops, LayeredNetwork, Make
from .forward import convolution_forward, linear_forward, rich_forward

DOWN, UP, ALPHA, MAGNITUDE = "lora_down.weight", "lora_up.weight", "alpha", "dora_scale"


class LoRALayer(AdapterLayer):
    """down [rank, in, (k, k)], up [out, rank, (1, 1)] and, for DoRA, the magnitude [1, in, (1, 1)]: the norm of what
    each input goes through, as in the paper; [out, 1, (1, 1)] by output."""

    def __init__(self, target: Target, size: LayerSize, make: Make) -> None:
        super().__init__(target, size.rate, make.drops)
        self.rank, self.alpha = size.rank, make.alpha(size)
        self.scale = self.alpha / self.rank
        self.dropout, self.rank_dropout = make.drops.values, make.drops.ranks
        outputs, inputs, *kernel = self.weight.shape
        ones, device = [1] * len(kernel), self.weight.device
        self.down = nn.Parameter(initial_down((self.rank, inputs, *kernel), make.seed, target.key).to(device))
        self.up = nn.Parameter(torch.zeros((outputs, self.rank, *ones), device=device))
        if make.dora:
            self.dora_by = make.dora_by
            squares = self._per_side(self.weight.detach().float().square())
            self.register_buffer("own_squares", squares, persistent=False)
            shape = (1, inputs) if self.dora_by else (outputs, 1)
            self.magnitude = nn.Parameter(squares.sqrt().view(*shape, *ones))

    @property
    def dora(self) -> bool:
        """Whether direction and size are learnt apart."""
        return hasattr(self, "magnitude")

    def adapted(self) -> Any:
        """The lightest forward that does what is asked for."""
        layer = self.layer[0]
        if self.dora or self.drops.ranks or self.drops.layers:
            return rich_forward(layer, self)
        return convolution_forward(layer, self) if isinstance(layer, nn.Conv2d) else linear_forward(layer, self)

    def low_rank(self) -> Tensor:
        """scale * up down, in the weight's shape, float32."""
        product = self.up.flatten(1) @ self.down.flatten(1)
        return (product * self.scale).reshape(self.weight.shape)

    def update(self) -> Tensor:
        """What the adapter adds to the layer's weight, in its shape, float32."""
        if not self.dora:
            return self.low_rank()
        weight = self.weight.float()
        gain: Any = self.gain()
        updated: Tensor = gain.view(self.magnitude.shape) * (weight + self.low_rank()) - weight
        return updated

    def gain(self) -> Tensor | None:
        """DoRA's magnitude by the norm of each input's column of W + scale up down [I], or each output's row [O]; the
        norm counts as a constant for the gradient (arXiv 2402.09353, 4.3). None without DoRA."""
        return self.magnitude.flatten() / self.side_norms() if self.dora else None

    @property
    def gains_inputs(self) -> bool:
        """Whether the gain is of the inputs."""
        return self.dora and self.dora_by == 1

    @torch.no_grad()
    def side_norms(self) -> Tensor:
        """Norms of W + scale up down for each input [I] or output [O], without making that matrix: |w|^2 + 2 s <w, u d>
        + s^2 |u d|^2."""
        up, down, weight = self.up.flatten(1), self.down.flatten(1), self.weight.flatten(1)
        if self.dora_by:
            cross = (up.to(weight.dtype).T @ weight).float() * down
            own = ((up.T @ up) @ down) * down
        else:
            cross = (weight @ down.to(weight.dtype).T).float() * up
            own = (up @ (down @ down.T)) * up
        added = 2 * self.scale * cross + self.scale**2 * own
        summed = self._per_side(added.view(-1, *self.weight.shape[1:])) if self.dora_by else added.sum(1)
        squares: Tensor = self.own_squares + summed  # type: ignore[operator]
        return squares.clamp_min(torch.finfo(torch.float32).tiny).sqrt()

    def _per_side(self, values: Tensor) -> Tensor:
        """Sums of values in the weight's shape for each input or output."""
        return values.sum([side for side in range(values.dim()) if side != self.dora_by])

    def squared_norm(self) -> Tensor:
        """Sum of the squares of `update`; without DoRA it is not made for that."""
        return super().squared_norm() if self.dora else self.free_squared_norm()

    def free_squared_norm(self) -> Tensor:
        """Of scale up down: the trace of (up' up)(down down'), two rank x rank matrices."""
        up, down = self.up.detach().flatten(1), self.down.detach().flatten(1)
        return ((up.T @ up) * (down @ down.T)).sum() * self.scale**2

    def chains(self) -> list[list[nn.Parameter]]:
        """One product of two."""
        return [[self.up, self.down]]

    def outer(self) -> list[nn.Parameter]:
        """The up matrix."""
        return [self.up]

    def saved(self) -> dict[str, Tensor]:
        """Alpha and matrices, in the order of Kohya's files."""
        own = {ALPHA: torch.tensor(float(self.alpha)), DOWN: self.down, UP: self.up}
        return own | ({MAGNITUDE: self.magnitude} if self.dora else {})

    def peft(self) -> dict[str, Tensor]:
        """A is down, B is scale * up; of a convolution's outputs the sizes lie in the second dimension."""
        own: dict[str, Tensor] = {"lora_A.weight": self.down, "lora_B.weight": self.up * self.scale}
        if not self.dora:
            return own
        if self.dora_by:
            raise ValueError("PEFT has DoRA by output only")
        sizes = self.magnitude.transpose(0, 1) if self.magnitude.dim() > 2 else self.magnitude.flatten()
        return {**own, "lora_magnitude_vector.weight": sizes}

    def take(self, saved: Mapping[str, Tensor]) -> None:
        """Matrices and alpha; one that is missing equals the rank."""
        self.down.copy_(saved[DOWN])
        self.up.copy_(saved[UP])
        self.alpha = float(saved.get(ALPHA, torch.tensor(float(self.rank))))
        self.scale = self.alpha / self.rank
        if self.dora:
            self.magnitude.copy_(saved[MAGNITUDE])

    def begin(self, saved: Mapping[str, Tensor]) -> None:
        """The file's update at this network's alpha. DoRA that starts from a plain LoRA takes the sizes that it
        gives."""
        scale = float(saved.get(ALPHA, torch.tensor(float(self.rank)))) / self.rank
        self.down.copy_(saved[DOWN])
        self.up.copy_(saved[UP] * (scale / self.scale))
        if self.dora:
            own = self.side_norms().view(self.magnitude.shape)
            self.magnitude.copy_(saved.get(MAGNITUDE, own))


def initial_down(shape: Sequence[int], seed: int, key: str) -> Tensor:
    """Kaiming-uniform values with a = sqrt(5), as Kohya's; a function of (seed, key) alone, drawn on the CPU."""
    values = torch.empty(tuple(shape))
    nn.init.kaiming_uniform_(values, a=math.sqrt(5), generator=generator_of(seed, key))
    return values


def generator_of(seed: int, key: str) -> torch.Generator:
    """Random numbers that are a function of (seed, key) alone."""
    return torch.Generator().manual_seed(number_of(seed, key))


def number_of(seed: int, key: str) -> int:
    """A number below 2^63 that is a function of (seed, key) alone."""
    digest = hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class LoRA(LayeredNetwork):
    """A LoRA over a family's targets with one rank for linear layers and 1x1 convolutions, and another for larger
    convolutions, as in Kohya's networks.lora; `make` gives each layer its own."""

    def __init__(
        self,
        targets: Sequence[Target],
        rank: int,
        alpha: float,
        conv_rank: int = 0,
        conv_alpha: float = 0.0,
        dropout: float = 0.0,
        seed: int = 0,
        dora: bool = False,
        by_output: bool = False,
    ) -> None:
        def size(key: str, wide: bool, residual: bool = False) -> LayerSize:
            return LayerSize(conv_rank, conv_alpha, 1.0) if wide else LayerSize(rank, alpha, 1.0)

        facts = [("ss_network_module", "networks.lora"), ("ss_network_dim", str(rank))]
        facts += [("ss_network_alpha", str(float(alpha))), ("ss_network_dropout", str(dropout or None))]
        if conv_rank:
            arguments = {"conv_dim": str(conv_rank), "conv_alpha": str(float(conv_alpha))}
            facts += [("ss_network_args", json.dumps(arguments))]
        self._make(
            targets, Make(size, seed, Drops(values=dropout), dora, arguments={BY_OUTPUT: by_output}, facts=tuple(facts))
        )

    def _make(self, targets: Sequence[Target], make: Make) -> None:
        super().__init__(layers_of(targets, make, LoRALayer), make.facts)


def make(targets: Sequence[Target], how: Make) -> LoRA:
    """A LoRA whose layers have sizes of their own."""
    network = LoRA.__new__(LoRA)
    network._make(targets, how)
    return network


def layers_of(targets: Sequence[Target], make: Make, kind: Any) -> list[Any]:
    """A layer of class `kind` for every target that has a rank."""
    sized = [(target, make.size(target.key, is_wide(target.module), target.convolution)) for target in targets]
    return [kind(target, size, make) for target, size in sized if size.rank > 0]


def is_wide(module: nn.Module) -> bool:
    """Whether it is a convolution larger than 1x1."""
    return isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
