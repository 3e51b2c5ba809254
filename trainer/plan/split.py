"""Which images are held out for validation.

Whole groups of near-duplicates are on one side. Which groups: those whose contents have the smallest hashes, so that
names, order and seed do not matter; and images keep the side that they had in an earlier run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.contract.parse import parse_split

from .prints import content_hash, prints
from .scan import ImageFile
from .sides import Known, Sides

if TYPE_CHECKING:
    from .likeness import Likeness

AUTO_FROM = 20
"""Images from which "auto" holds some out."""
AUTO_SHARE = 0.1
FEWEST = 2
"""Where a group is too large for what is missing, it is taken all the same below this many held-out images."""


Leaks = tuple[tuple[tuple[int, int], ...], int]


@dataclass(frozen=True)
class Division:
    """`train`, `held_out`, `aside`: indices of images; those `aside` are on neither side, since they are
    near-duplicates of held-out images that cannot be held out with them.

    `wanted`: how many images were to be held out; `compared`: how many have been compared by now; `alike`: groups of
    near-duplicates; `leaks`: training images that are near-duplicates of held-out ones, as (training, held out);
    `earlier`: whether earlier runs had a say."""

    train: tuple[int, ...]
    held_out: tuple[int, ...] = ()
    aside: tuple[int, ...] = ()
    wanted: int = 0
    compared: int = 0
    alike: tuple[tuple[int, ...], ...] = ()
    leaks: tuple[tuple[int, int], ...] = ()
    earlier: bool = False


def held_out_count(images: int, how: str) -> int:
    """How many of `images` are held out; at least one is always left to train on. `how` as in `parse_split`."""
    wanted = parse_split(how)
    count = int(wanted.amount)
    if wanted.kind == "auto":
        count = max(2, round(images * AUTO_SHARE)) if images >= AUTO_FROM else 0
    elif wanted.kind == "percent":
        count = max(1, round(images * wanted.amount / 100))
    return min(count, max(images - 1, 0))


def way(how: str) -> str:
    """A name for `how` that is the same for all its spellings."""
    wanted = parse_split(how)
    return f"{wanted.kind} {wanted.amount:g}"


def divide(images: Sequence[ImageFile], how: str, known: Known, before: Sides) -> Division:
    """Split by `validation.split`. `before`: the sides of earlier runs, or of the run that is gone on with."""
    everyone = tuple(range(len(images)))
    wanted = held_out_count(len(images), how)
    if before.final:
        return _as_before(images, known, before)
    if wanted == 0:
        return Division(everyone)
    contents, alike, compared = _likeness(images, known)
    held, free, aside = _fixed(contents, before, alike)
    fixed = len(images) - len(held) - len(aside) - sum(map(len, free))
    held += [
        index for group in _chosen(free, contents, wanted - len(held), FEWEST - len(held), fixed) for index in group
    ]
    out = {*held, *aside}
    train = tuple(index for index in everyone if index not in out)
    if before != Sides() and not (held and train):  # all that were held out, or all others, are gone
        return divide(images, how, known, Sides())
    groups = tuple(tuple(group) for group in alike.parts() if len(group) > 1)
    return Division(train, tuple(sorted(held)), tuple(sorted(aside)), wanted, compared, groups, (), before != Sides())


def divide_by_folder(images: Sequence[ImageFile], first: int, known: Known, before: Sides) -> Division:
    """Hold out the images from index `first` on, which are those of a folder of their own. A run that is gone on with
    keeps those that it began with; what was added to the folder since is set aside."""
    train, held = tuple(range(first)), tuple(range(first, len(images)))
    if before.final:
        kept = tuple(index for index in held if content_hash(images[index]) in before.held_out)
        return Division(train, kept, tuple(sorted({*held} - {*kept})), len(kept), len(images))
    leaks, compared = leaks_into(held, train, images, known)
    return Division(train, held, (), len(held), compared, leaks=leaks)


def leaks_into(held: Sequence[int], others: Sequence[int], images: Sequence[ImageFile], known: Known) -> Leaks:
    """Which of `others` are near-duplicates of images that are held out, and how many images have been compared."""
    _, alike, compared = _likeness(images, known)
    rest = frozenset(others)
    return tuple(pair for pair in alike.near(held).items() if pair[0] in rest), compared


def sides_of(images: Sequence[ImageFile], division: Division) -> Sides:
    """The sides as they are remembered. Nothing is looked at where nothing is held out."""
    if not division.held_out:
        return Sides(final=True)
    sides = (division.held_out, division.train, division.aside)
    held, trained, aside = (frozenset(content_hash(images[index]) for index in side) for side in sides)
    return Sides(held, trained, aside, final=True)


def _likeness(images: Sequence[ImageFile], known: Known) -> tuple[list[bytes], Likeness, int]:
    from .likeness import likeness_of  # numpy: only where something is held out

    found = prints(images, known.cache, known.patience_s)
    contents = [content_hash(image) for image in images]
    made = [mark for mark in found if mark is not None]
    whole = made if len(made) == len(images) else [b""] * len(images)  # comparing takes time too: once all are there
    return contents, likeness_of(tuple(contents), tuple(whole)), len(made)


def _fixed(contents: Sequence[bytes], before: Sides, alike: Likeness) -> tuple[list[int], list[list[int]], list[int]]:
    """What earlier runs decide: (images held out, groups that are free to be held out, images set aside).

    A group with images of one side is wholly on that side. In one with images of both, those that were held out stay
    so, whatever is a near-duplicate of one of them is set aside, and what is left falls apart into smaller groups."""
    held: list[int] = []
    free: list[list[int]] = []
    aside: list[int] = []
    todo = alike.parts()
    while todo:
        group = todo.pop()
        sure = [index for index in group if contents[index] in before.held_out]
        trained = any(contents[index] in before.trained for index in group)
        if sure and trained:
            near = alike.near(sure)
            held += sure
            aside += [index for index in group if index in near and index not in sure]
            todo += alike.parts([index for index in group if index not in near])
        elif sure:
            held += group
        elif not trained:
            free.append(group)
    return held, free, aside


def _chosen(
    free: Sequence[list[int]], contents: Sequence[bytes], room: int, needed: int, others: int
) -> list[list[int]]:
    """Groups to hold out: in the order of their smallest hash, each that has room in the `room` images that are still
    wanted. Where that leaves fewer than `needed`, the smallest of the others, if not more are held out than are left.
    `others`: images to train on beside those of the free groups."""
    order = sorted(free, key=lambda group: min(contents[index] for index in group))
    left, taken, passed = sum(map(len, free)) + others, list[list[int]](), list[list[int]]()
    for group in order:
        if len(group) > room or len(group) >= left:
            passed.append(group)
            continue
        taken.append(group)
        room, needed, left = room - len(group), needed - len(group), left - len(group)
    smallest = min(passed, key=len, default=[])
    if room > 0 and needed > 0 and smallest and 2 * len(smallest) <= left:
        taken.append(smallest)
    return taken


def _as_before(images: Sequence[ImageFile], known: Known, before: Sides) -> Division:
    """The split that a run began with. Images that were added since are trained on, but for near-duplicates of those
    that are held out."""
    everyone = tuple(range(len(images)))
    if not before.held_out:
        return Division(everyone)
    contents = [content_hash(image) for image in images]
    held, trained, aside = (
        {index for index in everyone if contents[index] in side}
        for side in (before.held_out, before.trained, before.aside)
    )
    new = {*everyone} - held - trained - aside
    if new and held:
        _, alike, _ = _likeness(images, known)
        aside |= new & alike.near(sorted(held)).keys()
    train = tuple(index for index in everyone if index not in held and index not in aside)
    return Division(train, tuple(sorted(held)), tuple(sorted(aside)), len(held), len(images))
