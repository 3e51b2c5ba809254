"""What a layer of an adapter file does to a weight: its tensors, read one layer at a time, given to the formulas of
`networks.updates`, which training and drawing use too. LoRA's alone stands here once more, as `factors`: norms, sums
and singular values are found from two thin matrices, and multiplied out they would take a whole weight's memory.
Legend: O outputs, I inputs, R rank.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.contract.problems import Problem, Problems
from trainer.networks import updates
from trainer.plan.adapters.look import Layer, Look

from .stream import read

Values = Mapping[str, Tensor]


def values_of(look: Look, layer: Layer, device: torch.device) -> dict[str, Tensor]:
    """The tensors of a layer by role, in float on the device."""
    values = {role: read(look.file, name).to(device, torch.float32) for role, name in layer.tensors.items()}
    if "lora_magnitude_vector" in layer.tensors.get("dora", ""):
        values["dora"] = values["dora"].reshape(-1, 1)  # PEFT: one length an output, for convolutions as [1, O, 1, 1]
    return values


def scale_of(layer: Layer) -> float:
    """alpha / rank; 1 where the file has no alpha (or 0, which readers take for none)."""
    return layer.alpha / layer.rank if layer.alpha and layer.rank else 1.0


def factors(layer: Layer, values: Values) -> tuple[Tensor, Tensor]:
    """A LoRA's update as up [O, R] @ down [R, I x area], alpha multiplied into up, in place; a middle tensor is folded
    into down, which keeps the rank."""
    up, down = values["up"], values["down"]
    if "mid" in values:
        down = torch.einsum("srkl,ri->sikl", values["mid"], down.flatten(1))
    scale = scale_of(layer)
    up = up.flatten(1)
    return up if scale == 1 else up.mul_(scale), down.flatten(1)


def kernel_of(values: Values) -> tuple[int, ...]:
    """Height and width of a LoRA's kernel; () for a linear layer."""
    return tuple((values["mid"] if "mid" in values else values["down"]).shape[2:])


KINDS = (
    "LoRA", "LoCon", "DoRA", "LoHa", "LoHa with DoRA", "LoKr", "LoKr with DoRA", "(IA)3", "GLoRA", "OFT", "BOFT",
    "full difference", "norm",
)  # fmt: skip
"""What can be merged into a checkpoint."""

ADDED = ("LoRA", "LoCon", "LoHa", "LoKr", "full difference")
"""Kinds whose update is the same for every base weight, so that it can be added up without one."""

FIXED = (*ADDED, "norm")
"""Kinds whose update does not depend on the base weight's values."""

OF_LORA = ("LoRA", "LoCon")


_ENDS = {"down": "lora_down.weight", "up": "lora_up.weight", "mid": "lora_mid.weight", "dora": "dora_scale"}
"""Role -> how Kohya's tensors end, by which `networks.updates` knows them; all others are called so already."""


def update_of(look: Look, layer: Layer, weight: Tensor) -> Tensor:
    """The change of a weight at strength 1, in float on the weight's device and in its shape."""
    values = values_of(look, layer, weight.device)
    if layer.kind == "norm":
        return values["w_norm"].reshape(weight.shape)
    factor = float(values.pop("scalar").reshape(-1)[0]) if "scalar" in values else 1.0
    if layer.alpha == 0 and layer.kind not in ("OFT", "BOFT"):
        values.pop("alpha", None)  # readers take 0 for none; for rotations it is no limit
    if "dora" in values and values["dora"].dim() < weight.dim():
        values["dora"] = values["dora"].reshape(*values["dora"].shape, *[1] * (weight.dim() - values["dora"].dim()))
    made = updates.update_of({_ENDS.get(role, role): value for role, value in values.items()}, weight)
    return made if factor == 1 else made.mul_(factor)


def refuse(look: Look, can: tuple[str, ...], what: str, fix: str = "") -> None:
    """Problems where a file holds kinds that a tool cannot handle. `what`: "be merged with others"."""
    other = sorted(set(look.kinds) - set(can))
    name = look.file.path.name
    if not look.layers:
        raise Problems([Problem("adapter", f"{name} holds no adapter layers that are known here", "", "data")])
    if other:
        raise Problems([Problem("adapter", f"{name} is {' and '.join(other)}, which cannot {what}", fix, "data")])
