"""Every optimizer of the catalog on a toy LoRA, and what is refused."""

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainer.contract import catalog, optimizer_table, settings
from trainer.contract.problems import Problems
from trainer.optim.optimizers import Group, applied_rates, make_optimizer, weights_for_use

ROWS = pytest.mark.parametrize("entry", catalog.OPTIMIZERS, ids=lambda entry: entry.name)
SIDE, RANK = 96, 64
"""So large that the 8-bit optimizers, which leave tensors below 4096 values alone, do work in 8 bits."""


class Toy:
    """A rank-64 update that has to find a low-rank difference, and a second group that has to shrink."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.wanted = torch.randn((SIDE, 4), generator=generator) @ torch.randn((4, SIDE), generator=generator) * 0.02
        self.down = nn.Parameter(torch.randn((RANK, SIDE), generator=generator) / SIDE**0.5)
        self.up = nn.Parameter(torch.zeros(SIDE, RANK))
        self.other = nn.Parameter(torch.randn((SIDE, RANK), generator=generator) * 0.1)

    def groups(self, rate: float) -> list[Group]:
        return [Group("unet", [self.down, self.up], rate), Group("text_encoder", [self.other], rate)]

    def loss(self) -> Tensor:
        return (self.up @ self.down - self.wanted).square().sum() + self.other.square().sum()


def resolve(entry: catalog.Optimizer) -> Callable[..., torch.optim.Optimizer]:
    module, name = entry.target.split(":")
    kind: Callable[..., torch.optim.Optimizer] = getattr(importlib.import_module(module), name)
    return kind


def make(entry: catalog.Optimizer, toy: Toy, **chosen: Any) -> torch.optim.Optimizer:
    options = settings.Optimizer(name=entry.name, learning_rate=entry.rate, **chosen)
    return make_optimizer(resolve(entry), entry, toy.groups(entry.rate), options)


def run(toy: Toy, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    losses = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Paged optimizers")
        for _ in range(steps):
            loss = toy.loss()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


@ROWS
def test_learns_at_its_own_default_rate(entry: catalog.Optimizer) -> None:
    toy = Toy()
    optimizer = make(entry, toy)
    first = toy.loss().item()
    run(toy, optimizer, 150)
    with weights_for_use(optimizer):
        last = toy.loss().item()
    assert last < 0.97 * first


@ROWS
def test_is_the_same_bit_for_bit_in_a_second_run(entry: catalog.Optimizer) -> None:
    first, second = Toy(), Toy()
    assert run(first, make(entry, first), 5) == run(second, make(entry, second), 5)
    for one, other in zip((first.down, first.up, first.other), (second.down, second.up, second.other)):
        assert torch.equal(one, other)


@ROWS
def test_its_state_has_the_stated_size(entry: catalog.Optimizer) -> None:
    toy = Toy()
    optimizer = make(entry, toy)
    run(toy, optimizer, 2)
    held = sum(
        value.numel() * value.element_size()
        for state in optimizer.state.values()
        for value in state.values()
        if torch.is_tensor(value) and value.numel() > 1 and value.numel() != 256  # 256: the 8-bit code's table
    )
    trained = sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])
    assert held / trained == pytest.approx(entry.state_bytes, abs=0.4)


@ROWS
def test_a_misspelt_argument_is_refused_before_anything_runs(entry: catalog.Optimizer) -> None:
    known = "momentum" if entry.name == "SGD" else "eps" if entry.name == "Adagrad" else "betas"
    with pytest.raises(Problems) as caught:
        make(entry, Toy(), args={known + "x": 0.5})
    (problem,) = caught.value.problems
    assert problem.path == "optimizer.args" and known + "x" in problem.why and f'"{known}"' in problem.fix


@ROWS
def test_weight_decay_reaches_every_group(entry: catalog.Optimizer) -> None:
    optimizer = make(entry, Toy(), weight_decay=0.037)
    assert [group[entry.decay] for group in optimizer.param_groups] == [0.037, 0.037]


def test_arguments_override_the_row_and_lists_become_tuples() -> None:
    entry = catalog.optimizer("AdamW")
    chosen = {"betas": [0.8, 0.95], "eps": 1e-6, "fused": False}
    group = make(entry, Toy(), args=chosen).param_groups[0]
    assert (group["betas"], group["eps"], group["fused"]) == ((0.8, 0.95), 1e-6, False)


@pytest.mark.parametrize("name", ["lr", "params", "weight_decay"])
def test_what_has_a_setting_of_its_own_is_no_argument(name: str) -> None:
    with pytest.raises(Problems, match=name):
        make(catalog.optimizer("AdamW"), Toy(), args={name: 1.0})


@pytest.mark.parametrize("name", ["AdamW", "Prodigy"])
def test_a_value_that_the_optimizer_refuses_is_a_problem(name: str) -> None:
    with pytest.raises(Problems, match=r"(?i)beta"):
        make(catalog.optimizer(name), Toy(), args={"betas": [0.9, 2.0]})


def test_all_of_several_faults_are_told_at_once() -> None:
    with pytest.raises(Problems) as caught:
        make(catalog.optimizer("AdamW"), Toy(), args={"betta": 1.0, "lr": 1.0, "zzz": 2})
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("name", ["Prodigy", "DAdaptAdam"])
def test_two_rates_are_refused_where_only_one_would_be_applied(name: str) -> None:
    entry, toy = catalog.optimizer(name), Toy()
    groups = [Group("unet", [toy.down], 1.0), Group("text_encoder", [toy.other], 0.5)]
    with pytest.raises(Problems, match="one rate"):
        make_optimizer(resolve(entry), entry, groups, settings.Optimizer(name=name))


def test_groups_keep_their_own_rates() -> None:
    entry, toy = catalog.optimizer("AdamW"), Toy()
    groups = [Group("unet", [toy.down, toy.up], 1e-3), Group("text_encoder", [toy.other], 2e-5)]
    optimizer = make_optimizer(resolve(entry), entry, groups, settings.Optimizer())
    assert applied_rates(optimizer) == {"unet": 1e-3, "text_encoder": 2e-5}
    assert [group["base_lr"] for group in optimizer.param_groups] == [1e-3, 2e-5]


def test_prodigys_applied_rate_is_its_estimate_and_grows() -> None:
    toy = Toy()
    optimizer = make(catalog.optimizer("Prodigy"), toy)
    before = applied_rates(optimizer)["unet"]
    run(toy, optimizer, 100)
    after = applied_rates(optimizer)
    assert before == pytest.approx(1e-6) and after["unet"] > 1e-3
    before_up = toy.up.detach().clone()
    run(toy, optimizer, 1)
    assert (toy.up.detach() - before_up).abs().max() <= 10 * after["unet"]


def test_schedule_free_weights_for_use_are_the_average_and_training_goes_on_from_its_own() -> None:
    toy = Toy()
    optimizer = make(catalog.optimizer("ScheduleFreeAdamW"), toy)
    run(toy, optimizer, 30)
    training = toy.up.detach().clone()
    with weights_for_use(optimizer):
        assert not torch.allclose(toy.up, training, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(toy.up.detach(), training, rtol=1e-4, atol=1e-6)


def test_weights_for_use_changes_nothing_elsewhere() -> None:
    toy = Toy()
    optimizer = make(catalog.optimizer("AdamW"), toy)
    run(toy, optimizer, 3)
    training = toy.up.detach().clone()
    with weights_for_use(optimizer):
        assert torch.equal(toy.up, training)


@pytest.mark.parametrize("name", ["adabelief", "schedulefreesgd"])
def test_names_that_only_pytorch_optimizer_knows(name: str) -> None:
    toy, entry = Toy(), catalog.optimizer(name)
    optimizer = make_optimizer(resolve(entry), entry, toy.groups(1e-3), settings.Optimizer(name=name))
    losses = run(toy, optimizer, 20)
    assert losses[-1] < losses[0]


def test_every_name_that_the_settings_accept_is_a_class() -> None:
    rows = [catalog.optimizer(name) for name in optimizer_table.table()]
    assert len(rows) > 50 and all(issubclass(resolve(row), torch.optim.Optimizer) for row in rows)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        resolve(catalog.optimizer("no such thing"))
