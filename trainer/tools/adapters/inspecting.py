"""Inspect: what an adapter file is, and the norm of its update in each block."""

from __future__ import annotations

import math
from typing import cast

import torch

from trainer.contract.adapter_tasks import Bar, Inspect, Result
from trainer.contract.tasks import Done
from trainer.plan.adapters.facts import facts, metadata_rows, readers
from trainer.plan.adapters.look import Layer, Look, block_name, look

from .low_rank import norm_of_product
from .updates import ADDED, OF_LORA, factors, update_of, values_of
from .work import Work, stoppable


def _work(work: Work) -> Done:
    task = cast(Inspect, work.task)
    found = look(task.adapter)
    norms, left = norms_of(found, work)
    notes = [f"{left} layers have no norm of their own: {_NEED_BASE}"] if left else []
    notes += readers(found)
    result = Result(
        headline=f"{found.kind} of {len(found.layers)} layers",
        facts=tuple(facts(found)),
        notes=tuple(notes),
        bars=tuple(bars(found, norms)),
        metadata=tuple(metadata_rows(found.file.metadata)),
        file=str(found.file.path.resolve()),
        adapter=True,
    )
    return work.done(result)


work = stoppable(_work)

_NEED_BASE = "what DoRA, OFT, BOFT, GLoRA and (IA)3 change depends on the base model"


def norms_of(found: Look, work: Work) -> tuple[dict[str, float], int]:
    """Frobenius norm of each layer's update, alpha applied, by the layer's name; and how many layers have none."""
    norms: dict[str, float] = {}
    for number, layer in enumerate(found.layers):
        work.at("measuring layers", number, len(found.layers))
        if layer.kind in ADDED or layer.kind == "norm":
            norms[layer.name] = _norm(found, layer)
    return norms, len(found.layers) - len(norms)


def _norm(found: Look, layer: Layer) -> float:
    if layer.kind in OF_LORA:
        return norm_of_product(*factors(layer, values_of(found, layer, torch.device("cpu"))))
    weight = torch.empty(shape_of(found, layer))
    return float(update_of(found, layer, weight).norm())


def shape_of(found: Look, layer: Layer) -> tuple[int, ...]:
    """The shape of the weight that a layer changes, as far as the file tells it. LoHa and LoKr keep convolutions flat:
    their kernel is told by the layer's name."""
    shapes = {role: found.file.tensors[name].shape for role, name in layer.tensors.items()}
    for role in ("diff", "w_norm"):
        if role in shapes:
            return shapes[role]
    if layer.kind == "LoHa" and "hada_t1" in shapes:
        return shapes["hada_w1_a"][1], shapes["hada_w1_b"][1], *shapes["hada_t1"][2:]
    if layer.kind == "LoHa":
        return _unflat(layer, shapes["hada_w1_a"][0], math.prod(shapes["hada_w1_b"][1:]))
    one = shapes.get("lokr_w1") or (shapes["lokr_w1_a"][0], shapes["lokr_w1_b"][1])
    if "lokr_w2" in shapes:
        two = shapes["lokr_w2"]
    elif "lokr_t2" in shapes:
        two = (shapes["lokr_w2_a"][1], shapes["lokr_w2_b"][1], *shapes["lokr_t2"][2:])
    else:
        two = (shapes["lokr_w2_a"][0], math.prod(shapes["lokr_w2_b"][1:]))
    whole = (one[0] * two[0], one[1] * two[1], *two[2:])
    return whole if len(whole) > 2 else _unflat(layer, *whole)


_THREE = ("conv", "conv1", "conv2", "conv_in", "conv_out")
"""Modules of U-Nets that are 3x3 convolutions."""


def _unflat(layer: Layer, outputs: int, inputs: int) -> tuple[int, ...]:
    last = layer.place.path.rpartition(".")[2] if layer.place is not None else ""
    return (outputs, inputs // 9, 3, 3) if last in _THREE and inputs % 9 == 0 else (outputs, inputs)


def bars(found: Look, norms: dict[str, float]) -> list[Bar]:
    """Norm of all of a block's layers together, blocks in the model's order, text encoders last."""
    squares: dict[str, tuple[float, int]] = {}
    for layer in found.layers:
        if layer.name in norms:
            name = block_name(layer, found.family)
            total, count = squares.get(name, (0.0, 0))
            squares[name] = total + norms[layer.name] ** 2, count + 1
    order = list(found.family.blocks) if found.family is not None else []
    names = sorted(squares, key=lambda name: (order.index(name) if name in order else len(order), name))
    return [Bar(name=name, value=math.sqrt(squares[name][0]), layers=squares[name][1]) for name in names]
