"""What the rungs stand on: the run's own parts, built by `trainer.run`, with everything fancy off.

A look is one image at one noise level with noise of its own. Here it is fixed, so that a loss changes by what the
adapter learns and by nothing else; it goes through the very step that trains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from trainer import run as building
from trainer.bench import ROOT, Bench
from trainer.contract import preset as presets
from trainer.contract.events import Phase
from trainer.contract.machine import load_machine
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Noise, Preset
from trainer.data.loader import Batch, Loader
from trainer.moments.keeper import in_use
from trainer.noise.draws import draw_timesteps
from trainer.parts import Network
from trainer.plan.draws import Draw, number
from trainer.plan.plan import Plan, examine
from trainer.plan.sides import Known, of_run
from trainer.sinks.fan import Fan
from trainer.update import Outcome, Update
from trainer.validation.measure import grid

PLAIN: dict[str, Any] = {
    "schedule.name": "constant",
    "schedule.warmup": 0.0,
    **{f"noise.{name}": value for name, value in Noise()},
    "network.dropout": 0.0,
    "network.rank_dropout": 0.0,
    "network.module_dropout": 0.0,
    "network.ema": 0.0,
    "dataset.flip": False,
    "dataset.crop": "centre",
    "dataset.rotate": 0.0,
    "dataset.jitter": 0.0,
    "captions.dropout": 0.0,
    "captions.shuffle": False,
    "captions.tag_dropout": 0.0,
    "captions.tag_warmup": 0.0,
    "logging.tensorboard": False,
    "logging.wandb": False,
}
"""Everything fancy off: start simple (the recipe's first step)."""

LEVELS = 4
"""Noise levels at which an image is looked at: the middles of four equal parts of the process."""

IMAGES = 8
"""Images of the few-images rung, of the recipe's "five to ten"."""

Make = Callable[[Bench], tuple[Network, torch.optim.Optimizer]]


def plain(preset: Preset) -> Preset:
    """The preset with everything fancy off."""
    return presets.with_values(preset, PLAIN)


@dataclass(frozen=True)
class Fresh:
    """An adapter without effect yet, the preset's optimizer for it, and the update of one training step."""

    network: Network
    optimizer: torch.optim.Optimizer
    update: Update


@dataclass(frozen=True)
class Stand:
    """`bench` has the plain plan, `own` is the plan of the run as it is going to be; a loader for each. `make`: what
    builds an adapter with its optimizer."""

    bench: Bench
    own: Plan
    loader: Loader
    own_loader: Loader
    make: Make = field(default=building.make_network)

    @property
    def micro_batch(self) -> int:
        """Looks in one forward pass: what the user's memory is planned for."""
        return int(self.bench.preset.training.batch_size)  # type: ignore[arg-type]

    def levels(self) -> list[int]:
        """The noise levels as timesteps."""
        return grid(LEVELS, len(self.bench.family.process.betas))

    def images(self) -> list[Draw]:
        """Up to `IMAGES` training images as they are measured: those whose captions differ first, else as they come."""
        draws = self.bench.plan.fixed_draws(self.bench.plan.learnt)
        by_caption = {draw.caption: draw for draw in reversed(draws)}
        different = [draw for draw in draws if by_caption[draw.caption] is draw]
        rest = [draw for draw in draws if by_caption[draw.caption] is not draw]
        return (different + rest)[:IMAGES]

    @contextmanager
    def fresh(self) -> Iterator[Fresh]:
        """A new adapter on the model, and gone again afterwards: no rung sees what another one trained."""
        network, optimizer = self.make(self.bench)
        try:
            network.training(True)
            yield Fresh(network, optimizer, building.make_update(self.bench, optimizer, network))
        finally:
            network.detach()

    def progress(self, text: str, done: int, of: int) -> None:
        """Tell how far a rung is. KeyboardInterrupt where the run was asked to stop."""
        if building.asked_to_end(self.bench.run):
            raise KeyboardInterrupt
        self.bench.emit(Phase(text=text, done=done, of=of))

    def batches(self, looks: Sequence[Draw]) -> list[Batch]:
        """Looks as micro-batches that fit the user's memory, made anew at each call, since a batch keeps what a trained
        text encoder has said. Looks of one bucket go together."""
        found: list[Batch] = []
        ordered = sorted(looks, key=lambda look: look.bucket)
        for _, group in groupby(ordered, key=lambda look: look.bucket):
            rows = list(group)
            found += [self.loader.fixed(rows[i : i + self.micro_batch]) for i in range(0, len(rows), self.micro_batch)]
        return [replace(batch, weights=[1.0 / len(looks)] * len(batch)) for batch in found]

    def step(self, fresh: Fresh, step: int, looks: Sequence[Draw]) -> Outcome:
        """One training step on these looks."""
        return fresh.update(step, self.batches(looks), len(looks))

    def measured(self, looks: Sequence[Draw]) -> Iterator[Batch]:
        """Looks in their order, as batches to be measured without gradients."""
        for _, group in groupby(looks, key=lambda look: look.bucket):
            rows, most = list(group), max(self.micro_batch, LEVELS)
            yield from (self.loader.fixed(rows[i : i + most]) for i in range(0, len(rows), most))

    @torch.no_grad()
    def losses(self, fresh: Fresh, looks: Sequence[Draw]) -> Tensor:
        """Loss of each look, in the order given: float64 on the CPU."""
        with in_use(fresh.network, fresh.optimizer):
            rows = [fresh.update.losses(batch) for batch in self.measured(looks)]
        return torch.cat(rows).double().cpu()


def look_at(draw: Draw, timestep: int, process_steps: int, tries: int = 4096) -> Draw:
    """The image of a draw at one timestep: with a seed from which the training step itself draws that timestep, or the
    nearest of `tries`."""
    seeds = [number(draw.seed, timestep, attempt, "preflight") for attempt in range(tries)]
    distance = (draw_timesteps(seeds, process_steps) - timestep).abs()
    return replace(draw, seed=seeds[int(distance.argmin())])


def build(run: RunDir, emit: Fan) -> Stand:
    """Load the model and encode what the rungs need; what else training would drop from memory goes too."""
    bench, sources = building.with_sources(building.set_up(run, emit, plain))
    _, _, own = examine(presets.load(run.preset), known=Known(load_machine(ROOT).cache, of_run(run.path)))
    mine = replace(bench, plan=own)
    own_bench, own_sources = building.with_sources(mine)
    superfluous = tuple(set(sources.superfluous) & set(own_sources.superfluous))
    loader, own_loader = building.make_loader(bench, sources), building.make_loader(own_bench, own_sources)
    building.release(bench, superfluous, None)
    run.update_state(total_steps=0)  # a preflight does no step of the run
    return Stand(bench, own_bench.plan, loader, own_loader)
