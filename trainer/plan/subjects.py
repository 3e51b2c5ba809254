"""What the draws need of each image: how often it is shown, what it counts, which are measured beside the held-out."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.contract.settings import Preset

from . import balance
from .balance import Turns
from .captions import Source
from .draws import Subject, digest
from .gather import Gathered, regularises


def turns_of(preset: Preset, gathered: Gathered, batch: int) -> tuple[list[Turns], int]:
    """How often each training image is shown, and the batches of an epoch where that does not follow from it."""
    images, train = gathered.found.images, gathered.division.train
    if preset.dataset.balance == "repeats":
        return [Turns(images[index].repeats) for index in train], 0
    members = [balance.Member(images[i].folder, images[i].key, gathered.placed[i].bucket) for i in train]
    weights = [row.weight for row in preset.dataset.folders]
    looks = sum(images[index].repeats for index in train)
    turns = balance.by_weights(members, weights, looks, preset.training.seed)
    return turns, balance.most_batches(members, turns, batch)


def subjects_of(
    preset: Preset, gathered: Gathered, sources: Sequence[Source], turns: Sequence[Turns]
) -> dict[int, Subject]:
    """What the draws need of each image. `turns`: of those that are trained on; others are measured as they are."""
    shown = dict(zip(gathered.division.train, turns))
    subjects = {}
    for index, image in enumerate(gathered.found.images):
        weight = preset.dataset.regularisation_weight if regularises(preset, image) else 1.0
        placed = gathered.placed[index]
        subjects[index] = Subject(index, image.key, shown.get(index, Turns(1)), placed, sources[index], weight)
    return subjects


def probe_of(preset: Preset, gathered: Gathered, count: int) -> tuple[int, ...]:
    """As many images to be learnt as are held out, spread over the folders by their keys' hashes."""
    images = gathered.found.images
    learnt = [index for index in gathered.division.train if not regularises(preset, images[index])]
    return tuple(sorted(sorted(learnt, key=lambda index: digest(images[index].key, "probe"))[:count]))
