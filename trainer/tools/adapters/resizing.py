"""Resize: a LoRA at another rank, the same for all layers or found for each."""

from __future__ import annotations

from collections import Counter
from typing import cast

import torch
from torch import Tensor

from trainer.contract.adapter_tasks import Resize, Result
from trainer.contract.problems import Problem, Problems
from trainer.contract.tasks import Done
from trainer.plan.adapters.facts import size_of
from trainer.plan.adapters.look import Layer, Look, look

from .describing import mark, metadata_of
from .low_rank import Singular, of_product, rank_kept
from .merging import format_of, put
from .stream import Spool, read
from .updates import factors, kernel_of, refuse, values_of
from .work import Work, output, stoppable


def _work(work: Work) -> Done:
    task = cast(Resize, work.task)
    found = look(task.adapter)
    refuse(found, ("LoRA", "LoCon", "DoRA"), "be resized", "merge it with a rank: it is then approximated as a LoRA")
    _check(task)
    path = output(task, task.adapter, f"rank{task.rank}" if task.method == "rank" else f"{task.method}{task.amount:g}")
    device, dtype = work.device(), format_of([found], task.precision)
    ranks: dict[str, int] = {}
    wide, kept, whole = set(), 0.0, 0.0
    with Spool(path) as spool:
        for number, layer in enumerate(found.layers):
            work.at("resizing layers", number, len(found.layers))
            squares, rank = _resized(found, layer, task, device, dtype, spool)
            kept, whole = kept + float(squares[:rank].sum()), whole + float(squares.sum())
            ranks[layer.name] = rank
            wide |= {layer.name} if layer.wide else set()
        made = {"resized": [mark(found), task.method, task.rank if task.method == "rank" else task.amount]}
        size = spool.write(metadata_of([found], ranks, wide, made, path))
    share = (kept / whole) ** 0.5 if whole else 1.0
    counts = ", ".join(f"{rank} ({count})" for rank, count in sorted(Counter(ranks.values()).items())[:12])
    facts = (
        ("Ranks (layers)", counts),
        ("Kept of the update's norm", f"{share:.2%}"),
        ("Size", f"{size_of(size)}, before {size_of(found.file.path.stat().st_size)}"),
    )
    headline = f"resized: {share:.1%} of the norm kept"
    return work.done(Result(headline=headline, facts=facts, file=str(path), adapter=True))


work = stoppable(_work)


def _resized(
    found: Look, layer: Layer, task: Resize, device: torch.device, dtype: torch.dtype, spool: Spool
) -> tuple[Tensor, int]:
    """Write a layer at its new rank; the squares of its singular values, and that rank."""
    singular, kernel = _singular(found, layer, device)
    most = (task.conv_rank or task.rank) if layer.wide else task.rank
    rank = rank_kept(singular.values_R, task.method, task.amount, most)
    up, down = singular.cut(rank)
    put(spool, layer.name, up, down, kernel, dtype)
    if "dora" in layer.tensors:
        name = layer.tensors["dora"]
        spool.put(name, read(found.file, name))
    return singular.values_R.double().square(), up.shape[1]


def _singular(found: Look, layer: Layer, device: torch.device) -> tuple[Singular, tuple[int, ...]]:
    """A layer's singular values and its kernel; its own tensors are let go."""
    values = values_of(found, layer, device)
    return of_product(*factors(layer, values)), kernel_of(values)


def _check(task: Resize) -> None:
    if task.method in ("cumulative", "Frobenius") and task.amount > 1:
        raise Problems([Problem("amount", f"{task.amount:g} is no share", "write one from 0 to 1, for example 0.9")])
    if task.method == "ratio" and task.amount < 1:
        raise Problems([Problem("amount", f"a ratio of {task.amount:g} keeps nothing", "write 2 to 20")])
