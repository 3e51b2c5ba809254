"""Full states: every optimizer of the catalog goes on exactly from a file that holds tensors and JSON only."""

from __future__ import annotations

import copy
import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainer.contract import catalog, checkpoints, settings
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir, write_whole
from trainer.optim.optimizers import Group, make_optimizer, weights_for_use
from trainer.saving.state import Held, Packer, Unpacker, read_state, write_state
from trainer.validation.stopping import EarlyStopping

ROWS = pytest.mark.parametrize("entry", catalog.OPTIMIZERS, ids=lambda entry: entry.name)
SIDE, RANK = 96, 64
"""So large that the 8-bit optimizers do work in 8 bits."""
CPU = torch.device("cpu")


class Toy:
    """Two groups of parameters, an optimizer, and what else a state holds."""

    def __init__(self, entry: catalog.Optimizer) -> None:
        generator = torch.Generator().manual_seed(0)
        self.layers = nn.ModuleDict({"a": nn.Linear(SIDE, RANK, bias=False), "b": nn.Linear(RANK, SIDE, bias=False)})
        for value in self.layers.parameters():
            value.data = torch.randn(value.shape, generator=generator) * 0.1
        self.inputs = torch.randn((8, SIDE), generator=generator)
        module, name = entry.target.split(":")
        groups = [Group(name, list(self.layers[name].parameters()), entry.rate) for name in ("a", "b")]
        chosen = settings.Optimizer(name=entry.name, learning_rate=entry.rate)
        self.optimizer = make_optimizer(getattr(importlib.import_module(module), name), entry, groups, chosen)
        self.stopping = EarlyStopping(3)

    @property
    def held(self) -> Held:
        return Held(self.layers, self.optimizer, None, self.stopping)

    def run(self, steps: int) -> list[float]:
        losses = []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Paged optimizers")
            for _ in range(steps):
                loss = (self.layers["b"](self.layers["a"](self.inputs)) - self.inputs).square().mean()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                losses.append(loss.item())
        return losses

    def values(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.layers.named_parameters()}


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "state")


def same(a: Any, b: Any) -> bool:
    """Whether two trees agree in kind, format and every bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@ROWS
def test_every_optimizer_goes_on_exactly(entry: catalog.Optimizer, run: RunDir) -> None:
    whole, stopped = Toy(entry), Toy(entry)
    whole.run(4)
    stopped.run(4)
    path = write_state(run, 4, stopped.held, {})
    resumed = Toy(entry)
    assert read_state(path, resumed.held) == 4
    assert same(copy.deepcopy(resumed.optimizer.state_dict()), copy.deepcopy(stopped.optimizer.state_dict()))
    assert resumed.run(4) == whole.run(4)
    assert same(resumed.values(), whole.values())
    assert same(resumed.optimizer.state_dict(), whole.optimizer.state_dict())


@ROWS
def test_looking_at_the_weights_for_use_changes_no_bit(entry: catalog.Optimizer) -> None:
    quiet, watched = Toy(entry), Toy(entry)
    quiet.run(6)
    for _ in range(6):
        watched.run(1)
        with weights_for_use(watched.optimizer):
            pass
    assert same(quiet.values(), watched.values())


def test_eight_bit_averages_stay_in_eight_bits(run: RunDir) -> None:
    toy = Toy(catalog.optimizer("AdamW8bit"))
    toy.run(2)
    other = Toy(catalog.optimizer("AdamW8bit"))
    read_state(write_state(run, 2, toy.held, {}), other.held)
    kinds = {
        value.dtype for state in other.optimizer.state.values() for value in state.values() if torch.is_tensor(value)
    }
    assert torch.uint8 in kinds


def test_any_tree_comes_back_as_it_was() -> None:
    shared = torch.arange(3)
    tree = {
        "betas": (0.9, None),
        3: [True, 2, "x", 1e-300, {"deep": (shared, [shared])}],
        "half": torch.full((2, 2), 0.1, dtype=torch.bfloat16),
        "scalar": torch.tensor(0.1, dtype=torch.float64),
        "view": torch.arange(12.0).reshape(3, 4).t(),
        "empty": torch.zeros(0, dtype=torch.uint8),
        "infinite": float("inf"),
    }
    packer = Packer()
    packed = json.loads(json.dumps(packer.pack(tree, "tree", CPU)))
    back = Unpacker(packer.tensors).unpack(packed, CPU)
    assert same(back, tree)
    assert back[3][4]["deep"][0] is back[3][4]["deep"][1][0]
    assert back["scalar"].data_ptr() != tree["scalar"].data_ptr()


def test_what_cannot_be_kept_is_named() -> None:
    with pytest.raises(TypeError, match=r"group\.0\.hook is a function"):
        Packer().pack({"hook": lambda: None}, "group.0", CPU)


def test_the_loss_scale_and_the_memory_of_early_stopping_come_back(run: RunDir) -> None:
    entry = catalog.optimizer("AdamW")
    toy, other = Toy(entry), Toy(entry)
    toy.run(1)
    scalers = [torch.amp.GradScaler("cpu", init_scale=scale) for scale in (1024.0, 65536.0)]
    for scaler in scalers:
        scaler.scale(torch.ones(1))
    toy.stopping.add(1, 0.25)
    toy.stopping.add(2, 0.5)
    path = write_state(run, 2, Held(toy.layers, toy.optimizer, scalers[0], toy.stopping), {})
    read_state(path, Held(other.layers, other.optimizer, scalers[1], other.stopping))
    assert scalers[1].state_dict() == scalers[0].state_dict() and scalers[1].get_scale() == 1024.0
    assert other.stopping.state() == {"lowest": 0.25, "lowest_step": 1, "waited": 1}


@pytest.mark.parametrize("left", [0, 7, 5000, -1])
def test_a_state_that_is_cut_short_gives_way_to_the_one_before(run: RunDir, left: int) -> None:
    toy = Toy(catalog.optimizer("AdamW"))
    toy.run(1)
    older, newer = write_state(run, 9, toy.held, {}), write_state(run, 10, toy.held, {})
    assert checkpoints.newest(run).path == newer
    newer.write_bytes(newer.read_bytes()[:left])
    assert checkpoints.newest(run).path == older


def test_only_the_last_two_are_kept_and_nothing_else_lies_there(run: RunDir) -> None:
    toy = Toy(catalog.optimizer("AdamW"))
    for step in (1, 2, 30):
        toy.run(1)
        write_state(run, step, toy.held, {})
    names = sorted(path.name for path in run.checkpoints.iterdir())
    assert names == ["state-step00000002.safetensors", "state-step00000030.safetensors"]


def test_a_failed_write_leaves_no_trace(run: RunDir) -> None:
    toy = Toy(catalog.optimizer("AdamW"))
    toy.run(1)
    write_state(run, 1, toy.held, {})
    toy.optimizer.param_groups[0]["hook"] = print
    with pytest.raises(TypeError):
        write_state(run, 2, toy.held, {})
    assert [path.name for path in run.checkpoints.iterdir()] == ["state-step00000001.safetensors"]


def test_a_state_of_something_else_is_refused_and_changes_nothing(run: RunDir) -> None:
    toy, other = Toy(catalog.optimizer("AdamW")), Toy(catalog.optimizer("Lion"))
    toy.run(1)
    before = other.values()
    with pytest.raises(Problems, match="does not fit"):
        read_state(write_state(run, 1, toy.held, {}), other.held)
    assert same(other.values(), before)


def test_a_file_of_another_kind_is_no_state(run: RunDir) -> None:
    import pickle

    write_whole(checkpoints.path_of(run, 5), pickle.dumps({"step": 5}))
    assert checkpoints.newest(run) is None
    sources = [Path(module.__file__).read_text(encoding="utf-8") for module in (checkpoints, _state_module())]
    assert not any("pickle" in text or "torch.load" in text or "torch.save" in text for text in sources)


def _state_module() -> Any:
    return importlib.import_module("trainer.saving.state")
