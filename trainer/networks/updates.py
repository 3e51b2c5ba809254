"""What an adapter file adds to a layer's weight, for every kind of file, as a function of its tensors and that weight.

The one place of these formulas: training, drawing and merging use them, so that they agree. They are those of LyCORIS
(`lycoris/modules`), which A1111 and ComfyUI follow. Legend: R rank, O outputs, I inputs, K a convolution's kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Values = Mapping[str, Tensor]
"""End of a tensor's name, without the layer's key -> tensor, all in one format."""


@dataclass(frozen=True)
class Kind:
    """A kind of file. `mark`: the tensor that tells it; `dims`: how many sides that one has (0: any). `update(values,
    weight)`: without DoRA, in the weight's shape."""

    name: str
    mark: str
    update: Callable[[Values, Tensor], Tensor]
    dims: int = 0


def update_of(values: Values, weight: Tensor) -> Tensor:
    """What a layer's tensors add to its weight, in its shape, float32, DoRA included. ValueError for tensors of no kind
    that is known; RuntimeError where they do not fit the weight."""
    weight = weight.float()
    update = kind_of(values).update({name: value.float() for name, value in values.items()}, weight)
    update = update.reshape(weight.shape)
    if "dora_scale" not in values:
        return update
    update = weight + update  # under one name, so that merging holds no more than it needs
    update = resized(update, values["dora_scale"].float())
    return update - weight


def kind_of(values: Values) -> Kind:
    """The kind of a layer's tensors. ValueError where it is not known."""
    for kind in KINDS:
        if kind.mark in values and kind.dims in (0, values[kind.mark].dim()):
            return kind
    raise ValueError(f"tensors of an unknown kind: {', '.join(sorted(values))}")


def by_layer(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """A file's tensors by the layer that they belong to: all keys of Kohya's have no dot in them."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        key, _, end = name.partition(".")
        found.setdefault(key, {})[end] = value
    return found


def resized(moved: Tensor, magnitude: Tensor) -> Tensor:
    """DoRA: the columns of weight + update (or its rows, where the magnitude is of the outputs) brought to their learnt
    sizes. The norm counts as a constant for the gradient (arXiv 2402.09353, 4.3)."""
    by_output = magnitude.shape[0] == moved.shape[0] and all(side == 1 for side in magnitude.shape[1:])
    norm = norms(moved.detach(), 0 if by_output else 1)
    return moved * (magnitude / norm.clamp_min(torch.finfo(norm.dtype).tiny))


def norms(weight: Tensor, kept: int) -> Tensor:
    """Norm of what belongs to each output (`kept` 0) or input (1): [O, 1, ...] or [1, I, ...]."""
    own = [side for side in range(weight.dim()) if side != kept]
    return torch.linalg.vector_norm(weight, dim=own, keepdim=True)


def scale_of(values: Values, rank: int) -> float | Tensor:
    """alpha / rank; 1 where no alpha is given."""
    return values["alpha"] / rank if "alpha" in values else 1.0


def _lora(values: Values, weight: Tensor) -> Tensor:
    down, up = values["lora_down.weight"], values["lora_up.weight"]
    rank = down.shape[0]
    if "lora_mid.weight" in values:
        mid = values["lora_mid.weight"]
        update = torch.einsum("m n ..., o m, n i -> o i ...", mid, up.flatten(1), down.flatten(1))
    else:
        update = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
    return update * scale_of(values, rank)


def _loha(values: Values, weight: Tensor) -> Tensor:
    """(w1a w1b) * (w2a w2b), value by value; LyCORIS' own backward keeps the small matrices only. Its
    other backends compile at the first call and give other last bits."""
    from lycoris.functional.loha import diff_weight

    one, two = values["hada_w1_b"], values["hada_w2_b"]
    scale = torch.as_tensor(scale_of(values, one.shape[0]), dtype=one.dtype, device=one.device)
    middle = (values.get("hada_t1"), values.get("hada_t2"))
    update: Tensor = diff_weight(
        one, values["hada_w1_a"], two, values["hada_w2_a"], *middle, gamma=scale, backend="torch"
    )
    return update


def _lokr(values: Values, weight: Tensor) -> Tensor:
    """The Kronecker product of w1 and w2, each whole or split by rank; whole ones know no alpha."""
    rank, halves = 0, []
    for name in ("lokr_w1", "lokr_w2"):
        if name in values:
            halves.append(values[name])
            continue
        a, b, middle = values[f"{name}_a"], values[f"{name}_b"], values.get(name.replace("_w", "_t"))
        rank = b.shape[0]
        halves.append(a @ b if middle is None else torch.einsum("i j ..., i p, j r -> p r ...", middle, a, b))
    small, large = halves
    small = small.reshape(*small.shape, *[1] * (large.dim() - 2))
    return torch.kron(small.contiguous(), large.contiguous()) * (scale_of(values, rank) if rank else 1.0)


def _glora(values: Values, weight: Tensor) -> Tensor:
    """b1 b2 + W a1 a2, over the inputs of W."""
    a1, a2 = values["a1.weight"].flatten(1), values["a2.weight"].flatten(1)
    b1, b2 = values["b1.weight"].flatten(1), values["b2.weight"].flatten(1)
    inner = torch.einsum("o i ..., i r, r j -> o j ...", weight, a1, a2)
    return ((b1 @ b2).reshape(weight.shape) + inner) * scale_of(values, b2.shape[0])


def _ia3(values: Values, weight: Tensor) -> Tensor:
    """The weight times one number for every output, or input."""
    ends = [1] * (weight.dim() - 2)
    shape = (1, weight.shape[1], *ends) if bool(values["on_input"]) else (weight.shape[0], 1, *ends)
    return weight * values["weight"].reshape(shape)


def rotations(values: Values, outputs: int) -> Tensor:
    """Cayley's rotations of skew matrices, (1 + Q)(1 - Q)^-1 with Q = B - B', its norm limited by alpha x outputs."""
    blocks = values["oft_blocks"]
    skew = blocks - blocks.transpose(-1, -2)
    if "alpha" in values:
        skew = skew * limit_of(skew, values["alpha"] * outputs)
    one = torch.eye(blocks.shape[-1], dtype=blocks.dtype, device=blocks.device)
    return (one + skew) @ torch.linalg.inv(one - skew)


def limit_of(skew: Tensor, limit: Tensor) -> Tensor:
    """Factor that brings the norm of `skew` to `limit` where it is larger; a limit of 0 is none."""
    factor = (limit / (torch.linalg.vector_norm(skew) + 1e-8)).clamp_max(1.0)
    return torch.where(limit > 0, factor, torch.ones_like(factor))


def _oft(values: Values, weight: Tensor) -> Tensor:
    """Groups of outputs, each rotated in itself."""
    turn = rotations(values, weight.shape[0])
    number, size, _ = turn.shape
    rows = weight.reshape(number, size, -1)
    turned = torch.einsum("k n m, k n i -> k m i", turn, rows).reshape(weight.shape)
    return _rescaled(turned, values) - weight


def _boft(values: Values, weight: Tensor) -> Tensor:
    """Pass after pass: outputs mixed as a butterfly does, rotated in groups, and put back."""
    turned, turns = weight, rotations(values, weight.shape[0])
    size = turns.shape[-1]
    for level, turn in enumerate(turns):
        width = 2**level * (size // 2)
        mixed = turned.unflatten(0, (-1, 2, width)).transpose(1, 2).flatten(0, 2).unflatten(0, (-1, size))
        rotated = torch.einsum("b i j, b j ... -> b i ...", turn, mixed).flatten(0, 1)
        turned = rotated.unflatten(0, (-1, width, 2)).transpose(1, 2).flatten(0, 2)
    return _rescaled(turned, values) - weight


def _rescaled(turned: Tensor, values: Values) -> Tensor:
    return turned * values["rescale"] if "rescale" in values else turned


def _full(values: Values, weight: Tensor) -> Tensor:
    return values["diff"]


KINDS: tuple[Kind, ...] = (
    Kind("LoRA", "lora_down.weight", _lora),
    Kind("LoHa", "hada_w1_a", _loha),
    Kind("LoKr", "lokr_w1", _lokr),
    Kind("LoKr", "lokr_w1_a", _lokr),
    Kind("GLoRA", "a1.weight", _glora),
    Kind("IA3", "on_input", _ia3),
    Kind("OFT", "oft_blocks", _oft, dims=3),
    Kind("BOFT", "oft_blocks", _boft, dims=4),
    Kind("full difference", "diff", _full),
)
