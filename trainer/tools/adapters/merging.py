"""Merge adapters: the weighted sum of their updates, exact by putting ranks side by side, or cut down to a rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from trainer.contract.adapter_tasks import Merge, Result
from trainer.contract.problems import Problem, Problems
from trainer.contract.tasks import Done
from trainer.plan.adapters.facts import size_of
from trainer.plan.adapters.look import Layer, Look, look
from trainer.plan.adapters.names import Place

from .describing import mark, metadata_of
from .inspecting import shape_of
from .low_rank import of_matrix, of_product
from .stream import DTYPES, FLOATS, FORMATS, Spool
from .updates import ADDED, OF_LORA, factors, kernel_of, refuse, update_of, values_of
from .work import Work, output, stoppable

Piece = tuple[Look, Layer, float]
"""A layer's part in one of the files, and its weight."""


def _work(work: Work) -> Done:
    task = cast(Merge, work.task)
    looks = read_all(task.adapters)
    weights = weights_of(task.weights, len(looks), "weights")
    can = ADDED if task.rank else OF_LORA
    for one in looks:
        refuse(one, can, "be merged with others" + ("" if task.rank else " exactly"), _FIX if not task.rank else "")
    same_base(looks)
    path = output(task, task.adapters[0], "merged")
    pieces = collect(looks, weights)
    dtype, device = format_of(looks, task.precision), work.device()
    ranks: dict[str, int] = {}
    wide = set()
    with Spool(path) as spool:
        for number, (key, parts) in enumerate(pieces.items()):
            work.at("merging layers", number, len(pieces))
            most = (task.conv_rank or task.rank) if any(layer.wide for _, layer, _ in parts) else task.rank
            ranks[key], kernel = _put_merged(spool, key, parts, most, device, dtype)
            wide |= {key} if max(kernel, default=1) > 1 else set()
        made = {"merged": [[mark(one), weight] for one, weight in zip(looks, weights)], "rank": task.rank}
        size = spool.write(metadata_of(looks, ranks, wide, made, path))
    exact = "exactly, ranks side by side" if not task.rank else f"to rank {task.rank}"
    facts = (("Layers", str(len(pieces))), ("Size", size_of(size)), ("Merged", exact))
    return work.done(Result(headline=f"{len(looks)} adapters merged", facts=facts, file=str(path), adapter=True))


work = stoppable(_work)

_FIX = "give a rank: it is then approximated as a LoRA"


def read_all(paths: Sequence[str]) -> list[Look]:
    """The files. Problems names all that cannot be used."""
    problems: list[Problem] = []
    looks = []
    for path in paths:
        try:
            looks.append(look(path, "adapters"))
        except Problems as error:
            problems += error.problems
    if not paths:
        problems.append(Problem("adapters", "no file is chosen", "choose at least one"))
    if problems:
        raise Problems(problems)
    return looks


def weights_of(given: Sequence[float], count: int, setting: str) -> list[float]:
    """A number for each file."""
    if given and len(given) != count:
        raise Problems([Problem(setting, f"{len(given)} numbers for {count} files", "give one for each, or none")])
    return list(given) or [1.0] * count


def same_base(looks: Sequence[Look]) -> None:
    """Problems where files are for different families."""
    names = {one.family.name for one in looks if one.family is not None}
    if len(names) > 1:
        told = ", ".join(f"{one.file.path.name} is for {one.family.name if one.family else '?'}" for one in looks)
        raise Problems([Problem("adapters", f"they are for different models: {told}", "merge those of one", "data")])


def collect(looks: Sequence[Look], weights: Sequence[float]) -> dict[str, list[Piece]]:
    """Key of the new file -> the parts of its update. Layers that are the same place in a model are one, whatever the
    names of each file; the first file's names are kept."""
    keys: dict[Place | str, str] = {}
    found: dict[str, list[Piece]] = {}
    for one, weight in zip(looks, weights):
        for layer in one.layers:
            key = keys.setdefault(layer.place or layer.name, layer.name)
            found.setdefault(key, []).append((one, layer, weight))
    return found


def format_of(looks: Sequence[Look], precision: str) -> torch.dtype:
    """The number format of the new file."""
    if precision != "as it is":
        return DTYPES[FORMATS[precision]]
    there = {stored.dtype for one in looks for stored in one.file.tensors.values()}
    return DTYPES[next((name for name in FLOATS if name in there), "F32")]


def _put_merged(
    spool: Spool, key: str, parts: Sequence[Piece], most: int, device: torch.device, dtype: torch.dtype
) -> tuple[int, tuple[int, ...]]:
    """Write the sum of a layer's parts; its rank and kernel. Nothing of it is left in memory."""
    up, down, kernel = _merged(parts, most, device)
    put(spool, key, up, down, kernel, dtype)
    return up.shape[1], kernel


def _merged(parts: Sequence[Piece], most: int, device: torch.device) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Up [O, R], down [R, I x area] and the kernel of the sum of a layer's parts, at rank `most` or exact for 0."""
    ups, downs, rest, kernel = _parts(parts, device)
    sizes = {(up.shape[0], down.shape[1]) for up, down in zip(ups, downs)} | (
        {tuple(rest.shape)} if rest is not None else set()
    )
    if len(sizes) > 1:
        raise _unlike(parts[0][1], sizes)
    if rest is not None:
        for up, down in zip(ups, downs):
            rest.addmm_(up, down)
        return *of_matrix(rest).cut(most), kernel
    if most and most < sum(up.shape[1] for up in ups):
        return *of_product(_joined(ups, 1), _joined(downs, 0)).cut(most), kernel
    return _joined(ups, 1), _joined(downs, 0), kernel


def _unlike(layer: Layer, sizes: set[tuple[int, ...]]) -> Problems:
    why = f"{layer.name} has different sizes in these files: {sorted(sizes)}"
    return Problems([Problem("adapters", why, "merge adapters of one base model", "data")])


def _joined(halves: list[Tensor], side: int) -> Tensor:
    """All of them side by side; the list is emptied, so that none is kept twice."""
    whole = torch.cat(halves, dim=side)
    halves.clear()
    return whole


def _parts(
    parts: Sequence[Piece], device: torch.device
) -> tuple[list[Tensor], list[Tensor], Tensor | None, tuple[int, ...]]:
    """Ups and downs of a layer's LoRAs at their weights, the sum of all other updates [O, I x area], and the kernel.
    Problems where those others are not of one size."""
    ups, downs = [], []
    kernel: tuple[int, ...] = ()
    rest: Tensor | None = None
    for one, layer, weight in parts:
        if layer.kind in OF_LORA:
            values = values_of(one, layer, device)
            up, down = factors(layer, values)
            ups.append(up.mul_(weight))
            downs.append(down)
            kernel = kernel_of(values)
        else:
            shape = shape_of(one, layer)
            update = update_of(one, layer, torch.empty(shape, device=device)).mul_(weight).flatten(1)
            if rest is not None and rest.shape != update.shape:
                raise _unlike(layer, {tuple(rest.shape), tuple(update.shape)})
            rest = update if rest is None else rest.add_(update)
            kernel = tuple(shape[2:]) or kernel
            del update
    return ups, downs, rest, kernel


def put(spool: Spool, key: str, up: Tensor, down: Tensor, kernel: tuple[int, ...], dtype: torch.dtype) -> None:
    """A layer at scale 1 (alpha = rank) under the endings that its key's layout has."""
    rank = up.shape[1]
    ends = endings(key)
    area = kernel or ()
    shape = (rank, -1, *area) if area else (rank, -1)
    spool.put(f"{key}.{ends[0]}", down.reshape(shape).to(dtype))
    spool.put(f"{key}.{ends[1]}", (up.reshape(-1, rank, 1, 1) if area else up).to(dtype))
    if len(ends) == 3:
        alpha = torch.tensor(float(rank))
        spool.put(f"{key}.{ends[2]}", alpha.to(dtype) if float(alpha.to(dtype)) == rank else alpha)


def endings(key: str) -> tuple[str, ...]:
    """Names of down, up and (where the layout has one) alpha behind a layer's name."""
    if key.startswith(("unet.", "text_encoder", "base_model.")):
        return "lora_A.weight", "lora_B.weight"
    return "lora_down.weight", "lora_up.weight", "alpha"
