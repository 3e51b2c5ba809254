"""Extract: the difference of two checkpoints, layer by layer, as the closest LoRA of a rank."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from trainer.contract.adapter_tasks import Extract, Result
from trainer.contract.families import by_name
from trainer.contract.families.base import Family
from trainer.contract.families.base import Layer as FamilyLayer
from trainer.contract.families.recognise import recognise, untrained
from trainer.contract.problems import Problem, Problems
from trainer.contract.tasks import Done
from trainer.plan.adapters.facts import size_of
from trainer.plan.adapters.names import place_of

from .describing import network, of_family, told
from .low_rank import of_matrix
from .merging import put
from .stream import DTYPES, FORMATS, Checkpoint, Spool, hashed
from .work import Work, output, stoppable


def _work(work: Work) -> Done:
    task = cast(Extract, work.task)
    base, tuned = Checkpoint(task.base, "base"), Checkpoint(task.tuned, "tuned")
    family = _family(task)
    wanted = [
        layer
        for layer in family.layers(base.header)
        if (layer.part == "unet" or task.text_encoder) and (task.conv_rank or not layer.residual)
    ]
    path = output(task, task.tuned, "extracted")
    device = work.device()
    ranks: dict[str, int] = {}
    wide, same, missing = set(), 0, []
    with Spool(path) as spool:
        for number, layer in enumerate(wanted):
            work.at("comparing layers", number, len(wanted))
            pair = _pair(base, tuned, layer)
            if pair is None:
                missing.append(layer.key)
                continue
            rank, convolution = _put_extracted(spool, layer.key, _difference(base, tuned, pair).to(device), task)
            if not rank:
                same += 1
                continue
            ranks[layer.key] = rank
            wide |= {layer.key} if convolution else set()
        if not ranks:
            why = f"no layer of {tuned.path.name} differs by more than {task.min_diff:g}"
            raise Problems([Problem("tuned", why, "choose another file, or a smaller difference", "model")])
        made = {"extracted": {"rank": task.rank, "conv_rank": task.conv_rank, "min_diff": task.min_diff}}
        pairs = {**of_family(family), **network(ranks, wide), "modelspec.title": path.stem, **told(made)}
        size = spool.write(hashed(pairs))
    facts = (("Layers", str(len(ranks))), ("Left out, no difference", str(same)), ("Size", size_of(size)))
    notes = (f"{len(missing)} layers are in one of the files only, {missing[0]} for one",) if missing else ()
    headline = f"LoRA of {len(ranks)} layers extracted"
    return work.done(Result(headline=headline, facts=facts, notes=notes, file=str(path), adapter=True))


work = stoppable(_work)


def _put_extracted(spool: Spool, key: str, difference: Tensor, task: Extract) -> tuple[int, bool]:
    """Write a layer; its rank (0: it does not differ, nothing is written), and whether it is a wide convolution."""
    low, high = difference.aminmax()
    if max(-float(low), float(high)) <= task.min_diff:
        return 0, False
    kernel = tuple(difference.shape[2:])
    convolution = max(kernel, default=1) > 1
    up, down = of_matrix(difference.flatten(1)).cut(task.conv_rank if convolution else task.rank)
    put(spool, key, up, down, kernel, DTYPES[FORMATS[task.precision]])
    return up.shape[1], convolution


def _family(task: Extract) -> Family:
    """The family of both. Problems where they are not of the same."""
    base, tuned = recognise(task.base), recognise(task.tuned)
    problems = [untrained(path, found) for path, found in ((task.base, base), (task.tuned, tuned)) if not found.trained]
    if not problems and base.family != tuned.family:
        why = f"the base is {base.family}, the tuned one {tuned.family}"
        problems = [Problem("tuned", why, "choose two of one family", "model")]
    if problems:
        raise Problems(problems)
    return by_name(base.family)


Found = tuple[str, int | None]


def _pair(base: Checkpoint, tuned: Checkpoint, layer: FamilyLayer) -> tuple[Found, Found] | None:
    place = place_of(layer.key)
    if place is None or place not in base.places or place not in tuned.places:
        return None
    return base.places[place], tuned.places[place]


def _difference(base: Checkpoint, tuned: Checkpoint, pair: tuple[Found, Found]) -> Tensor:
    one, other = (_rows(model, *found) for model, found in zip((base, tuned), pair))
    if one.shape != other.shape and one.numel() == other.numel():
        one = one.reshape(other.shape)  # 1x1 convolutions are kept as matrices in some files
    if one.shape != other.shape:
        why = f"{pair[1][0]} is {tuple(other.shape)}, in the base {tuple(one.shape)}"
        raise Problems([Problem("tuned", why, "choose two checkpoints of one family", "model")])
    return other.sub_(one)


def _rows(model: Checkpoint, name: str, third: int | None) -> Tensor:
    whole = model.read(name)
    rows = whole.shape[0] // 3
    part = whole if third is None else whole[third * rows : (third + 1) * rows].clone()
    return part.to(torch.float32)
