"""What is said of the held-out images before a run starts: which they are, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from .counting import count_of, some_of, verb
from .gather import regularises

if TYPE_CHECKING:
    from .plan import Plan

FEW = 8
"""Below this many held-out images their mean loss says little of others."""
_NAMED = 5


def summary(plan: Plan) -> str:
    """`"27 train, 3 held out (a.png, b.png, c.png)"`."""
    names = plan.held_out_names
    aside = f", {len(plan.division.aside):,} on neither side" if plan.division.aside else ""
    return f"{len(plan.train):,} train, {len(names):,} held out ({some_of(names, _NAMED)}){aside}"


def notes(plan: Plan) -> list[str]:
    """What people should know of them."""
    return [text for note in _NOTES for text in note(plan)]


def _names(plan: Plan, images: Iterable[int]) -> list[str]:
    return [plan.images[index].path.name for index in images]


def _none(plan: Plan) -> list[str]:
    if plan.held_out:
        return []
    if plan.division.wanted:
        why = "they are all near-duplicates of each other, so that a held-out image would be one that is trained on"
        return [f"No image is held out: {why}. Give a folder of other images (validation.folder)."]
    if plan.preset.validation.stop == "report only":
        return []
    return ["Early stopping has nothing to measure: no images are held out (validation.split)."]


def _not_compared(plan: Plan) -> list[str]:
    left = len(plan.images) - plan.division.compared
    if not plan.held_out or plan.division.compared == 0 or left == 0:
        return []
    return [
        f"{plan.division.compared:,} of {len(plan.images):,} images have been looked at so far, and near-duplicates "
        "are found once all have been: until then the choice of held-out images can change. Check and Start wait for "
        "all."
    ]


def _aside(plan: Plan) -> list[str]:
    names = _names(plan, plan.division.aside)
    if not names:
        return []
    if plan.preset.validation.folder:
        added = f"{count_of(len(names), 'image')} came to the folder of held-out images since the run began"
        return [f"{added} ({some_of(names, _NAMED)}) and {verb(names, 'is', 'are')} not measured."]
    what = verb(names, "is left out of training and of validation", "are left out of training and of validation")
    why = verb(names, "it is a near-duplicate of a held-out image", "they are near-duplicates of held-out images")
    return [
        f"{count_of(len(names), 'image')} {what} ({some_of(names, _NAMED)}): {why}, but cannot be held out too, being "
        "like images that are trained on, or added since the run began."
    ]


def _leaks(plan: Plan) -> list[str]:
    regular = [pair for pair in plan.division.leaks if regularises(plan.preset, plan.images[pair[0]])]
    learnt = [pair for pair in plan.division.leaks if pair not in regular]
    return [*_leaks_of(plan, "training", learnt), *_leaks_of(plan, "regularisation", regular)]


def _leaks_of(plan: Plan, kind: str, leaks: Sequence[tuple[int, int]]) -> list[str]:
    if not leaks:
        return []
    pairs = [" = ".join(_names(plan, pair)) for pair in leaks]
    one, more = (
        f"{kind} image is a near-duplicate of a held-out one",
        f"{kind} images are near-duplicates of held-out ones",
    )
    are = verb(leaks, one, more)
    return [
        f"{len(leaks):,} {are} ({some_of(pairs, _NAMED)}): the validation loss will look better than it is. "
        "Each should be in one of the two folders only."
    ]


def _alike(plan: Plan) -> list[str]:
    groups = plan.division.alike
    if not groups or not plan.held_out:
        return []
    named = ["/".join(_names(plan, group[:3])) + ("/..." if len(group) > 3 else "") for group in groups]
    count = sum(map(len, groups))
    return [
        f"{count:,} of {len(plan.images):,} images are near-duplicates of others ({some_of(named, 3)}): each such "
        "group is held out or trained on as a whole."
    ]


def _fewer(plan: Plan) -> list[str]:
    division = plan.division
    if not plan.held_out or len(plan.held_out) >= division.wanted:
        return []
    why = (
        "the others were trained on in earlier runs of these folders and stay there (another validation.split chooses "
        "anew)"
        if division.earlier
        else "the groups of near-duplicates that are left are too large"
    )
    return [f"{len(plan.held_out)} of the {division.wanted} images asked for are held out: {why}."]


def _few(plan: Plan) -> list[str]:
    count = len(plan.held_out)
    if not 0 < count < FEW:
        return []
    if count == 1:
        return ["Only 1 image is held out: how far its loss speaks for others is not known; the samples decide."]
    return [
        f"Only {count} images are held out: their loss is a rough guess at that of other images. The ± beside it, its "
        "standard error over the images, says how rough; the samples decide."
    ]


def _many(plan: Plan) -> list[str]:
    """More measured than trained on is rarely meant; a folder of their own takes nothing from the training images."""
    if plan.preset.validation.folder or len(plan.held_out) <= len(plan.train):
        return []
    left = verb(plan.train, "is left to train on", "are left to train on")
    return [
        f"{len(plan.held_out):,} of {len(plan.images):,} images are held out, only {len(plan.train):,} {left}: "
        "a smaller validation.split leaves more to learn from."
    ]


_NOTES: tuple[Callable[[Plan], list[str]], ...] = (_none, _leaks, _aside, _not_compared, _fewer, _few, _many, _alike)
