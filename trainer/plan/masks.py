"""Masks: which file says which part of an image is learnt, and what is wrong with such files.

A mask is the image's own alpha channel, or a grey picture of the same name in a folder of masks: white is learnt. An
image without one is learnt whole. Its shape must be the image's, at any size: stretched, it would cover other parts
than it was painted for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Dataset, Folder

from . import mask_facts
from .buckets import Size
from .counting import count_of, some_of
from .headers import Measure
from .scan import CANNOT_READ, EXTENSIONS, ImageFile, Scan, check_folder, reason

_NAMED = 5
_THREADS = 4
Progress = Callable[[str, int, int], None]


def with_masks(found: Scan, dataset: Dataset) -> Scan:
    """The scan with the file of each image's mask, as `dataset.masks` asks. Problems (kind "data") for folders of masks
    that are missing or hold none of the images, and for masks that cannot be read or have another shape."""
    if dataset.masks == "none":
        return found
    if dataset.masks == "alpha":
        return replace(found, images=tuple(_with_alpha(image) for image in found.images))
    problems: list[Problem] = []
    images: list[ImageFile] = []
    for index, row in enumerate(dataset.folders):
        own = [image for image in found.images if image.folder == index]
        if row.mask.strip():
            own, wrong = _of_row(own, row, index)
            problems += wrong
        images += own
    if problems:
        raise Problems(problems)
    return replace(found, images=tuple(images))


def _with_alpha(image: ImageFile) -> ImageFile:
    from PIL import Image

    try:
        with Image.open(image.path) as opened:
            return replace(image, mask=image.path) if opened.has_transparency_data else image
    except CANNOT_READ:
        return image  # whoever decodes it says what is wrong


def _of_row(images: Sequence[ImageFile], row: Folder, index: int) -> tuple[list[ImageFile], list[Problem]]:
    """The images of a row with their masks, and what is wrong with these."""
    wrong = check_folder(row.mask, index)
    if wrong is not None:
        return list(images), [replace(wrong, why=f"masks of {row.path}: {wrong.why}")]
    if os.path.realpath(row.mask) == os.path.realpath(row.path):
        why = f"the folder of masks is the folder of images itself: {row.mask}"
        return list(images), [Problem("dataset.folders", why, "put the masks into a folder of their own", "data")]
    stems: dict[Path, dict[str, Path]] = {}
    masked = [replace(image, mask=_mask_of(image, row, stems)) for image in images]
    if images and not any(image.mask for image in masked):
        why = f"none of the {count_of(len(images), 'image')} in {row.path} has a mask in {row.mask}"
        fix = "a mask has its image's name: photo.jpg, photo.png"
        return masked, [Problem("dataset.folders", why, fix, "data")]
    return masked, _faults(masked)


def _mask_of(image: ImageFile, row: Folder, stems: dict[Path, dict[str, Path]]) -> Path | None:
    """The picture of the image's name in the folder of masks; those of a `10_name` folder may lie in one called so."""
    place = Path(row.mask)
    inner = image.path.parent.relative_to(row.path) if image.path.is_relative_to(row.path) else Path()
    place = place / inner if (place / inner).is_dir() else place
    if place not in stems:
        stems[place] = _stems(place)
    return stems[place].get(image.path.stem.lower())


def _stems(folder: Path) -> dict[str, Path]:
    """Name without ending, in lower case -> picture; a PNG before others of the same name."""
    names = sorted(os.listdir(folder), key=lambda name: (not name.lower().endswith(".png"), name), reverse=True)
    pictures = [name for name in names if Path(name).suffix.lower() in EXTENSIONS and not name.startswith(".")]
    return {Path(name).stem.lower(): folder / name for name in pictures}


def _faults(images: Sequence[ImageFile]) -> list[Problem]:
    measure = Measure()
    unreadable, other = [], []
    for image in images:
        if image.mask is None:
            continue
        try:
            size = measure(str(image.mask))
        except CANNOT_READ as error:
            unreadable.append(f"{image.mask.name}: {reason(error)}")
            continue
        if not same_shape(size, image.size):
            other.append(f"{image.mask.name} is {size}, its image {image.size}")
    problems = [_cannot_read(unreadable)] if unreadable else []
    if other:
        why = f"{count_of(len(other), 'mask')} of another shape than the image ({some_of(other, _NAMED)})"
        fix = "a mask may be of another size, but not cropped or stretched: make it anew from the image"
        problems.append(Problem("dataset.folders", why, fix, "data"))
    return problems


def _cannot_read(named: Sequence[str]) -> Problem:
    why = f"{count_of(len(named), 'mask')} cannot be read ({some_of(named, _NAMED)})"
    return Problem("dataset.folders", why, "save it anew as PNG, or remove it: its image is then learnt whole", "data")


def same_shape(mask: Size, image: Size) -> bool:
    """Whether a mask is its image at another scale, each side rounded up or down."""
    low = max((mask.width - 1) / image.width, (mask.height - 1) / image.height)
    high = min((mask.width + 1) / image.width, (mask.height + 1) / image.height)
    return low <= high


def check_decoded(
    images: Iterable[ImageFile], dataset: Dataset, progress: Progress | None = None, cache: Path | None = None
) -> list[Problem]:
    """What only decoding the masks tells: files that are damaged further on, and masks that are black all over, where
    nothing outside of them counts: of such an image nothing would be learnt. `cache`: the machine's cache folder, where
    what was found of each file is kept until it changes."""
    masked = [image for image in images if image.mask is not None]
    if cache is not None and masked:
        mask_facts.load([image.mask for image in masked if image.mask is not None], cache)
    broken, black = [], []
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, (image, (why, brightest)) in enumerate(zip(masked, pool.map(_decoded, masked)), start=1):
            if why and image.mask != image.path:  # an image that cannot be decoded is skipped and told elsewhere
                broken.append(f"{image.path.name}: {why}")
            elif not why and not brightest:
                black.append(image.path.name)
            if progress:
                progress("checking masks", done, len(masked))
    if cache is not None:
        mask_facts.keep(cache)
    problems = [_cannot_read(broken)] if broken else []
    if black and not dataset.mask_outside:
        what = "alpha channel is transparent" if dataset.masks == "alpha" else "mask is black"
        why = f"the {what} all over for {some_of(black, _NAMED)}: nothing of that would be learnt"
        fix = "paint white what is to be learnt, take the image out, or let the rest count (dataset.mask_outside)"
        problems.append(Problem("dataset.folders", why, fix, "data"))
    return problems


def _decoded(image: ImageFile) -> tuple[str, int]:
    """(why it cannot be decoded, its brightest level)."""
    from .pixels import BrokenImage  # numpy: only where masks are looked at

    assert image.mask is not None
    try:
        return "", mask_facts.brightest(image.mask, alpha=image.mask == image.path)
    except BrokenImage as error:
        return error.why, 0
