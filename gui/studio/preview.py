"""One image as the trainer will see it: the plan's own draw of a look, cut by the pixel code that trains."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Folder, Preset
from trainer.plan.draws import Draw
from trainer.plan.pixels import BrokenImage, open_image, open_mask, seen, seen_mask, shares
from trainer.plan.plan import Plan, make_plan
from trainer.plan.scan import ImageFile
from trainer.plan.sides import Known

_PATIENCE_S = 3.0
"""How long the preview waits for the comparison of images that decides which are held out."""


@dataclass(frozen=True)
class Look:
    """`draw`: what is drawn; `picture`: the pixels; `masked`: the same with all dimmed that does not count, None for an
    image that counts whole, and `counts`: how much of it does on average. `masks`: whether masks are used at all.
    `regularisation`: it is one of those images. `number` of `of` looks at this image in the whole run; `step`: the
    optimizer step that shows it, 0 for a held-out image, which is measured in the same form each time, and beyond the
    last one for an image that a short run never shows. `own`: the folder is one of the form's rows; else its settings
    are applied to the folder alone."""

    image: ImageFile
    draw: Draw
    picture: Image.Image
    number: int
    of: int
    step: int
    own: bool
    text_mode: str
    masks: bool = False
    masked: Image.Image | None = None
    counts: float = 1.0
    regularisation: bool = False


class Looks:
    """Plans for the folder in hand; the last one is kept as long as nothing that it came from has changed."""

    def __init__(self, cache: Path, may: Callable[[Path], bool] = lambda path: True) -> None:
        """`may`: whether the page may show what is in a file."""
        self._known, self._may = Known(cache, patience_s=_PATIENCE_S), may
        self._key: object = None
        self._plan: Plan | None = None
        self._lock = threading.Lock()

    def look(self, preset: Preset, folder: Path, image: Path, number: int, read_at: float) -> Look:
        """Look `number` (from 1) at an image. `preset`: the form's, resolved; `read_at`: changes when files have.
        Problems where the settings make no plan, or the image cannot be decoded or has no place in it."""
        own = any(same(row.path, folder) for row in preset.dataset.folders)
        if not own:
            masks = "alpha" if preset.dataset.masks == "alpha" else "none"
            alone = preset.dataset.model_copy(update={"folders": [Folder(path=str(folder))], "masks": masks})
            preset = preset.model_copy(update={"dataset": alone})
        with self._lock:
            return self._look(self._plan_of(preset, read_at), image, number, own)

    def _look(self, plan: Plan, image: Path, number: int, own: bool) -> Look:
        index = next((i for i, each in enumerate(plan.images) if each.path == image), None)
        if index is None:
            why = next((bad.why for bad in plan.unreadable if bad.path == image), "it is in no bucket")
            raise Problems([Problem(image.name, f"the trainer does not use it: {why}")])
        draw, count, step = drawn(plan, index, number)
        try:
            picture = seen(open_image(image), draw)
        except BrokenImage as error:
            raise Problems([Problem(image.name, error.why, "replace the file")]) from None
        shown = min(max(number, 1), max(count, 1))
        found = Look(plan.images[index], draw, picture, shown, count, step, own, plan.text_mode)
        kept = index in plan.regularisation
        return replace(found, **self._mask(plan, found), regularisation=kept)

    def _mask(self, plan: Plan, found: Look) -> dict[str, Any]:
        """What a mask lets count of a look; held-out images are measured whole."""
        image, used = found.image, plan.preset.dataset.masks != "none"
        if image.mask is None or not found.step or not self._may(image.mask):
            return {"masks": used and bool(found.step)}
        try:
            mask = seen_mask(open_mask(image.mask, image.mask == image.path), image.size, found.draw)
        except BrokenImage as error:
            raise Problems([Problem(image.mask.name, error.why, "replace the file")]) from None
        values = shares(mask, plan.latent_factor)
        counts = values + (1 - values) * plan.preset.dataset.mask_outside
        return {"masks": True, "masked": dimmed(found.picture, counts), "counts": float(counts.mean())}

    def _plan_of(self, preset: Preset, read_at: float) -> Plan:
        key = (preset.model_dump_json(), read_at)
        if self._plan is None or key != self._key:
            self._plan, self._key = make_plan(preset, known=self._known), key
        return self._plan


def dimmed(picture: Image.Image, counts: NDArray[np.float32]) -> Image.Image:
    """The picture with what does not count pale and grey. `counts`: of each latent, 0 to 1, as training takes it."""
    fog = Image.blend(picture.convert("L").convert("RGB"), Image.new("RGB", picture.size, (128, 128, 128)), 0.72)
    squares = Image.fromarray(np.rint(255 * counts).astype(np.uint8))
    return Image.composite(picture, fog, squares.resize(picture.size, Image.Resampling.NEAREST))


def drawn(plan: Plan, index: int, number: int) -> tuple[Draw, int, int]:
    """Look `number` at an image, how many the run has, and the step that shows it: the draw comes out of that very step
    as the trainer asks for it. A held-out image has one look and no step."""
    place = next((i for i, subject in enumerate(plan.draws.subjects) if subject.image == index), None)
    if place is None:
        [draw] = plan.fixed_draws([index])
        return draw, 1, 0
    subject, per_epoch = plan.draws.subjects[place], plan.steps.per_epoch
    whole, rest = divmod(plan.steps.total, per_epoch)
    seen_last = _shown_in(plan, place, whole + 1, rest) if rest else []
    count = subject.turns.before(whole + 1) + len(seen_last)
    number = min(max(number, 1), max(count, 1))
    turns, epochs = subject.turns, range(1, whole + 2 + subject.turns.of)
    epoch = epochs[bisect_left(epochs, number, key=lambda epoch: turns.before(epoch + 1))]
    at = number - 1 - turns.before(epoch)
    repeat = at if epoch <= whole or not seen_last else seen_last[at]
    step = _step_of(plan, place, epoch, repeat)
    for batch in plan.step_draws(step):
        for draw in batch:
            if draw.image == index and draw.repeat == repeat:
                return draw, count, step
    raise AssertionError("a step shows what its order says")


def _shown_in(plan: Plan, place: int, epoch: int, steps: int) -> list[int]:
    """Repeats of a subject that the first steps of an epoch show."""
    shown = plan.draws.order(epoch)[: steps * plan.draws.recipe.accumulate]
    return sorted(repeat for batch in shown for at, repeat in batch if at == place)


def _step_of(plan: Plan, place: int, epoch: int, repeat: int) -> int:
    order = plan.draws.order(epoch)
    batch = next(i for i, looks in enumerate(order) if (place, repeat) in looks)
    return (epoch - 1) * plan.steps.per_epoch + batch // plan.draws.recipe.accumulate + 1


def same(text: str, folder: Path) -> bool:
    """Whether a row of the form names this folder."""
    try:
        return bool(text.strip()) and Path(text).resolve() == folder.resolve()
    except (OSError, ValueError, RuntimeError):
        return False
