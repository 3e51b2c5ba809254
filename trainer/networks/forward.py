"""The adapted forward of one layer, as light as torch's own operations allow.

The scale is folded into the small matrix or the product, never multiplied over the layer's whole output, and the update
is added in place: the layer is frozen, so its backward needs its input only. Masters are float32 and cast to the
layer's format where that differs. Legend: N rows (batch and tokens), B batch, R rank, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Adapter(Protocol):
    """What a forward needs of its adapter; read at each call, so that switches take effect at once."""

    down: nn.Parameter
    up: nn.Parameter
    scale: float
    dropout: float
    on: bool
    training: bool


class Rich(Adapter, Protocol):
    """An adapter with more to it: ranks or the whole left out at random, DoRA's gain."""

    rank_dropout: float

    @property
    def gains_inputs(self) -> bool:
        """Whether the gain is of the inputs."""
        ...

    def skipped(self) -> bool:
        """Whether it has no part in this pass."""
        ...

    def gain(self) -> Tensor | None:
        """Factor on each input [I] or output [O], or None."""
        ...


def linear_forward(layer: nn.Linear, adapter: Adapter) -> Callable[[Tensor], Tensor]:
    """`x W' + b + scale (x A') B'` with one fused multiply-add for the last product."""

    def forward(x: Tensor) -> Tensor:
        if not adapter.on:
            return F.linear(x, layer.weight, layer.bias)
        rows_NI = x.reshape(-1, x.shape[-1])
        base_NO = F.linear(rows_NI, layer.weight, layer.bias)
        inner_NR = F.linear(rows_NI, adapter.down.to(base_NO.dtype))
        if adapter.dropout and adapter.training:
            inner_NR = F.dropout(inner_NR, adapter.dropout)
        base_NO.addmm_(inner_NR, adapter.up.to(base_NO.dtype).t(), alpha=adapter.scale)
        return base_NO.view(*x.shape[:-1], -1)

    return forward


def convolution_forward(layer: nn.Conv2d, adapter: Adapter) -> Callable[[Tensor], Tensor]:
    """The layer's own convolution plus `up(down(x))`: down in the layer's kernel and stride, up 1x1."""

    def forward(x: Tensor) -> Tensor:
        base = layer._conv_forward(x, layer.weight, layer.bias)
        if not adapter.on:
            return base
        down, up = adapter.down.to(base.dtype), adapter.up * adapter.scale
        inner = F.conv2d(x, down, None, layer.stride, layer.padding, layer.dilation)
        if adapter.dropout and adapter.training:
            inner = F.dropout(inner, adapter.dropout)
        return base.add_(F.conv2d(inner, up.to(base.dtype)))

    return forward


def rich_forward(layer: nn.Linear | nn.Conv2d, adapter: Rich) -> Callable[[Tensor], Tensor]:
    """`gain (W x + scale up(thinned down(x))) + b`, or with `gain x` for x; gain is 1 but for DoRA."""

    def forward(x: Tensor) -> Tensor:
        if adapter.skipped():
            return plain(layer, x, layer.bias)
        with torch.autocast(x.device.type, enabled=False):  # or it would be rounded like an activation
            gain = adapter.gain()
        shape = (-1,) if isinstance(layer, nn.Linear) else (1, -1, 1, 1)
        if gain is not None and adapter.gains_inputs:
            x, gain = x * gain.to(x.dtype).view(shape), None
        base = plain(layer, x, layer.bias if gain is None else None)
        down, up = adapter.down.to(base.dtype), (adapter.up * adapter.scale).to(base.dtype)
        if isinstance(layer, nn.Linear):
            added = F.linear(thinned(F.linear(x, down), adapter, -1), up)
        else:
            inner = F.conv2d(x, down, None, layer.stride, layer.padding, layer.dilation)
            added = F.conv2d(thinned(inner, adapter, 1), up)
        sum_ = base.add_(added)
        if gain is None:
            return sum_
        sized = sum_ * gain.to(sum_.dtype).view(shape)
        return sized if layer.bias is None else sized + layer.bias.to(sized.dtype).view(shape)

    return forward


def plain(layer: nn.Linear | nn.Conv2d, x: Tensor, bias: Tensor | None) -> Tensor:
    """The layer's own answer, with this bias."""
    if isinstance(layer, nn.Linear):
        return F.linear(x, layer.weight, bias)
    answer: Tensor = layer._conv_forward(x, layer.weight, bias)
    return answer


def thinned(inner: Tensor, adapter: Rich, ranks: int) -> Tensor:
    """Inner values with some left out in training; `ranks`: the dimension that they lie in.

    Ranks are left out for each image apart, the others made up for it, as in sd-scripts' `LoRAModule.forward`."""
    if not adapter.training:
        return inner
    if adapter.dropout:
        inner = F.dropout(inner, adapter.dropout)
    if adapter.rank_dropout:
        shape = [1] * inner.dim()
        shape[0], shape[ranks] = inner.shape[0], inner.shape[ranks]
        kept = torch.rand(shape, device=inner.device) > adapter.rank_dropout
        inner = inner * (kept / (1 - adapter.rank_dropout)).to(inner.dtype)
    return inner
