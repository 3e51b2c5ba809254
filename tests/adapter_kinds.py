"""One layer of each kind that is adapted, and every network type over them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from trainer.contract import catalog
from trainer.networks import lycoris
from trainer.networks.base import Drops, LayeredNetwork, Make
from trainer.networks.lora import make as make_lora
from trainer.parts import Target
from trainer.plan.layers import LayerSize

X = torch.linspace(-1, 1, 2 * 4 * 8 * 8).reshape(2, 4, 8, 8)


class Small(nn.Module):
    """A 3x3 convolution with a stride, a 1x1 one, and a linear layer without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 24, 3, stride=2, padding=1)
        self.project = nn.Conv2d(24, 16, 1)
        self.linear = nn.Linear(16, 12, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.linear(self.project(self.conv(x)).flatten(2).transpose(1, 2))
        return found


def small() -> Small:
    torch.manual_seed(0)
    return Small().requires_grad_(False)


def targets(model: nn.Module, part: str = "unet") -> list[Target]:
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return [Target(f"lora_unet_{name}", part, name, layer, name == "conv") for name, layer in layers]


def size(key: str, wide: bool, residual: bool = False) -> LayerSize:
    """Rank 6, alpha 3; the 3x3 convolution has rank 4, alpha 8 and half the rate. BOFT can split all outputs by 6."""
    return LayerSize(4, 8.0, 0.5) if wide and "boft" not in key else LayerSize(6, 3.0, 1.0)


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "LoRA": ("LoRA", {}, {}),
    "LoRA rank-stabilised": ("LoRA", {}, {"rank_stabilised": True}),
    "DoRA": ("LoRA", {}, {"dora": True}),
    "DoRA by output": ("LoRA", {"wd_on_output": True}, {"dora": True}),
    "LoHa": ("LoHa", {}, {}),
    "LoHa tucker": ("LoHa", {"use_tucker": True}, {}),
    "LoHa DoRA": ("LoHa", {}, {"dora": True}),
    "LoHa DoRA by output": ("LoHa", {"wd_on_output": True}, {"dora": True}),
    "LoKr": ("LoKr", {"factor": 2}, {}),
    "LoKr split": ("LoKr", {"decompose_both": True}, {"size_of": LayerSize(1, 0.5, 1.0)}),
    "LoKr tucker": ("LoKr", {"use_tucker": True, "factor": 2}, {"size_of": LayerSize(1, 0.5, 1.0)}),
    "LoKr unbalanced": ("LoKr", {"unbalanced_factorization": True}, {"size_of": LayerSize(1, 0.5, 1.0)}),
    "LoKr whole": ("LoKr", {"full_matrix": True}, {}),
    "LoKr DoRA": ("LoKr", {"factor": 2}, {"dora": True}),
    "LoKr DoRA by output": ("LoKr", {"factor": 2, "wd_on_output": True}, {"dora": True}),
    "DyLoRA": ("DyLoRA", {"block_size": 2}, {}),
    "GLoRA": ("GLoRA", {}, {}),
    "IA3": ("IA3", {}, {}),
    "IA3 inputs": ("IA3", {"train_on_input": True}, {}),
    "OFT": ("OFT", {}, {}),
    "OFT rescaled": ("OFT", {"rescaled": True, "constraint": 0.01}, {}),
    "BOFT": ("BOFT", {}, {"size_of": LayerSize(6, 3.0, 1.0)}),
    "BOFT rescaled": ("BOFT", {"rescaled": True}, {"size_of": LayerSize(6, 3.0, 1.0)}),
}
"""Name -> network type, its arguments, and what else is chosen."""


NONE = Drops()


def build(case: str, model: nn.Module, seed: int = 0, drops: Drops = NONE) -> LayeredNetwork:
    """The network of a case over the model's layers, untrained."""
    kind, arguments, other = CASES[case]
    chosen = dict(other)
    one = chosen.pop("size_of", None)
    sizes: Any = (lambda key, wide, residual=False: one) if one else size
    how = Make(size=sizes, seed=seed, drops=drops, arguments=arguments, **chosen)
    attribute = catalog.network(kind).target.partition(":")[2]
    make: Any = make_lora if kind == "LoRA" else getattr(lycoris, attribute)
    network: LayeredNetwork = make(targets(model), how)
    return network


def with_values(network: LayeredNetwork, seed: int = 1) -> LayeredNetwork:
    """The network as if trained: every value moved by noise."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters("unet"):
            value.add_(0.2 * torch.randn(value.shape, generator=generator))
    return network


@contextmanager
def library_prefix(prefix: str) -> Iterator[None]:
    """LyCORIS names layers by a class attribute."""
    from lycoris.wrapper import LycorisNetwork

    before, LycorisNetwork.LORA_PREFIX = LycorisNetwork.LORA_PREFIX, prefix
    try:
        yield
    finally:
        LycorisNetwork.LORA_PREFIX = before
