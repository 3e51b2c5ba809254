"""Verify: numbers that are none, tensors that do nothing or are missing, names and shapes of no model, the hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import torch

from trainer.contract.adapter_tasks import Result, Verify
from trainer.contract.tasks import Done
from trainer.plan.adapters.facts import facts, readers
from trainer.plan.adapters.look import Layer, Look, flat, look, standard
from trainer.plan.adapters.tensorfile import TensorFile

from .merging_into import find
from .stream import BLOCK, FLOATS, Checkpoint, read
from .work import Work, stoppable

Sizes = Mapping[str, tuple[int, int]]


def _work(work: Work) -> Done:
    task = cast(Verify, work.task)
    found = look(task.adapter)
    model = Checkpoint(task.model) if task.model.strip() else None
    faults = [*_parts(found), *_places(found, model)]
    broken, zero = _values(found, work)
    work.at("reading the hash")
    faults += broken + _hash(found.file)
    notes = [f"{len(zero)} layers change nothing: {zero[0]} for one"] if zero else []
    if model is None and found.family is not None:
        notes.append(f"shapes were compared with the standard size of {found.family.name}")
    notes += readers(found)
    headline = "nothing is wrong with it" if not faults else f"{len(faults)} thing{'s' * (len(faults) > 1)} wrong"
    result = Result(
        headline=headline,
        facts=tuple(facts(found)),
        faults=tuple(faults),
        notes=tuple(notes),
        file=str(found.file.path.resolve()),
        adapter=not faults,
    )
    return work.done(result)


work = stoppable(_work)


def _several(names: list[str], said: str) -> list[str]:
    """One sentence for many of a kind."""
    return [f"{len(names)} {said}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"] if names else []


def _parts(found: Look) -> Iterator[str]:
    """Tensors that belong to nothing, layers that lack a half."""
    yield from _several(list(found.unknown), "tensors of no kind that is known here, or that lack their other half")
    if not found.layers:
        yield "there is no adapter layer in it"
    wrong = [layer.name for layer in found.layers if not _halves_fit(found, layer)]
    yield from _several(wrong, "layers whose matrices do not fit each other")


def _halves_fit(found: Look, layer: Layer) -> bool:
    if not {"down", "up"} <= set(layer.tensors):
        return True
    down, up = (found.file.tensors[layer.tensors[role]].shape for role in ("down", "up"))
    return len(up) > 1 and up[1] == down[0]


def _places(found: Look, model: Checkpoint | None) -> Iterator[str]:
    """Layers that are in no model of the family, or of another size there."""
    expected = _in_model(found, model) if model is not None else _in_family(found)
    where = model.path.name if model is not None else "any known family" if found.family is None else found.family.name
    lost = [layer.name for layer in found.layers if expected(layer) is None]
    yield from _several(lost, f"layers that are not in {where}")
    wrong = [
        f"{layer.name} is for {layer.size}, not {expected(layer)}"
        for layer in found.layers
        if layer.size is not None and expected(layer) not in (None, layer.size)
    ]
    yield from _several(wrong, "layers of the wrong size")


def _in_family(found: Look) -> Callable[[Layer], tuple[int, int] | None]:
    known = standard(found.family) if found.family is not None else {}

    def expected(layer: Layer) -> tuple[int, int] | None:
        there = known.get(layer.place) if layer.place is not None else None
        return flat(there[1]) if there is not None else None

    return expected


def _in_model(found: Look, model: Checkpoint) -> Callable[[Layer], tuple[int, int] | None]:
    def expected(layer: Layer) -> tuple[int, int] | None:
        there = find(model, layer)
        if there is None:
            return None
        outputs, inputs = flat(model.stored(there[0]).shape)
        return (outputs if there[1] is None else outputs // 3), inputs

    return expected


def _values(found: Look, work: Work) -> tuple[list[str], list[str]]:
    """What is wrong with the numbers; and layers that change nothing."""
    nan, infinite, zero = [], [], []
    for number, layer in enumerate(found.layers):
        work.at("reading tensors", number, len(found.layers))
        empty = []
        for role, name in layer.tensors.items():
            if found.file.tensors[name].dtype not in FLOATS:
                continue
            value = read(found.file, name)
            value = value.float() if value.element_size() < 2 else value
            if bool(torch.isnan(value).any()):
                nan.append(name)
            elif not bool(torch.isfinite(value).all()):
                infinite.append(name)
            if role not in ("alpha", "dora") and not bool(value.any()):
                empty.append(role)
        if empty and layer.kind not in ("OFT", "BOFT", "(IA)3", "GLoRA", "DoRA"):
            zero.append(layer.name)
    faults = _several(nan, "tensors with values that are no numbers (NaN)")
    return faults + _several(infinite, "tensors with infinite values"), zero


def _hash(file: TensorFile) -> list[str]:
    """Kohya's hash of the tensors, where the file carries one."""
    wanted = file.metadata.get("sshs_model_hash", "")
    if not wanted:
        return []
    digest = hashlib.sha256()
    with open(file.path, "rb") as opened:
        opened.seek(file.start)
        while block := opened.read(BLOCK):
            digest.update(block)
    return [] if digest.hexdigest() == wanted else ["its tensors are not those that its hash was made of"]
