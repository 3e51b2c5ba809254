"""The images of a run: those of the folders to learn from and those held out, each in its bucket."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Folder, Preset

from . import sides
from .buckets import Placed
from .masks import with_masks
from .place import place_all
from .prints import content_hash
from .scan import ImageFile, Scan, Unreadable, scan, without
from .sides import Known, Sides
from .split import Division, divide, divide_by_folder, leaks_into, sides_of, way


@dataclass(frozen=True)
class Gathered:
    """All images that can be used, the bucket of each, and which of them are held out."""

    found: Scan
    placed: tuple[Placed, ...]
    division: Division


def gather(preset: Preset, broken: Sequence[Unreadable], known: Known) -> Gathered:
    """Find, place and divide the images. `broken`: those that turned out to be unreadable. Problems for folders."""
    found = without(_scan_all(preset), broken)
    found, placed = place_all(found, preset.dataset)
    rows = len(preset.dataset.folders)
    if preset.validation.folder:
        first = sum(image.folder < rows for image in found.images)
        _refuse_empty(found.images, first, preset.validation.folder)
        division = divide_by_folder(found.images, first, known, known.sides or Sides())
    else:
        division = _divide(found.images, preset, known)
    return Gathered(found, tuple(placed), division)


def regularises(preset: Preset, image: ImageFile) -> bool:
    """Whether it is a regularisation image; one of the held-out folder is none."""
    rows = preset.dataset.folders
    return image.folder < len(rows) and rows[image.folder].regularisation


def triggers(preset: Preset) -> list[str]:
    """The trigger word of each row, and of the held-out folder. Regularisation images have only a word of their row's
    own, such as the name of the class."""
    common = preset.captions.trigger
    rows = [row.trigger.strip() or ("" if row.regularisation else common) for row in preset.dataset.folders]
    return [*rows, common]


def _divide(images: Sequence[ImageFile], preset: Preset, known: Known) -> Division:
    """Regularisation images are never held out; one that is a near-duplicate of a held-out image is a leak all the
    same, since it is trained on."""
    own = [index for index, image in enumerate(images) if not regularises(preset, image)]
    if not own:
        why = "all images are regularisation images: there is nothing to learn"
        raise Problems([Problem("dataset.folders", why, "add a folder of what is to be learnt", "data")])
    found = divide([images[index] for index in own], preset.validation.split, known, _before(preset, known))
    if len(own) == len(images):
        return found
    held_out = tuple(own[index] for index in found.held_out)
    train = sorted({*range(len(images))} - {*held_out} - {own[index] for index in found.aside})
    leaks, compared = found.leaks, found.compared and found.compared + len(images) - len(own)
    if held_out and known.sides is None:  # a run that is gone on with was told when it began
        leaks, compared = leaks_into(held_out, sorted({*range(len(images))} - {*own}), images, known)
    return replace(
        found,
        train=tuple(train),
        held_out=held_out,
        aside=tuple(own[index] for index in found.aside),
        compared=compared,
        leaks=leaks,
        alike=tuple(tuple(own[index] for index in group) for group in found.alike),
    )


def _before(preset: Preset, known: Known) -> Sides:
    if known.sides is not None or known.cache is None:
        return known.sides or Sides()
    return sides.of_folders(known.cache, _names(preset), way(preset.validation.split))


def _names(preset: Preset) -> list[str]:
    return [row.path for row in preset.dataset.folders]


def keep(preset: Preset, images: Sequence[ImageFile], division: Division, run: Path, known: Known) -> None:
    """Write the split that a run begins with into its folder, and let this computer remember it. One that is gone on
    with has its file already."""
    if known.sides is not None:
        return
    now = sides_of(images, division)
    sides.keep_for_run(run, now)
    if division.held_out and not preset.validation.folder and known.cache is not None:
        rows: list[list[bytes]] = [[] for _ in preset.dataset.folders]
        for image in images:
            rows[image.folder].append(content_hash(image))
        sides.keep_for_folders(known.cache, rows, _names(preset), way(preset.validation.split), now)


def _scan_all(preset: Preset) -> Scan:
    """The images of all rows, then those of the held-out folder, which count as one row more."""
    rows, own, extension = preset.dataset.folders, preset.validation.folder, preset.captions.extension
    problems: list[Problem] = []
    found, held = Scan(()), Scan(())
    try:
        found = with_masks(scan(rows, extension), preset.dataset)
    except Problems as error:
        problems += error.problems
    try:
        held = scan([Folder(path=own, repeats=1)], extension) if own else held
    except Problems as error:
        problems += [
            replace(problem, path="validation.folder", fix=_fix(problem), change=_change(problem))
            for problem in error.problems
        ]
    if problems:
        raise Problems(problems)
    _refuse_both(found.images, held.images)
    images = (*found.images, *(replace(image, folder=len(rows)) for image in held.images))
    return Scan(images, (*found.unreadable, *held.unreadable), (*found.notes, *held.notes))


def _fix(problem: Problem) -> str:
    return problem.fix if "row" not in problem.fix else "give the folder that the images are in"


def _change(problem: Problem) -> tuple[tuple[str, Any], ...]:
    """What a row's change is for the held-out folder, which is no row."""
    return tuple(("validation.folder", rows[0].path) for _, rows in problem.change)


def _refuse_both(trained: Sequence[ImageFile], held: Sequence[ImageFile]) -> None:
    """Problems where a file is both learnt from and held out."""
    files = {os.path.realpath(image.path) for image in trained} if held else set()
    both = [image.path.name for image in held if os.path.realpath(image.path) in files]
    if both:
        named = ", ".join(both[:3]) + (", ..." if len(both) > 3 else "")
        why = f"images in it are trained on too, as a folder of dataset.folders says ({named})"
        raise Problems([Problem("validation.folder", why, "give a folder outside those that are trained on", "data")])


def _refuse_empty(images: Sequence[ImageFile], first: int, folder: str) -> None:
    """Problems where one of the two sides is left without an image that can be used."""
    if first == len(images):
        why = f"none of the images in {folder} can be used"
        raise Problems([Problem("validation.folder", why, "give other images, or leave this empty", "data")])
    if first == 0:
        raise Problems([Problem("dataset.folders", "none of the images can be used", "give other images", "data")])
