"""Figures of the checks on held-out images: the gap to the training images, by noise level, by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.contract.events import Validated
from trainer.report.curves import Points, finite, slices, thin

SHOWN_CHECKS = 240
"""Checks that a chart shows at most; a long run may have thousands."""

_BANDS = {1: ("all",), 2: ("low", "high"), 3: ("low", "middle", "high")}


@dataclass(frozen=True)
class Image:
    """How one held-out image fared: loss at the first check, the lowest and its step, at the last check; and by how
    many percent it changed since the first check, over the checks."""

    name: str
    first: float
    lowest: float
    lowest_step: int
    last: float
    change: Points

    @property
    def risen(self) -> float:
        """Percent that the last check lies above (below: negative) the first."""
        return percent(self.last, self.first)


def percent(value: float, base: float) -> float:
    """By how many percent a value lies above another; not a number where that is 0."""
    return 100.0 * (value / base - 1.0) if base else float("nan")


def held_out(checks: Sequence[Validated]) -> Points:
    """Loss of the held-out images."""
    return _points([event.step for event in checks], [event.loss for event in checks])


def same_grid(checks: Sequence[Validated]) -> Points:
    """Loss of as many training images, measured in the same way."""
    measured = [(event.step, event.train_loss) for event in checks if event.train_loss is not None]
    return _points([step for step, _ in measured], [loss for _, loss in measured])


def gap(checks: Sequence[Validated]) -> Points:
    """By how many percent the held-out images' loss lies above that of the training images, measured in one way."""
    measured = [(event.step, percent(event.loss, event.train_loss)) for event in checks if event.train_loss]
    return _points([step for step, _ in measured], [value for _, value in measured])


def by_noise(checks: Sequence[Validated]) -> list[tuple[str, Points]]:
    """Up to three bands of noise levels, each with its change in percent since the first check. Levels differ in loss
    by a factor of ten and more, so that on one axis only their changes can be compared. [] for a single level."""
    told = [event for event in checks if event.per_timestep]
    levels = sorted(told[-1].per_timestep, key=float) if told else []
    alike = [event for event in told if event.per_timestep.keys() == told[-1].per_timestep.keys()]
    if len(levels) < 2:
        return []
    pieces = slices(len(levels), min(3, len(levels)))
    bands = []
    for name, (start, end) in zip(_BANDS[len(pieces)], pieces):
        group = levels[start:end]
        means = [sum(event.per_timestep[level] for level in group) / len(group) for event in alike]
        reach = group[0] if len(group) == 1 else f"{group[0]}-{group[-1]}"
        changes = [percent(mean, means[0]) for mean in means]
        bands.append((f"{name} noise (timestep {reach})", _points([event.step for event in alike], changes)))
    return bands


def by_image(checks: Sequence[Validated], names: Sequence[str]) -> list[Image]:
    """Each held-out image, the one that fares worst first. `names`: in the order of `Validated.per_image`."""
    told = [event for event in checks if event.per_image]
    alike = [event for event in told if len(event.per_image) == len(told[-1].per_image)]
    if not alike:
        return []
    steps = [event.step for event in alike]
    images = []
    for at in range(len(alike[-1].per_image)):
        losses = [event.per_image[at] for event in alike]
        low = min(range(len(losses)), key=losses.__getitem__)
        name = names[at] if at < len(names) and names[at] else f"image {at + 1}"
        change = _points(steps, [percent(loss, losses[0]) for loss in losses])
        images.append(Image(name, losses[0], losses[low], steps[low], losses[-1], change))
    return sorted(images, key=lambda image: -image.risen)


def _points(steps: Sequence[int], values: Sequence[float]) -> Points:
    return thin(*finite([float(step) for step in steps], values), SHOWN_CHECKS)
