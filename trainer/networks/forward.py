"""The adapted forward of one layer, as light as torch's own operations allow.

The scale is folded into the small matrix or the product, never multiplied over the layer's whole output, and the update
is added in place: the layer is frozen, so its backward needs its input only. Masters are float32 and cast to the
layer's format where that differs. Legend: N rows (batch and tokens), R rank, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

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
