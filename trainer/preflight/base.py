"""The base model before any update: how well it predicts at each noise level, and whether it listens to the text.

Names carry shapes: B looks, CHW channels, height, width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from trainer.data.loader import Batch
from trainer.noise.draws import draw_noise
from trainer.noise.process import Tables, add_noise, target
from trainer.parts import BatchFacts, Conditioning
from trainer.plan.draws import Draw, number
from trainer.validation.measure import grid

from .stand import Stand

TIMESTEPS = 8
OTHER = {"epsilon": "v", "v": "epsilon"}
CLEAR = (0.6, 1.6)
"""Standard deviations of latents that need no second look: the demo's images have 0.77 to 1.01 each."""


@dataclass(frozen=True)
class BaseFigures:
    """`told`: the prediction type in force, `told_losses` against its target and `other_losses` against the other's, by
    timestep. `deviation` of all latents; `matched`: own loss over that of the same latents scaled to deviation 1, at
    equal true signal-to-noise ratio, None where nothing asked for it."""

    told: str
    timesteps: list[int]
    told_losses: list[float]
    other_losses: list[float]
    deviation: float
    matched: float | None = None

    @property
    def likeness(self) -> float:
        """Loss against the told target over loss against the other: geometric mean over the noise levels; below 1 if
        the model predicts what it is told to."""
        rows = [(a, b) for a, b in zip(self.told_losses, self.other_losses) if a > 0 and b > 0]
        if not rows or not all(math.isfinite(a) and math.isfinite(b) for a, b in rows):
            return math.nan
        return math.exp(sum(math.log(a / b) for a, b in rows) / len(rows))


@torch.no_grad()
def measure(stand: Stand) -> BaseFigures:
    """Each image at each noise level, with noise of its own. No adapter may be attached."""
    family, device = stand.bench.family, stand.bench.device
    told = family.process.prediction
    tables = {name: Tables(replace(family.process, prediction=name), device) for name in (told, OTHER[told])}
    timesteps = grid(TIMESTEPS, len(family.process.betas))
    draws = stand.images()
    losses: dict[str, list[list[float]]] = {name: [[] for _ in timesteps] for name in tables}
    values = []
    for done, draw in enumerate(draws):
        stand.progress("looking at the base model", done, len(draws))
        batch = stand.loader.fixed([draw])
        values.append(batch.latents_BCHW.float().flatten().cpu())
        for place, timestep in enumerate(timesteps):
            for name, loss in _errors(stand, batch, batch.latents_BCHW, timestep, tables).items():
                losses[name][place].append(loss)
    deviation = float(torch.cat(values).std())
    clear = CLEAR[0] <= deviation <= CLEAR[1] or not deviation > 0 or not math.isfinite(deviation)
    matched = None if clear else _matched(stand, draws[:4], deviation, tables[told])
    means = {name: [sum(row) / len(row) for row in rows] for name, rows in losses.items()}
    return BaseFigures(told, timesteps, means[told], means[OTHER[told]], deviation, matched)


def _errors(
    stand: Stand, batch: Batch, latents_BCHW: Tensor, timestep: int, tables: dict[str, Tables]
) -> dict[str, float]:
    """Squared error of the model's one answer against the target of each prediction type."""
    seeds = [number(seed, timestep, "base") for seed in batch.seeds]
    noise_BCHW = draw_noise(latents_BCHW.shape[1:], seeds, device=latents_BCHW.device)
    timesteps_B = torch.full((len(seeds),), timestep, dtype=torch.int64, device=latents_BCHW.device)
    noisy_BCHW = add_noise(next(iter(tables.values())), latents_BCHW, noise_BCHW, timesteps_B)
    answer_BCHW = stand.bench.family.predict(noisy_BCHW, timesteps_B, batch.conditioning, batch.facts)
    return {
        name: float(mse_loss(answer_BCHW.float(), target(table, latents_BCHW, noise_BCHW, timesteps_B)))
        for name, table in tables.items()
    }


def _matched(stand: Stand, draws: Sequence[Draw], deviation: float, tables: Tables) -> float | None:
    """How many times larger the loss is than with latents of deviation 1, where both are equally hidden by the noise.

    Larger latents lie further above the noise, which alone changes a loss: so each is compared at the timestep at which
    its true signal-to-noise ratio is the same. None where no timestep fits both."""
    snr_T = tables.snr_T.cpu().double()
    pairs = []
    for timestep in grid(TIMESTEPS, tables.steps):
        equal = int((snr_T * 1.0 - snr_T[timestep] * deviation**2).abs().argmin())
        if 0 < equal < tables.steps - 1:
            pairs.append((timestep, equal))
    if not pairs:
        return None
    own = fitting = 0.0
    for draw in draws:
        batch = stand.loader.fixed([draw])
        for timestep, equal in pairs:
            one = {tables.prediction: tables}
            own += _errors(stand, batch, batch.latents_BCHW, timestep, one)[tables.prediction]
            fitting += _errors(stand, batch, batch.latents_BCHW / deviation, equal, one)[tables.prediction]
    return own / fitting if fitting > 0 else None


@dataclass(frozen=True)
class TextFigures:
    """What swapping captions changes before any training, relative to the norm of what it was: in the conditioning, and
    in the model's answer. `captions`: how many different ones the images have."""

    images: int
    captions: int
    conditioning: float = 0.0
    answer: float = 0.0


@torch.no_grad()
def measure_text(stand: Stand) -> TextFigures:
    """The model's answers to the same noisy images with their own captions and with each other's."""
    draws = stand.images()
    count = len({draw.caption for draw in draws})
    if count < 2:
        return TextFigures(len(draws), count)
    heard, answered = [], []
    timestep = stand.levels()[-1]
    for draw, swapped in zip(draws, swap(draws, 1)):
        own, other = stand.loader.fixed([draw]), stand.loader.fixed([swapped])
        heard.append(_difference(own.conditioning, other.conditioning))
        answers = [_answer(stand, batch, own.latents_BCHW, timestep, batch.facts) for batch in (own, other)]
        answered.append(_difference({"answer": answers[0]}, {"answer": answers[1]}))
    return TextFigures(len(draws), count, sum(heard) / len(heard), sum(answered) / len(answered))


def swap(draws: Sequence[Draw], by: int) -> list[Draw]:
    """Each image with the caption of the `by`-th further image that has another one. At least two must differ."""
    swapped = []
    for place, draw in enumerate(draws):
        further = [*draws[place + 1 :], *draws[:place]]
        others = [other.caption for other in further if other.caption != draw.caption]
        swapped.append(replace(draw, caption=others[(by - 1) % len(others)]))
    return swapped


def _answer(stand: Stand, batch: Batch, latents_BCHW: Tensor, timestep: int, facts: BatchFacts) -> Tensor:
    tables = Tables(stand.bench.family.process, latents_BCHW.device)
    noise_BCHW = draw_noise(latents_BCHW.shape[1:], batch.seeds, device=latents_BCHW.device)
    timesteps_B = torch.full((len(batch),), timestep, dtype=torch.int64, device=latents_BCHW.device)
    noisy_BCHW = add_noise(tables, latents_BCHW, noise_BCHW, timesteps_B)
    return stand.bench.family.predict(noisy_BCHW, timesteps_B, batch.conditioning, facts)


def _difference(first: Conditioning, second: Conditioning) -> float:
    """Norm of the difference relative to that of the first, over all tensors. Tensors of different lengths (captions of
    several tokens) differ by themselves."""
    if any(first[name].shape != second[name].shape for name in first):
        return 1.0
    apart = sum(float((first[name].float() - second[name].float()).square().sum()) for name in first)
    whole = sum(float(first[name].float().square().sum()) for name in first)
    return math.sqrt(apart / whole) if whole > 0 else 0.0
