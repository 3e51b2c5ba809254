"""What a row of the catalog tells, by kind of table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A row: the name that users choose, where its code stands, and what is said of it."""

    name: str
    target: str
    help: str


@dataclass(frozen=True)
class Optimizer(Entry):
    """`low`-`high`: usual learning rates for a LoRA, `rate` the one to start at; `warmup` the usual warmup in percent
    of steps; `state_bytes` per trained value at rank 16; `decay` the name of its weight-decay argument, "" if it has
    none; `fixed` arguments that are always passed; `eval_mode` for optimizers that keep other weights for use than for
    training; `finds_rate` for those whose learning rate only multiplies a rate of their own, one for all groups;
    `waits` for those whose step waits for the device by itself."""

    low: float = 5e-5
    high: float = 5e-4
    rate: float = 1e-4
    warmup: float = 5.0
    state_bytes: float = 8.0
    decay: str = "weight_decay"
    fixed: dict[str, Any] = field(default_factory=dict)
    eval_mode: bool = False
    finds_rate: bool = False
    waits: bool = False


@dataclass(frozen=True)
class Argument:
    """A further argument of a network type: its kind (bool, int or float), bounds, and what it does."""

    kind: type
    help: str
    low: float = 0.0
    high: float = 1e6


@dataclass(frozen=True)
class Network(Entry):
    """`algo`: what LyCORIS calls it. `ranked`: has ranks; `scaled`: its update is multiplied by alpha / rank; `dora`:
    can be trained as DoRA; `normed`: its update can be scaled down to a norm; `paired`: has matrices that start at zero
    beside others that do not, as LoRA+ wants; `diffusers`: diffusers reads it; `tells_rank`: a file's shapes tell the
    rank of each layer."""

    algo: str = ""
    ranked: bool = True
    scaled: bool = True
    dora: bool = False
    normed: bool = True
    paired: bool = True
    diffusers: bool = False
    tells_rank: bool = True
    arguments: dict[str, Argument] = field(default_factory=dict)


@dataclass(frozen=True)
class Sampler(Entry):
    """Its name in A1111's web UI and in ComfyUI, "" where it is not to be had; whether it can begin at pure noise."""

    a1111: str = ""
    comfyui: str = ""
    zero_snr: bool = True
