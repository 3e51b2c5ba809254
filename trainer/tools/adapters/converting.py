"""Convert: the same layers under the names that another program reads. What need not change is copied byte by byte."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from trainer.contract.adapter_tasks import Convert, Result
from trainer.contract.problems import Problem, Problems
from trainer.contract.tasks import Done
from trainer.plan.adapters.look import Layer, Look, look, standard
from trainer.plan.adapters.names import Place, diffusers_name, kohya_name, lycoris_name
from trainer.plan.adapters.tensorfile import Stored

from .stream import DTYPES, Writer, hashed, read
from .updates import refuse, scale_of
from .work import Work, output, stoppable

ALPHAS = "loratory.alphas"
"""Metadata of a file without alphas: those that were multiplied in, by place, so that they can be taken out again."""

_PEFT = {"down": "lora_A.weight", "up": "lora_B.weight", "dora": "lora_magnitude_vector.weight"}
_KOHYA = {"down": "lora_down.weight", "up": "lora_up.weight", "mid": "lora_mid.weight", "dora": "dora_scale"}


@dataclass(frozen=True)
class Move:
    """A tensor of the new file: where it comes from (None: made, as `value` says) and what it is multiplied by."""

    source: str | None
    stored: Stored
    factor: float = 1.0
    value: float = 0.0


def _work(work: Work) -> Done:
    task = cast(Convert, work.task)
    found = look(task.adapter)
    lost = [layer.name for layer in found.layers if layer.place is None]
    if lost or found.unknown:
        what = (lost + list(found.unknown))[0]
        why = f"{len(lost) + len(found.unknown)} names are of no layer that is known here, {what} for one"
        raise Problems([Problem("adapter", why, "only adapters of U-Net models can be converted", "data")])
    if task.to == "diffusers":
        refuse(found, ("LoRA", "LoCon", "DoRA"), "be written with diffusers' names", "it has none for this kind")
    path = output(task, task.adapter, task.to.lower())
    moves, alphas = to_diffusers(found) if task.to == "diffusers" else to_kohya(found, task.to == "LyCORIS")
    metadata = {name: text for name, text in found.file.metadata.items() if name != ALPHAS}
    if alphas:
        metadata[ALPHAS] = json.dumps(alphas)
    with Writer(path, {name: move.stored for name, move in moves.items()}, hashed(metadata)) as writer:
        for number, (name, move) in enumerate(moves.items()):
            work.at("converting tensors", number, len(moves))
            if move.source is not None and move.factor == 1:
                writer.copy(found.file, name, move.source)
            else:
                writer.put(name, _value(found, move))
    folded = sum(1 for move in moves.values() if move.factor != 1)
    notes = [f"alpha was multiplied into {folded} layers"] if folded and task.to == "diffusers" else []
    facts = (("Names before", found.layout), ("Names now", task.to), ("Layers", str(len(found.layers))))
    result = Result(
        headline=f"converted from {found.layout} to {task.to}",
        facts=facts,
        notes=tuple(notes),
        file=str(path),
        adapter=True,
    )
    return work.done(result)


work = stoppable(_work)


def _value(found: Look, move: Move) -> Tensor:
    dtype = DTYPES[move.stored.dtype]
    if move.source is None:
        return torch.full(move.stored.shape, move.value, dtype=dtype)
    value = read(found.file, move.source)
    return (value.to(torch.float32) * move.factor).to(dtype).reshape(move.stored.shape)


def to_diffusers(found: Look) -> tuple[dict[str, Move], dict[str, float]]:
    """Tensors under diffusers' names (PEFT's endings), alpha / rank multiplied into up; and the alphas by place."""
    moves: dict[str, Move] = {}
    alphas: dict[str, float] = {}
    for layer in found.layers:
        assert layer.place is not None
        if "mid" in layer.tensors:
            why = "it has middle matrices (Tucker), for which diffusers has no name"
            fix = "resize it to its own rank first: they are then multiplied in"
            raise Problems([Problem("adapter", why, fix, "data")])
        name = diffusers_name(layer.place)
        scale = scale_of(layer)
        if layer.alpha and scale != 1:
            alphas[name] = layer.alpha
        for role in ("down", "up", "dora"):
            if role in layer.tensors:
                stored = found.file.tensors[layer.tensors[role]]
                shape = _length_shape(layer, stored, found) if role == "dora" else stored.shape
                factor = scale if role == "up" else 1.0
                moves[f"{name}.{_PEFT[role]}"] = Move(layer.tensors[role], Stored(stored.dtype, shape), factor)
    return moves, alphas


def _length_shape(layer: Layer, stored: Stored, found: Look) -> tuple[int, ...]:
    """PEFT keeps DoRA's lengths of the outputs as [O], of convolutions as [1, O, 1, 1]."""
    outputs = layer.size[0] if layer.size else 0
    by_output = len(stored.shape) < 2 or stored.shape[0] == outputs or "magnitude_vector" in layer.tensors["dora"]
    if stored.count != outputs or not by_output:
        why = f"{layer.name} has DoRA's lengths by input, for which diffusers has no name"
        fix = "keep Kohya's names, or train with network.args: wd_on_output = true"
        raise Problems([Problem("adapter", why, fix, "data")])
    dims = len(found.file.tensors[layer.tensors["down"]].shape)
    return (1, outputs, 1, 1) if dims == 4 else (outputs,)


def to_kohya(found: Look, lycoris: bool) -> tuple[dict[str, Move], dict[str, float]]:
    """Tensors under Kohya's names, or LyCORIS' for the U-Net, with alphas where the file had none."""
    two = found.family is not None and any(key.startswith("lora_te2_") for key, _ in standard(found.family).values())
    two = two or any(layer.place is not None and layer.place.part == "te2" for layer in found.layers)
    folded: Mapping[str, float] = json.loads(found.file.metadata.get(ALPHAS, "{}"))
    moves: dict[str, Move] = {}
    for layer in found.layers:
        assert layer.place is not None
        name = (lycoris_name(layer.place) if lycoris else None) or key_of(found, layer.place, two)
        moves |= dict(_moves(found, layer, name, folded.get(diffusers_name(layer.place))))
    return moves, {}


def _moves(found: Look, layer: Layer, name: str, folded: float | None) -> Iterator[tuple[str, Move]]:
    alpha = layer.alpha
    undo = 1.0
    if alpha is None and layer.rank and "down" in layer.tensors:
        alpha = float(layer.rank)
        if folded and math.frexp(folded / layer.rank)[0] == 0.5:  # only a power of two is taken out without rounding
            alpha, undo = folded, layer.rank / folded
    for role, tensor in layer.tensors.items():
        stored = found.file.tensors[tensor]
        shape = stored.shape
        if role == "dora" and "lora_magnitude_vector" in tensor:
            dims = len(found.file.tensors[layer.tensors["down"]].shape)
            shape = (stored.count, *[1] * (dims - 1))
        yield (
            f"{name}.{_KOHYA.get(role, role)}",
            Move(tensor, Stored(stored.dtype, shape), undo if role == "up" else 1.0),
        )
    if "alpha" not in layer.tensors and alpha is not None:
        dtype = found.file.tensors[layer.tensors["down"]].dtype
        exact = float(torch.tensor(alpha).to(DTYPES[dtype])) == alpha
        yield f"{name}.alpha", Move(None, Stored(dtype if exact else "F32", ()), value=alpha)


def key_of(found: Look, place: Place, two_encoders: bool) -> str:
    """Kohya's key of a place: the family's own where it is known, else the one whose names fit the family's others."""
    if found.family is not None:
        there = standard(found.family).get(place)
        if there is not None:
            return there[0]
    original = found.family is not None and any(
        key.startswith("lora_unet_input_blocks_") for key, _ in standard(found.family).values()
    )
    return kohya_name(place, two_encoders, original)
