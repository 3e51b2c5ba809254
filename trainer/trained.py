"""The adapter that a run trains: made to the preset's sizes, started, and grouped for the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.contract import catalog
from trainer.contract.families import by_name
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Preset
from trainer.networks.base import Drops, Make
from trainer.optim.average import Average
from trainer.optim.optimizers import ENDLESS, Group, make_optimizer
from trainer.parts import Network, Target
from trainer.plan.layers import part_rates, reaches_residual, sizes, trained_parts
from trainer.plan.network_facts import network_facts
from trainer.plan.started import ranks_of
from trainer.saving.adapter import load_adapter

from .bench import Bench
from .update import After

GROUPS = {"unet": "unet", "te1": "text_encoder", "te2": "text_encoder_2"}
"""Part -> what its learning rate is called in events."""

Kind = Callable[[Sequence[Target], Make], Network]


def make_adapter(bench: Bench, kind: Kind) -> Network:
    """The adapter, attached, with the values that it starts from."""
    chosen = bench.preset.network
    family = by_name(bench.recognised.family)
    parts = trained_parts(bench.preset, tuple(bench.family.parts))
    started = ranks_of(chosen.start) if chosen.start and chosen.start_ranks else {}
    how = Make(
        size=sizes(chosen, family, started),
        seed=bench.preset.training.seed,
        drops=Drops(chosen.dropout, chosen.rank_dropout, chosen.module_dropout),
        dora=chosen.dora,
        rank_stabilised=chosen.rank_stabilised,
        arguments=arguments_of(bench.preset),
        facts=tuple(network_facts(bench.preset)),
    )
    network = kind(bench.family.targets(reaches_residual(chosen), parts), how)
    if chosen.start:
        network.begin(read_adapter(chosen.start, "network.start"))
    network.attach()
    return network


def arguments_of(preset: Preset) -> Mapping[str, Any]:
    """The network's further arguments, each in its own kind."""
    known = catalog.network(preset.network.type).arguments
    return {name: known[name].kind(value) for name, value in preset.network.args.items()}


def read_adapter(path: str, setting: str) -> dict[str, Tensor]:
    """An adapter file's tensors; Problems of kind "model" where it cannot be read."""
    try:
        return load_adapter(Path(path))[0]
    except (OSError, ValueError) as error:
        why = f"{Path(path).name} cannot be read: {error}"
        raise Problems([Problem(setting, why, "choose a file that is there and whole", "model")]) from None


def make_groups(preset: Preset, network: Network, total_steps: int) -> list[Group]:
    """The trained values by part and factor on its rate."""
    return [group for part in part_rates(preset) for group in _groups_of(preset, network, part, total_steps)]


def _groups_of(preset: Preset, network: Network, part: str, total_steps: int) -> Iterator[Group]:
    chosen, rate = preset.optimizer, part_rates(preset)[part]
    ratio = float(chosen.loraplus if part == "unet" else chosen.loraplus_text_encoder)  # type: ignore[arg-type]
    stops = {"te1": chosen.text_encoder_stop, "te2": chosen.text_encoder_2_stop}
    share = float(stops.get(part, 100.0))  # type: ignore[arg-type]
    last_step = ENDLESS if share >= 100 else round(total_steps * share / 100)
    by_factor: dict[float, list[torch.nn.Parameter]] = {}
    for piece in network.pieces(part):
        by_factor.setdefault(piece.rate * (ratio if piece.outer else 1.0), []).append(piece.values)
    for factor, values in by_factor.items():
        yield Group(GROUPS[part], values, rate, factor, last_step)


def make_trained(
    bench: Bench, kind: Kind, optimizer: Callable[..., torch.optim.Optimizer]
) -> tuple[Network, torch.optim.Optimizer]:
    """The adapter, attached, and its optimizer."""
    network = make_adapter(bench, kind)
    groups = make_groups(bench.preset, network, bench.plan.steps.total)
    chosen = bench.preset.optimizer
    return network, make_optimizer(optimizer, catalog.optimizer(chosen.name), groups, chosen)


def make_average(preset: Preset, optimizer: torch.optim.Optimizer) -> Average | None:
    """The moving average of what is trained, where one is wanted."""
    if not preset.network.ema:
        return None
    return Average([value for group in optimizer.param_groups for value in group["params"]], preset.network.ema)


def after_each(preset: Preset, network: Network, average: Average | None) -> After | None:
    """What is done to the adapter after each update: updates that are too large scaled down, the average taken."""
    limit = preset.network.max_norm
    if not limit and average is None:
        return None

    def after(step: int, fine: Tensor) -> None:
        if limit:
            network.shrink(limit, fine)
        if average:
            average.add(step, fine)

    return after


def is_random(preset: Preset) -> bool:
    """Whether a training pass draws from torch's generator."""
    chosen = preset.network
    return bool(chosen.dropout or chosen.rank_dropout or chosen.module_dropout) or (
        catalog.network(chosen.type).algo == "dylora"
    )
