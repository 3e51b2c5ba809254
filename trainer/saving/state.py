"""The full state of a run: adapter, optimizer, loss scale, early-stopping memory. One safetensors file with JSON in its
metadata: nothing in it can run code, and it is there whole or not at all.

No random state is in it: all randomness is a function of seed and step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from trainer.contract import checkpoints
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import RunDir

from .tensors import DTYPES, TensorFile

OF_THE_PRESET = ("base_lr", "told_lr", "last_step", "weight_decay")
"""Options of an optimizer's groups that follow from settings which may change while the run rests."""

PLAIN = (str, bool, int, float, type(None))


class Memory(Protocol):
    """Something that remembers over steps, in plain values."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class Averaged(Protocol):
    """A moving average of what is trained."""

    values: list[Tensor]

    def begin(self, values: Sequence[Tensor] | None) -> None: ...


@dataclass(frozen=True)
class Held:
    """What a state is taken of and given back to. `modules`: the adapter's, by key; `scaler`: None without fp16;
    `average`: None without one."""

    modules: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None
    stopping: Memory
    overflows: Memory | None = None
    average: Averaged | None = None


class Packer:
    """Takes the tensors out of a tree of plain values, tuples, lists and dicts: the rest is JSON.

    A tensor that occurs twice is kept once. `beside`: it lies on its parameter's device; else in main memory."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}
        self._storages: set[int] = set()
        self._alive: list[Tensor] = []  # or another tensor could get the id of one that is gone

    def pack(self, value: Any, name: str, home: torch.device) -> Any:
        """The JSON of `value`; its tensors are named after `name`. TypeError for what cannot be kept."""
        if isinstance(value, Tensor):
            return {"tensor": self._keep(value, name), "beside": value.device == home}
        if isinstance(value, dict):
            if not all(isinstance(key, (str, int)) for key in value):
                raise TypeError(f"{name} has keys that are neither text nor whole numbers")
            return {"dict": [[key, self.pack(item, f"{name}.{key}", home)] for key, item in value.items()]}
        if isinstance(value, (list, tuple)):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return {kind: [self.pack(item, f"{name}.{i}", home) for i, item in enumerate(value)]}
        if isinstance(value, PLAIN):
            return value
        raise TypeError(f"{name} is a {type(value).__name__}, which a state cannot hold")

    def _keep(self, value: Tensor, name: str) -> str:
        if id(value) not in self._names:
            if value.dtype not in DTYPES:
                raise TypeError(f"{name} is in {value.dtype}, which a state cannot hold")
            kept = value.detach().to("cpu").contiguous()
            storage = kept.untyped_storage().data_ptr()
            self.tensors[name] = kept.clone() if storage in self._storages else kept  # a file holds no shared memory
            self._storages.add(storage)
            self._names[id(value)] = name
            self._alive.append(value)
        return self._names[id(value)]


class Unpacker:
    """Puts a packed tree together again, each tensor on a device of its own memory."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self._made: dict[tuple[str, torch.device], Tensor] = {}

    def unpack(self, tree: Any, home: torch.device) -> Any:
        """The value that was packed. ValueError where the tree is none."""
        if isinstance(tree, PLAIN):
            return tree
        if "tensor" in tree:
            return self._make(tree["tensor"], home if tree["beside"] else torch.device("cpu"))
        if "dict" in tree:
            return {key: self.unpack(item, home) for key, item in tree["dict"]}
        for name, kind in (("tuple", tuple), ("list", list)):
            if name in tree:
                return kind(self.unpack(item, home) for item in tree[name])
        raise ValueError("a damaged state: an entry of unknown kind")

    def _make(self, name: str, device: torch.device) -> Tensor:
        if (name, device) not in self._made:
            self._made[name, device] = self._tensors[name].to(device, copy=True)
        return self._made[name, device]


def write_state(run: RunDir, step: int, held: Held, recipe: Mapping[str, Any]) -> Path:
    """Write the state after `step` and remove older ones; returns the file.

    `recipe`: plain values that say what is trained. The events up to `step` must have been told. The parameters must be
    those that are trained, not an average for use."""
    packer, cpu = Packer(), torch.device("cpu")
    packer.pack(_adapter(held.modules), "adapter", cpu)
    facts = {
        "format": 1,
        "step": step,
        "events_bytes": run.events_bytes(),
        "recipe": dict(recipe),
        "optimizer": _optimizer_tree(held.optimizer, packer),
        "scaler": packer.pack(held.scaler.state_dict(), "scaler", cpu) if held.scaler else None,
        "stopping": packer.pack(held.stopping.state(), "stopping", cpu),
        "overflows": packer.pack(held.overflows.state(), "overflows", cpu) if held.overflows else None,
        "average": packer.pack(held.average.values, "average", cpu) if held.average else None,
    }
    path = checkpoints.path_of(run, step)
    content = TensorFile(packer.tensors, {checkpoints.FACTS: json.dumps(facts)})
    run.put(path, content, then=lambda: checkpoints.prune(run))
    return path


def read_state(path: Path, held: Held) -> int:
    """Give the state in `path` back to what `held` holds; returns its step.

    Problems where it is a state of something else; then nothing has been changed."""
    facts = checkpoints.read_facts(path)
    tensors = load_file(path)
    _check_fit(facts, tensors, held, path)
    unpacker, cpu = Unpacker(tensors), torch.device("cpu")
    with torch.no_grad():
        for name, value in _adapter(held.modules).items():
            value.copy_(tensors[f"adapter.{name}"])
    _restore_optimizer(held.optimizer, facts["optimizer"], unpacker)
    if held.scaler:
        held.scaler.load_state_dict(unpacker.unpack(facts["scaler"], cpu))
    held.stopping.restore(unpacker.unpack(facts["stopping"], cpu))
    if held.overflows and facts.get("overflows"):  # an older version did not keep them
        held.overflows.restore(unpacker.unpack(facts["overflows"], cpu))
    if held.average:
        held.average.begin(unpacker.unpack(facts["average"], cpu) if facts.get("average") else None)
    return int(facts["step"])


def _adapter(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The values themselves, by module and name."""
    found = ((key, module.state_dict(keep_vars=True)) for key, module in modules.items())
    return {f"{key}.{name}": value for key, values in found for name, value in values.items()}


def _check_fit(facts: dict[str, Any], tensors: Mapping[str, Tensor], held: Held, path: Path) -> None:
    wanted = {f"adapter.{name}": value.shape for name, value in _adapter(held.modules).items()}
    given = {name: value.shape for name, value in tensors.items() if name.startswith("adapter.")}
    kind, count = type(held.optimizer).__name__, len(_parameters(held.optimizer))
    same = (facts["optimizer"]["kind"], len(facts["optimizer"]["state"])) == (kind, count)
    if wanted != given or not same or (facts["scaler"] is None) != (held.scaler is None):
        why = f"{path.name} does not fit what would be trained now"
        raise Problems([Problem("network", why, "start a new run: the program or its packages have changed")])


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value for group in optimizer.param_groups for value in group["params"]]


def _optimizer_tree(optimizer: torch.optim.Optimizer, packer: Packer) -> dict[str, Any]:
    """Group by group and parameter by parameter; what an optimizer keeps in its groups counts as much."""
    groups, states = [], []
    for i, group in enumerate(optimizer.param_groups):
        options = {name: value for name, value in group.items() if name != "params"}
        groups.append(packer.pack(options, f"group.{i}", group["params"][0].device))
    for i, value in enumerate(_parameters(optimizer)):
        states.append(packer.pack(dict(optimizer.state.get(value, {})), f"state.{i}", value.device))
    return {"kind": type(optimizer).__name__, "groups": groups, "state": states}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tree: dict[str, Any], unpacker: Unpacker) -> None:
    """Straight into `state` and `param_groups`: `load_state_dict` would turn whole numbers and halves into float32.
    What the preset says of now is kept: it may have been changed since."""
    for group, packed in zip(optimizer.param_groups, tree["groups"], strict=True):
        said = {name: group[name] for name in OF_THE_PRESET if name in group}
        group.update(unpacker.unpack(packed, group["params"][0].device) | said)
    optimizer.state.clear()
    for value, packed in zip(_parameters(optimizer), tree["state"], strict=True):
        state = unpacker.unpack(packed, value.device)
        if state:
            optimizer.state[value] = state
