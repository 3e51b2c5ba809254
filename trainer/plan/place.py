"""Which bucket each image of a scan goes to."""

from __future__ import annotations

from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Dataset

from .buckets import Chooser, Placed, Size, fit, fit_without_enlarging, make_buckets
from .scan import Scan, Unreadable


def place_all(found: Scan, dataset: Dataset) -> tuple[Scan, list[Placed]]:
    """Each image's bucket; images below one bucket step are skipped as unusable."""
    side, step = int(dataset.resolution), dataset.bucket_step  # type: ignore[arg-type]
    if not dataset.buckets:
        square = Size(side, side)
        return found, [fit(image.size, square) for image in found.images]
    if dataset.enlarge:
        nearest = Chooser(make_buckets(side * side, int(dataset.bucket_min), int(dataset.bucket_max), step))  # type: ignore[arg-type]
        return found, [fit(image.size, nearest(image.size)) for image in found.images]
    maybe = [fit_without_enlarging(image.size, side * side, step) for image in found.images]
    too_small = [
        Unreadable(image.path, f"{image.size} is smaller than one bucket step of {step} px")
        for image, place in zip(found.images, maybe)
        if place is None
    ]
    kept = tuple(image for image, place in zip(found.images, maybe) if place is not None)
    if not kept:
        change = (("dataset.enlarge", True),)
        raise Problems([Problem("dataset.enlarge", "every image is too small", "turn enlarging on", "data", change)])
    return Scan(kept, found.unreadable + tuple(too_small), found.notes), [place for place in maybe if place]
