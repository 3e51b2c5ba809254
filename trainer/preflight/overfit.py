"""One image by heart, then a few: if that does not work, nothing will (the recipe's first two steps)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

from trainer import run as building
from trainer.contract import catalog
from trainer.plan.draws import Draw

from .base import swap
from .links import Links, inspect, movement, wanted_parts
from .stand import LEVELS, Fresh, Stand, look_at

TARGET = 0.005
"""How far the first step of a rung with a rate of its own moves a layer, relative to its weight. Adam's first step is
proportional to the rate, so that the rate follows from one probe, whatever the model, rank and alpha. On the demo 0.005
is a rate of 1.6e-3; 0.0032 to 0.03 all learn one image by heart, 0.095 diverges."""

PROBE = 1e-5
"""The rate of the probing step."""

STEPS, ENOUGH = 60, 0.25
"""Most steps on one image, and the share of its first loss at which no more are needed."""

PASSES = 6
"""How often each look of the few images is trained on: 8 images at 4 noise levels, 4 looks a step, are 48 steps."""

USERS_STEPS = 5
"""Steps by the user's own optimizer and rate that its movement is the mean of."""

PATIENCE = 24
"""Steps that fp16's loss scaling may skip in a row before it has found its scale."""


@dataclass(frozen=True)
class OneFigures:
    """`losses` before each step; `rate` of its own. `users`: part -> relative movement per step of the user's optimizer
    at the user's rate (nan where a loss was no number)."""

    links: Links
    losses: list[float] = field(default_factory=list)
    rate: float = math.nan
    users: dict[str, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The last loss as a share of the first; nan without any."""
        return self.losses[-1] / self.losses[0] if self.losses and self.losses[0] > 0 else math.nan


@contextmanager
def own_rate(stand: Stand) -> Iterator[Fresh]:
    """A new adapter with AdamW, plain, at a rate that moves the layers by `TARGET` in a step. The rate is 0 where
    nothing moves."""
    with stand.fresh() as fresh:
        groups = [{"params": group["params"], "name": group["name"]} for group in fresh.optimizer.param_groups]
        optimizer = torch.optim.AdamW(groups, lr=PROBE, weight_decay=0.0)
        yield replace(fresh, optimizer=optimizer, update=building.make_update(stand.bench, optimizer, fresh.network))


def find_rate(stand: Stand, fresh: Fresh, looks: list[Draw]) -> float:
    """One probing step; sets and returns the rate that follows from it, 0 where nothing moved."""
    for attempt in range(1, PATIENCE + 1):
        stand.step(fresh, attempt, looks)
        moved = max(movement(fresh.network, wanted_parts(stand)).values(), default=0.0)
        if moved > 0:
            break
    rate = PROBE * TARGET / moved if moved > 0 and math.isfinite(moved) else 0.0
    for group in fresh.optimizer.param_groups:
        group["lr"] = rate
    return rate


def measure_one(stand: Stand) -> OneFigures:
    """Learn one image by heart, at four fixed noise levels; and see how far the user's own rate moves the layers."""
    draw, process_steps = stand.images()[0], len(stand.bench.family.process.betas)
    looks = [look_at(draw, timestep, process_steps) for timestep in stand.levels()]
    with own_rate(stand) as fresh:
        links = inspect(stand, fresh, looks)
        if not links.trainable:
            return OneFigures(links, [float(stand.losses(fresh, looks).mean())])
        rate = find_rate(stand, fresh, looks)
        losses = list(_learn(stand, fresh, looks)) if rate else [float(stand.losses(fresh, looks).mean())]
    return OneFigures(links, losses, rate, measure_users(stand, looks))


def _learn(stand: Stand, fresh: Fresh, looks: list[Draw]) -> Iterator[float]:
    """Losses before each step, until they are low enough, no number, or the steps are used up."""
    first = math.nan
    for step in range(1, STEPS + 1):
        stand.progress("one image by heart", step, STEPS)
        loss = float(stand.step(fresh, step, looks).loss)
        yield loss
        first = loss if step == 1 else first
        if not math.isfinite(loss) or loss < ENOUGH * first:
            return


def measure_users(stand: Stand, looks: list[Draw]) -> dict[str, float]:
    """How far a step of the user's optimizer at its peak rate moves each part; nothing for one that finds its rate."""
    chosen = catalog.optimizer(stand.bench.preset.optimizer.name)
    if chosen is not None and chosen.finds_rate:
        return {}
    with stand.fresh() as fresh:
        done = 0
        for attempt in range(1, PATIENCE + USERS_STEPS):
            stand.progress("your own learning rate", done, USERS_STEPS)
            done += math.isfinite(float(stand.step(fresh, attempt, looks).grad_norm))
            if done == USERS_STEPS:
                break
        moved = movement(fresh.network, wanted_parts(stand))
        return {part: value / USERS_STEPS for part, value in moved.items()}


@dataclass(frozen=True)
class FewFigures:
    """Mean loss of each image before and after; `rise`: by how much swapped captions raise the loss of a look, on
    average (geometric mean of ratios, less 1), before and after; None where captions cannot be swapped. `held_out`:
    mean loss of held-out images before and after, None without any."""

    names: list[str]
    before: list[float]
    after: list[float]
    steps: int
    captions: int
    rise: tuple[float, float] | None = None
    held_out: tuple[float, float] | None = None


def measure_few(stand: Stand) -> FewFigures:
    """Learn a few images by heart, then give them each other's captions."""
    process_steps, draws = len(stand.bench.family.process.betas), stand.images()
    looks = _looks(stand, draws, process_steps)
    captions = len({draw.caption for draw in draws})
    swaps = [_swapped(looks, draws, by) for by in (1, 3)] if captions > 1 else []
    held = _looks(stand, stand.bench.plan.fixed_draws(stand.bench.plan.held_out[:4]), process_steps)
    order = [looks[i] for level in range(LEVELS) for i in _diagonal(level, len(draws))]
    steps = [order[i : i + LEVELS] for i in range(0, len(order), LEVELS)] * PASSES
    with own_rate(stand) as fresh:
        before, rise_before, held_before = _state(stand, fresh, looks, swaps, held)
        find_rate(stand, fresh, steps[0])
        for step, some in enumerate(steps, start=1):
            stand.progress("a few images by heart", step, len(steps))
            stand.step(fresh, step, some)
        after, rise_after, held_after = _state(stand, fresh, looks, swaps, held)
    return FewFigures(
        names=[stand.bench.plan.images[draw.image].path.name for draw in draws],
        before=before,
        after=after,
        steps=len(steps),
        captions=captions,
        rise=(rise_before, rise_after) if swaps else None,
        held_out=(held_before, held_after) if held else None,
    )


def _looks(stand: Stand, draws: list[Draw], process_steps: int) -> list[Draw]:
    """Each image at each level, image by image."""
    return [look_at(draw, timestep, process_steps) for draw in draws for timestep in stand.levels()]


def _diagonal(level: int, images: int) -> list[int]:
    """Places of one look an image, at another level for each neighbour, so that a step sees all levels."""
    return [image * LEVELS + (image + level) % LEVELS for image in range(images)]


def _swapped(looks: list[Draw], draws: list[Draw], by: int) -> list[Draw]:
    captions = [draw.caption for draw in swap(draws, by)]
    return [replace(look, caption=captions[place // LEVELS]) for place, look in enumerate(looks)]


def _state(
    stand: Stand, fresh: Fresh, looks: list[Draw], swaps: list[list[Draw]], held: list[Draw]
) -> tuple[list[float], float, float]:
    """Loss of each image, rise by swapped captions, loss of held-out images."""
    own = stand.losses(fresh, looks)
    ratios = [(stand.losses(fresh, swapped) / own).log().mean() for swapped in swaps]
    rise = math.exp(float(torch.stack(ratios).mean())) - 1.0 if ratios else math.nan
    held_out = float(stand.losses(fresh, held).mean()) if held else math.nan
    return own.view(-1, LEVELS).mean(dim=1).tolist(), rise, held_out
