"""What is shown when: order, batches, crop, flip and caption of every look, as a function of (seed, epoch, image).

A *look* is one showing of one image: image x repeat; `balance` says how many an epoch has. Nothing here depends on what
was drawn before, so no state exists to save, any step can be asked for at once, and adding images to a folder leaves
the others' draws as they were.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from .balance import Turns, halved
from .buckets import Placed, Size
from .captions import Rules, Source, compose


def digest(*key: object) -> bytes:
    """64 bytes that look random and depend on nothing but the key, on every machine."""
    return blake2b("\x1f".join(map(str, key)).encode("utf-8", "surrogatepass")).digest()


def number(*key: object) -> int:
    """A whole number in [0, 2^63) from the key."""
    return int.from_bytes(digest(*key)[:8], "big") >> 1


def uniforms(*key: object) -> tuple[float, ...]:
    """Eight independent numbers in [0, 1) from the key."""
    data = digest(*key)
    return tuple((int.from_bytes(data[i : i + 8], "big") >> 11) * 2.0**-53 for i in range(0, 64, 8))


def rng(*key: object) -> random.Random:
    """A generator of its own for the key; use `random()` only, whose values Python keeps from version to version."""
    return random.Random(int.from_bytes(digest(*key), "big"))


@dataclass(frozen=True, slots=True)
class Draw:
    """One look at one image.

    `image`: index in the plan's images. `crop`: top-left corner in the image scaled to `resized`, from where `bucket`
    is cut; its share of the slack says where to cut if the image was rotated before. `rotate`: degrees
    counter-clockwise. `jitter`: factors of brightness, contrast and saturation. `seed`: for whatever else is drawn for
    this look (noise, timestep, the VAE's noise), so that it does not matter in which batch, micro-batch or process the
    look is. `weight`: factor on its loss; 0 for a look that only keeps a process busy (see `rank_slice`).
    """

    image: int
    repeat: int
    epoch: int
    bucket: Size
    resized: Size
    crop: tuple[int, int]
    caption: str
    seed: int
    flip: bool = False
    rotate: float = 0.0
    jitter: tuple[float, float, float] = (1.0, 1.0, 1.0)
    variant: int = 0
    weight: float = 1.0


@dataclass(frozen=True)
class Subject:
    """What the draws need of one image. `key` identifies it: path in its folder, not place in a list. `weight`: factor
    on the loss of its looks."""

    image: int
    key: str
    turns: Turns
    placed: Placed
    source: Source
    weight: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """The settings that decide the draws. `global_batch`: batch size x processes. `rotate` in degrees. `variants`: 0
    draws captions anew at each look. `batches`: in an epoch; 0 where they are as many by themselves."""

    seed: int
    global_batch: int
    accumulate: int
    per_epoch: int
    total: int
    rules: Rules
    flip: bool = False
    random_crop: bool = False
    rotate: float = 0.0
    jitter: float = 0.0
    variants: int = 0
    batches: int = 0


Look = tuple[int, int]
"""Index in the subjects, repeat."""


class Draws:
    """All draws of a run, computed when asked for; the order of the epoch in hand is kept."""

    def __init__(self, subjects: Sequence[Subject], recipe: Recipe) -> None:
        self.subjects = tuple(subjects)
        self.recipe = recipe
        self._epoch = 0
        self._order: list[list[Look]] = []

    def order(self, epoch: int) -> list[list[Look]]:
        """The batches of an epoch (from 1): per bucket all looks shuffled and cut, the last one ragged, then all
        batches shuffled."""
        if epoch != self._epoch:
            self._order, self._epoch = self._make_order(epoch), epoch
        return self._order

    def _make_order(self, epoch: int) -> list[list[Look]]:
        seed, size = self.recipe.seed, self.recipe.global_batch
        looks: dict[Size, list[tuple[bytes, int, int]]] = {}
        for index, subject in enumerate(self.subjects):
            row = looks.setdefault(subject.placed.bucket, [])
            for repeat in range(subject.turns.within(epoch)):
                row.append((digest(seed, epoch, subject.key, repeat, "order"), index, repeat))
        cuts: dict[Size, list[list[Look]]] = {}
        for bucket, row in looks.items():
            row.sort()
            cuts[bucket] = [[(i, repeat) for _, i, repeat in row[at : at + size]] for at in range(0, len(row), size)]
        halved(cuts, self.recipe.batches)
        batches = [
            (digest(seed, epoch, bucket, place, "batch"), cut)
            for bucket, made in cuts.items()
            for place, cut in enumerate(made)
        ]
        return [cut for _, cut in sorted(batches, key=lambda batch: batch[0])]

    def step(self, step: int) -> list[list[Draw]]:
        """The micro-batches of one optimizer step (from 1, cumulative), over all processes together.

        The last step of an epoch may have fewer micro-batches, and each bucket's last batch fewer looks; micro-batches
        of one step may come from different buckets."""
        epoch, place = divmod(step - 1, self.recipe.per_epoch)
        count = self.recipe.accumulate
        batches = self.order(epoch + 1)[place * count : (place + 1) * count]
        progress = (step - 1) / max(self.recipe.total, 1)
        return [[self.draw(look, epoch + 1, progress) for look in batch] for batch in batches]

    def draw(self, look: Look, epoch: int, progress: float) -> Draw:
        """One look: `progress` is the share of the run that is done when it is shown (for the tag warmup)."""
        index, repeat = look
        subject, recipe = self.subjects[index], self.recipe
        flip, across, down, turn, *jitter, drop = uniforms(recipe.seed, epoch, subject.key, repeat, "look")
        slack_x, slack_y = subject.placed.slack
        crop = (int(across * (slack_x + 1)), int(down * (slack_y + 1)))
        variant = self.variant_of(subject, epoch, repeat)
        caption = self.caption(subject, epoch, repeat, progress) if drop >= recipe.rules.dropout else ""
        return Draw(
            image=subject.image,
            repeat=repeat,
            epoch=epoch,
            bucket=subject.placed.bucket,
            resized=subject.placed.resized,
            crop=crop if recipe.random_crop else subject.placed.centre,
            caption=caption,
            seed=number(recipe.seed, epoch, subject.key, repeat, "noise"),
            flip=recipe.flip and flip < 0.5,
            rotate=(2 * turn - 1) * recipe.rotate,
            jitter=_three([1 + (2 * u - 1) * recipe.jitter for u in jitter[:3]]),
            variant=variant,
            weight=subject.weight,
        )

    def variant_of(self, subject: Subject, epoch: int, repeat: int) -> int:
        """Which of the prepared captions a look shows: they take turns, over repeats and epochs."""
        return (subject.turns.before(epoch) + repeat) % self.recipe.variants if self.recipe.variants else 0

    def caption(self, subject: Subject, epoch: int, repeat: int, progress: float) -> str:
        """The caption of a look that is not dropped."""
        recipe = self.recipe
        if recipe.variants:
            return self.variant_caption(subject, self.variant_of(subject, epoch, repeat))
        if not subject.source.varies(recipe.rules):
            return compose(subject.source, recipe.rules)
        return compose(subject.source, recipe.rules, rng(recipe.seed, epoch, subject.key, repeat, "caption"), progress)

    def variant_caption(self, subject: Subject, variant: int) -> str:
        """Prepared caption number `variant` of an image."""
        return compose(subject.source, self.recipe.rules, rng(self.recipe.seed, subject.key, variant, "variant"))

    def fixed(self, subject: Subject) -> Draw:
        """An image as it is measured: centre crop, never flipped or changed, its caption whole and in its own order."""
        return Draw(
            image=subject.image,
            repeat=0,
            epoch=0,
            bucket=subject.placed.bucket,
            resized=subject.placed.resized,
            crop=subject.placed.centre,
            caption=compose(subject.source, self.recipe.rules),
            seed=number(self.recipe.seed, subject.key, "measure"),
        )


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    brightness, contrast, saturation = values
    return brightness, contrast, saturation


def looks_in(step: Sequence[Sequence[Draw]]) -> int:
    """Looks of a step over all its micro-batches: what the sum of the losses is divided by."""
    return sum(len(batch) for batch in step)


def rank_slice(batch: Sequence[Draw], rank: int, processes: int) -> list[Draw]:
    """The part of a batch that process `rank` computes: every `processes`-th look.

    Every process must run as many passes as the others, since they wait for each other. Where a ragged batch has fewer
    looks than there are processes, the rest get its first look with weight 0. A step's gradient is then that of one
    process with the whole batch if each process takes, in every pass,
    `sum(weight x loss of its looks) x processes / looks_in(step)` and the gradients are averaged over processes.
    """
    part = list(batch[rank::processes])
    return part or [replace(batch[0], weight=0.0)]


def looks_per_bucket(subjects: Sequence[Subject]) -> Mapping[Size, int]:
    """Looks of the first epoch in each bucket, sorted by size."""
    counts: dict[Size, int] = {}
    for subject in subjects:
        counts[subject.placed.bucket] = counts.get(subject.placed.bucket, 0) + subject.turns.within(1)
    return dict(sorted(counts.items()))
