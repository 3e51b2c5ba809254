"""The linter: all checks over a preset's images and captions, first those that need no pixels, then all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trainer.contract.settings import Preset

from .. import prints as printing
from ..plan import Plan, make_plan
from ..scan import ImageFile, Unreadable
from ..sides import Known
from . import caption_checks, image_checks, looks
from .finding import Finding, by_severity
from .material import Material, with_pixels
from .tokens import counter

Check = Callable[[Material], list[Finding]]

HEADERS: tuple[Check, ...] = (
    image_checks.broken,
    caption_checks.missing,
    caption_checks.empty,
    caption_checks.too_long,
    caption_checks.trigger,
    caption_checks.everywhere,
    image_checks.too_small,
    image_checks.unequal,
    image_checks.lonely_buckets,
    image_checks.too_few,
)
"""What headers and caption files tell."""
PIXELS: tuple[Check, ...] = (image_checks.leaks, image_checks.duplicates, image_checks.blurred, image_checks.turned)
"""What takes decoding every image."""

_CHUNK = 64
"""Images whose prints are waited for between two words of progress."""


@dataclass(frozen=True)
class Report:
    """`findings`: the gravest first. `images`: how many there are, held-out ones included. `done` of `total` readings
    of images have been made; `whole` once all checks have spoken."""

    findings: tuple[Finding, ...]
    images: int = 0
    done: int = 0
    total: int = 0
    whole: bool = False
    rules: Preset = field(default_factory=Preset, repr=False)


def check(found: Material, checks: tuple[Check, ...]) -> tuple[Finding, ...]:
    """What some checks say."""
    return by_severity([finding for one in checks for finding in one(found)])


def lint(preset: Preset, cache: Path, stop: threading.Event | None = None) -> Iterator[Report]:
    """Reports on a resolved preset, each more complete than the one before. `cache`: the machine's folder for what is
    known of images; `stop` ends the reading of pixels, and so does closing the iterator. Problems for folders and
    captions that cannot be read."""
    stop = stop or threading.Event()
    plan = make_plan(preset, known=Known(cache, patience_s=0))
    tokens = counter(preset.model.path)
    early = check(Material(plan, tokens), HEADERS)
    images, side = plan.images, int(preset.dataset.resolution)  # type: ignore[arg-type]
    total = 2 * len(images)
    yield Report(early, len(images), 0, total, rules=preset)
    try:
        for done in looks.look_at(images, side, cache, stop):
            yield Report(early, len(images), done, total, rules=preset)
        for done in _print(images, cache, stop):
            yield Report(early, len(images), len(images) + done, total, rules=preset)
    except GeneratorExit:
        stop.set()
        raise
    if stop.is_set():
        return
    plan = make_plan(preset, known=Known(cache), broken=_undecodable(images, side))
    found = with_pixels(Material(plan, tokens), _looks(plan, side), _groups(plan.images, cache))
    yield Report(check(found, (*HEADERS, *PIXELS)), len(plan.images), total, total, True, preset)


def _print(images: tuple[ImageFile, ...], cache: Path, stop: threading.Event) -> Iterator[int]:
    printing.load(images, cache)
    for start in range(0, len(images), _CHUNK):
        if stop.is_set():
            return
        printing.prints(images[start : start + _CHUNK], None)
        yield min(start + _CHUNK, len(images))
    printing.keep(images, cache)


def _undecodable(images: tuple[ImageFile, ...], side: int) -> list[Unreadable]:
    found = ((image, looks.seen(image, side)) for image in images)
    return [Unreadable(image.path, look.broken) for image, look in found if look is not None and look.broken]


def _looks(plan: Plan, side: int) -> dict[Path, looks.Look]:
    found = ((image, looks.seen(image, side)) for image in plan.images)
    return {image.path: look for image, look in found if look is not None}


def _groups(images: tuple[ImageFile, ...], cache: Path) -> list[list[int]]:
    from ..likeness import likeness_of  # numpy: only once there is something to compare

    found = printing.prints(images, cache)
    contents = tuple(printing.content_hash(image) for image in images)
    return likeness_of(contents, tuple(mark or b"" for mark in found)).parts()


def serious(plan: Plan) -> list[str]:
    """What `--check` adds to the plan's own notes, a line each: what the captions and folders alone tell."""
    found = Material(plan, counter(plan.preset.model.path))
    own = (caption_checks.too_long, caption_checks.everywhere, image_checks.unequal, image_checks.too_few)
    return [finding.sentence for finding in check(found, own) if finding.severity != "note"]
