"""What each kind of adapter does to a weight: the update at strength 1, from the tensors of one layer.

Formulas: LoRA arXiv 2106.09685; LoHa and LoKr as in LyCORIS (arXiv 2309.14859); DoRA 2402.09353 with the norm over
the merged weight, as LyCORIS and A1111 have it; (IA)3 2205.05638; OFT 2306.07280 (Cayley); BOFT 2311.06243; GLoRA
2306.07967. Legend: O outputs, I inputs, R rank, k kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from trainer.contract.problems import Problem, Problems
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
    """A LoRA's update as up [O, R] @ down [R, I x area], alpha multiplied into up; a middle tensor is folded into down,
    which keeps the rank."""
    up, down = values["up"], values["down"]
    if "mid" in values:
        down = torch.einsum("srkl,ri->sikl", values["mid"], down.flatten(1))
    scale = scale_of(layer)
    up = up.flatten(1)
    return up if scale == 1 else up * scale, down.flatten(1)


def kernel_of(values: Values) -> tuple[int, ...]:
    """Height and width of a LoRA's kernel; () for a linear layer."""
    return tuple((values["mid"] if "mid" in values else values["down"]).shape[2:])


def _lora(layer: Layer, values: Values, weight: Tensor) -> Tensor:
    up, down = factors(layer, values)
    return (up @ down).reshape(weight.shape)


def _loha(layer: Layer, values: Values, weight: Tensor) -> Tensor:
    one, two = (_hadamard(values, number) for number in (1, 2))
    return (one * two).reshape(weight.shape) * scale_of(layer)


def _hadamard(values: Values, number: int) -> Tensor:
    left, right, core = (values.get(f"hada_{name}") for name in (f"w{number}_a", f"w{number}_b", f"t{number}"))
    assert left is not None and right is not None
    return left @ right if core is None else torch.einsum("rskl,ro,si->oikl", core, left, right)


def _lokr(layer: Layer, values: Values, weight: Tensor) -> Tensor:
    one = values["lokr_w1"] if "lokr_w1" in values else values["lokr_w1_a"] @ values["lokr_w1_b"]
    if "lokr_w2" in values:
        two = values["lokr_w2"]
    elif "lokr_t2" in values:
        two = torch.einsum("rskl,ro,si->oikl", values["lokr_t2"], values["lokr_w2_a"], values["lokr_w2_b"])
    else:
        left, right = values["lokr_w2_a"], values["lokr_w2_b"]
        two = (left @ right.flatten(1)).reshape(left.shape[0], *right.shape[1:])
    one = one.reshape(*one.shape, *[1] * (two.dim() - one.dim()))
    scale = scale_of(layer) if layer.rank else 1.0
    return torch.kron(one.contiguous(), two.contiguous()).reshape(weight.shape) * scale


def _full(layer: Layer, values: Values, weight: Tensor) -> Tensor:
    return values["diff"].reshape(weight.shape)


def _norm(layer: Layer, values: Values, weight: Tensor) -> Tensor:
    return values["w_norm"].reshape(weight.shape)


def _ia3(layer: Layer, values: Values, weight: Tensor) -> Tensor:
    on_input, factor = bool(values["on_input"].reshape(-1)[0]), values["weight"].reshape(-1)
    shape = (1, -1) if on_input else (-1, 1)
    return weight * factor.reshape(*shape, *[1] * (weight.dim() - 2))


def _glora(layer: Layer, values: Values, weight: Tensor) -> Tensor:
    a1, a2, b1, b2 = (values[f"{name}.weight"] for name in ("a1", "a2", "b1", "b2"))
    through = torch.einsum("oi...,ij->oj...", weight, a1.flatten(1) @ a2.flatten(1))
    if "bm.weight" in values:
        added = torch.einsum("os,srkl,ri->oikl", b1.flatten(1), values["bm.weight"], b2.flatten(1))
    else:
        added = (b1.flatten(1) @ b2.flatten(1)).reshape(weight.shape)
    return (through + added) * scale_of(layer)


def _rotations(blocks: Tensor, constraint: float) -> Tensor:
    """Cayley's rotation of each block's skew part, held to a norm where there is a constraint."""
    skew = blocks - blocks.transpose(-1, -2)
    norm = float(skew.norm()) + 1e-8
    if 0 < constraint < norm:
        skew = skew * (constraint / norm)
    one = torch.eye(blocks.shape[-1], device=blocks.device, dtype=blocks.dtype)
    return (one + skew) @ torch.linalg.inv(one - skew)


def _oft(layer: Layer, values: Values, weight: Tensor) -> Tensor:
    blocks = values["oft_blocks"]
    turned = _rotations(blocks, (layer.alpha or 0.0) * weight.shape[0])
    parts = weight.reshape(blocks.shape[0], blocks.shape[1], -1)
    rotated = torch.einsum("knm,kn...->km...", turned, parts).reshape(weight.shape)
    return rotated * values.get("rescale", torch.ones((), device=weight.device)) - weight


def _boft(layer: Layer, values: Values, weight: Tensor) -> Tensor:
    blocks = values["oft_blocks"]
    turned, size = _rotations(blocks, (layer.alpha or 0.0) * weight.shape[0]), blocks.shape[-1]
    rows = weight.flatten(1)
    for level, rotation in enumerate(turned):
        width = 2**level * (size // 2)
        mixed = rows.unflatten(0, (-1, 2, width)).transpose(1, 2).flatten(0, 2).unflatten(0, (-1, size))
        mixed = torch.einsum("bij,bjn->bin", rotation, mixed).flatten(0, 1)
        rows = mixed.unflatten(0, (-1, width, 2)).transpose(1, 2).flatten(0, 2)
    rotated = rows.reshape(weight.shape)
    return rotated * values.get("rescale", torch.ones((), device=weight.device)) - weight


def _decomposed(plain: Callable[[Layer, Values, Tensor], Tensor]) -> Callable[[Layer, Values, Tensor], Tensor]:
    """DoRA: the merged weight's direction at the learned length, of each output or each input as the file has it."""

    def update(layer: Layer, values: Values, weight: Tensor) -> Tensor:
        merged, length = weight + plain(layer, values, weight), values["dora"].flatten()
        axis = 0 if len(length) == weight.shape[0] and _by_output(values["dora"], weight) else 1
        rows = merged.transpose(0, axis).flatten(1)
        scaled = rows * (length / (rows.norm(dim=1) + torch.finfo(rows.dtype).eps))[:, None]
        moved = merged.transpose(0, axis)
        return scaled.reshape(moved.shape).transpose(0, axis) - weight

    return update


def _by_output(length: Tensor, weight: Tensor) -> bool:
    """A square weight leaves it to the shape: [O, 1] or [O] by output, [1, I] by input."""
    return length.dim() == 1 or length.shape[0] == weight.shape[0]


UPDATES: dict[str, Callable[[Layer, Values, Tensor], Tensor]] = {
    "LoRA": _lora,
    "LoCon": _lora,
    "DoRA": _decomposed(_lora),
    "LoHa": _loha,
    "LoHa with DoRA": _decomposed(_loha),
    "LoKr": _lokr,
    "LoKr with DoRA": _decomposed(_lokr),
    "(IA)3": _ia3,
    "GLoRA": _glora,
    "OFT": _oft,
    "BOFT": _boft,
    "full difference": _full,
    "norm": _norm,
}

ADDED = ("LoRA", "LoCon", "LoHa", "LoKr", "full difference")
"""Kinds whose update is the same for every base weight, so that it can be added up without one."""

OF_LORA = ("LoRA", "LoCon")


def update_of(look: Look, layer: Layer, weight: Tensor) -> Tensor:
    """The change of a weight at strength 1, in float on the weight's device and in its shape."""
    made = UPDATES[layer.kind](layer, values_of(look, layer, weight.device), weight)
    scalar = layer.tensors.get("scalar")
    return made * float(read(look.file, scalar).reshape(-1)[0]) if scalar else made


def refuse(look: Look, can: tuple[str, ...], what: str, fix: str = "") -> None:
    """Problems where a file holds kinds that a tool cannot handle. `what`: "be merged with others"."""
    other = sorted(set(look.kinds) - set(can))
    name = look.file.path.name
    if not look.layers:
        raise Problems([Problem("adapter", f"{name} holds no adapter layers that are known here", "", "data")])
    if other:
        raise Problems([Problem("adapter", f"{name} is {' and '.join(other)}, which cannot {what}", fix, "data")])
