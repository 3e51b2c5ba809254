"""How like the held-out images the samples of a run are, after each sampling; a failure is a warning."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from trainer.contract.events import Likened, Noted, Sampled, Warned
from trainer.plan.draws import digest
from trainer.plan.pixels import look, open_image
from trainer.plan.plan import Plan
from trainer.validation.likeness import Embed, likenesses

from .telling import Emit, told

LIKENESS = "validation.likeness_model"
SHOWN_TO_THE_MODEL = 64
"""At most so many images are what the pictures are compared with."""


@dataclass
class Likener:
    """Compares each sampling's pictures with the held-out images; without any, with training images.

    `load()`: the embedding model, loaded when first needed; one that cannot be had is told once and left out."""

    plan: Plan
    folder: Path
    load: Callable[[], Embed]
    emit: Emit
    _embed: Embed | None = None
    _images_MK: Tensor | None = None
    _off: bool = False

    def __call__(self, drawn: Sampled) -> None:
        """Tell how like them the drawn pictures are."""
        if self._off:
            return
        try:
            embed, images_MK = self._ready(drawn.step)
        except Exception as error:
            self._off = True
            text = f"the samples' likeness is not measured: {told(error)}"
            self.emit(Warned(step=drawn.step, text=text, setting=LIKENESS))
            return
        try:
            began = time.monotonic()
            values = likenesses(embed([open_image(self.folder / file) for file in drawn.files]), images_MK)
            mean, seconds = sum(values) / len(values), time.monotonic() - began
            step = drawn.step if drawn.weights_step is None else drawn.weights_step
            self.emit(Likened(step=step, similarity=mean, per_picture=values, seconds=seconds))
        except Exception as error:
            text = f"the likeness of the samples of step {drawn.step} could not be measured: {told(error)}"
            self.emit(Warned(step=drawn.step, text=text, setting=LIKENESS))

    def _ready(self, step: int) -> tuple[Embed, Tensor]:
        """The model, and the vectors of what the pictures are compared with."""
        if self._embed is None or self._images_MK is None:
            embed = self.load()
            images = reference_images(self.plan)
            self._images_MK, self._embed = embed([self._as_trained(index) for index in images]), embed
            if not self.plan.held_out:
                text = (
                    f"No images are held out, so the samples' likeness is measured against {len(images)} training "
                    "images: learning those by heart raises it too."
                )
                self.emit(Noted(step=step, text=text, setting=LIKENESS))
        return self._embed, self._images_MK

    def _as_trained(self, index: int) -> Image.Image:
        """An image of the plan in the size and cut that it is measured in."""
        draw = self.plan.fixed_draws([index])[0]
        return look(open_image(self.plan.images[index].path), draw.resized, draw.crop, draw.bucket)


def reference_images(plan: Plan) -> list[int]:
    """What samples are compared with: the held-out images, else training images; of many, some by their keys."""
    among = plan.held_out or plan.train
    return sorted(sorted(among, key=lambda i: digest(plan.images[i].key, "likeness"))[:SHOWN_TO_THE_MODEL])
