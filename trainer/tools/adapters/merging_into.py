"""Merge into a checkpoint: a single file, or a diffusers folder whose other files are copied as they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from trainer.contract.adapter_tasks import MergeInto, Result
from trainer.contract.problems import Problem, Problems
from trainer.contract.tasks import Done
from trainer.plan.adapters.facts import size_of
from trainer.plan.adapters.look import Layer, Look
from trainer.plan.adapters.tensorfile import Stored

from .merging import read_all, same_base, weights_of
from .stream import DTYPES, FLOATS, FORMATS, Checkpoint, Writer
from .updates import FIXED, KINDS, refuse, update_of
from .work import Work, output, stoppable


@dataclass(frozen=True)
class Change:
    """What an adapter's layer does to a tensor of the checkpoint: `third` of its rows, or all of them for None."""

    look: Look
    layer: Layer
    strength: float
    third: int | None


def _work(work: Work) -> Done:
    task = cast(MergeInto, work.task)
    looks = read_all(task.adapters)
    strengths = weights_of(task.strengths, len(looks), "strengths")
    for one in looks:
        refuse(one, KINDS, "be merged into a checkpoint")
    same_base(looks)
    model = Checkpoint(task.model)
    changes, unused = changes_of(model, looks, strengths)
    path = output(task, task.model, "merged", "" if model.folder else ".safetensors")
    device, merge = work.device(), _Merge(model, changes, task.precision, work)
    size = merge.folder(path, device) if model.folder else merge.file("", path, device)
    notes = [
        f"{one.file.path.name}: {len(layers)} layers are not in this checkpoint and are left out, {layers[0]} for one"
        for one, layers in unused
        if layers
    ]
    facts = (("Changed tensors", str(len(changes))), ("Size", size_of(size)))
    headline = f"{len(looks)} adapter{'s' * (len(looks) > 1)} merged into {model.path.name}"
    return work.done(Result(headline=headline, facts=facts, notes=tuple(notes), file=str(path)))


work = stoppable(_work)


def changes_of(
    model: Checkpoint, looks: Sequence[Look], strengths: Sequence[float]
) -> tuple[dict[str, list[Change]], list[tuple[Look, list[str]]]]:
    """Tensor of the checkpoint -> what changes it; and each file's layers that have no place in it. Problems where a
    file has nothing to do with the checkpoint."""
    changes: dict[str, list[Change]] = {}
    unused, problems = [], []
    for one, strength in zip(looks, strengths):
        left = []
        for layer in one.layers:
            found = find(model, layer)
            if found is None:
                left.append(layer.name)
                continue
            changes.setdefault(found[0], []).append(Change(one, layer, strength, found[1]))
        unused.append((one, left))
        if len(left) > len(one.layers) / 2:
            why = f"{len(left)} of {len(one.layers)} layers of {one.file.path.name} are not in {model.path.name}"
            problems.append(Problem("model", why, "choose a checkpoint of the kind that it was trained on", "model"))
    if problems:
        raise Problems(problems)
    return changes, unused


def find(model: Checkpoint, layer: Layer) -> tuple[str, int | None] | None:
    """The checkpoint's tensor that a layer changes, and which third of its rows."""
    return model.places.get(layer.place) if layer.place is not None else None


class _Merge:
    def __init__(self, model: Checkpoint, changes: Mapping[str, list[Change]], precision: str, work: Work) -> None:
        self._model, self._changes, self._work = model, changes, work
        self._format = FORMATS.get(precision, "")
        self._done = 0

    def folder(self, path: Path, device: torch.device) -> int:
        """The diffusers folder with its changed parts; other files are copied. Written beside, then put in place."""
        beside = path.with_name(f".{path.name}.tmp")
        if beside.exists():
            shutil.rmtree(beside)
        weights = {file.path.resolve() for file in self._model.files.values()}
        try:
            shutil.copytree(self._model.path, beside, ignore=_without(weights))
            size = sum(self._part(part, beside, device) for part in self._model.files)
            old = path.with_name(f".{path.name}.old")
            if path.exists():
                path.rename(old)
            beside.rename(path)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return size

    def _part(self, part: str, root: Path, device: torch.device) -> int:
        source = self._model.files[part].path
        return self.file(part, root / source.relative_to(self._model.path), device)

    def file(self, part: str, path: Path, device: torch.device) -> int:
        """One weight file; returns its size."""
        source = self._model.files[part]
        announced = {name: self._stored(stored) for name, stored in source.tensors.items()}
        with Writer(path, announced, _metadata(source.metadata)) as writer:
            for name, stored in source.tensors.items():
                self._work.at("merging tensors", self._done, len(self._model.tensors))
                self._done += 1
                full = f"{part}.{name}" if part else name
                if full in self._changes:
                    writer.put(name, self._merged(full, device).to(DTYPES[announced[name].dtype]))
                elif announced[name].dtype == stored.dtype:
                    writer.copy(source, name, name)
                else:
                    writer.put(name, self._model.read(full).to(DTYPES[announced[name].dtype]))
        return writer.size

    def _stored(self, stored: Stored) -> Stored:
        changed = self._format and stored.dtype in FLOATS
        return Stored(self._format if changed else stored.dtype, stored.shape)

    def _merged(self, name: str, device: torch.device) -> Tensor:
        """The tensor with all updates, each of the weight as it is before any of them: order does not matter."""
        weight = self._model.read(name).to(device, torch.float32)
        changes = self._changes[name]
        before = weight.clone() if any(change.layer.kind not in FIXED for change in changes[1:]) else weight
        for change in changes:
            third = weight.shape[0] // 3
            rows = slice(None) if change.third is None else slice(change.third * third, (change.third + 1) * third)
            update = update_of(change.look, change.layer, _checked(before[rows], change))
            weight[rows] += update.mul_(change.strength)
            del update
        return weight


def _checked(weight: Tensor, change: Change) -> Tensor:
    size = change.layer.size
    if size is not None and size != (weight.shape[0], weight[0].numel()):
        name = change.look.file.path.name
        why = f"{change.layer.name} of {name} is for a weight of {size}, the checkpoint's is {tuple(weight.shape)}"
        raise Problems([Problem("model", why, "choose a checkpoint of the kind that it was trained on", "model")])
    return weight


def _metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """A checkpoint's own metadata; hashes of its tensors are no longer true."""
    return {name: text for name, text in metadata.items() if "hash" not in name.lower()}


def _without(weights: set[Path]) -> Callable[[str, list[str]], list[str]]:
    """For `copytree`: leave out the weights that are written anew."""

    def ignore(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if (Path(folder) / name).resolve() in weights]

    return ignore
