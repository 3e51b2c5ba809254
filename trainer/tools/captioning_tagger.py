"""Tags by an ONNX tagger, as the WD taggers' own demonstration computes them.

Source: app.py of huggingface.co/spaces/SmilingWolf/wd-tagger. Transparent parts and padding are white, the square is
resized by bicubic interpolation, colours are BGR from 0 to 255. The table's categories are 9 rating, 0 general and 4
character; underscores become spaces, except in emoticons. Names carry shapes: N images, H height, W width, T tags.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainer.contract.problems import Problem, Problems
from trainer.contract.tasks import Captioning
from trainer.plan.captioners import SETTING, onnx_file, read_tags

USUAL_PX = 448
GENERAL, CHARACTER = 0, 4
_WORD = re.compile(r"\w{2}")
INSTALL = "install it: python launch.py --with taggers"


class Tagger:
    """A tagger in memory."""

    def __init__(self, folder: Path, task: Captioning) -> None:
        self._task, self._tags = task, read_tags(folder)
        self._never = {_plain(tag) for tag in task.no_tags}
        self._session = _session(onnx_file(folder))
        entry = self._session.get_inputs()[0]
        self._name, shape = entry.name, list(entry.shape)
        self._first = len(shape) == 4 and shape[1] == 3  # NCHW, else NHWC
        side = shape[2] if len(shape) == 4 else None
        self._side_px = side if isinstance(side, int) and side > 0 else USUAL_PX
        self._one_by_one = bool(shape) and shape[0] == 1

    @property
    def device(self) -> str:
        """What it computes on, for people."""
        return "GPU" if "CUDAExecutionProvider" in self._session.get_providers() else "CPU"

    def captions(self, images: Sequence[Image.Image]) -> list[str]:
        """The tags of each image that reach their thresholds: characters first, then by falling confidence."""
        batches = [[image] for image in images] if self._one_by_one else [list(images)]
        return [self._text(row) for batch in batches for row in self._confidences(batch)]

    def _confidences(self, images: Sequence[Image.Image]) -> Any:
        values_NHWC = np.stack([prepare(image, self._side_px) for image in images])
        values = values_NHWC.transpose(0, 3, 1, 2) if self._first else values_NHWC
        found_NT: Any = np.asarray(self._session.run(None, {self._name: np.ascontiguousarray(values)})[0], np.float32)
        if found_NT.ndim != 2 or found_NT.shape[1] != len(self._tags):
            why = f"the model answers {found_NT.shape[-1]} values, its table has {len(self._tags)} tags"
            raise Problems([Problem(SETTING, why, "get both files from the same place", "model")])
        if found_NT.min(initial=0.0) < 0 or found_NT.max(initial=0.0) > 1:  # logits
            found_NT = 1 / (1 + np.exp(-found_NT))
        return found_NT

    def _text(self, confidences_T: Any) -> str:
        task, limits = self._task, {GENERAL: self._task.threshold, CHARACTER: self._task.characters}
        found = [
            (category != CHARACTER, -float(confidence), name)
            for (name, category), confidence in zip(self._tags, confidences_T)
            if category in limits and confidence >= limits[category] and _plain(name) not in self._never
        ]
        names = [name for _, _, name in sorted(found)[: task.most_tags]]
        return ", ".join(name if task.underscores else spaced(name) for name in names)


def _session(file: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        why = "a tagger needs the package onnxruntime, which is not installed"
        raise Problems([Problem(SETTING, why, INSTALL)]) from None
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(file), providers=providers)
    except Exception as error:  # its exceptions have no common class
        why = f"{file.name} cannot be loaded: {str(error).splitlines()[0][:200]}"
        raise Problems([Problem(SETTING, why, "download it again", "model")]) from None


def prepare(image: Image.Image, side_px: int) -> Any:
    """An upright RGB image as the model wants it: HWC float32, BGR, 0 to 255, in the middle of a white square."""
    longest = max(image.size)
    square = Image.new("RGB", (longest, longest), (255, 255, 255))
    square.paste(image, ((longest - image.width) // 2, (longest - image.height) // 2))
    if longest != side_px:
        square = square.resize((side_px, side_px), Image.Resampling.BICUBIC)
    return np.asarray(square, dtype=np.float32)[:, :, ::-1]


def spaced(tag: str) -> str:
    """A tag with spaces for underscores; emoticons such as `^_^` and `o_o` have no two letters in a row and stay."""
    return tag.replace("_", " ") if _WORD.search(tag.replace("_", " ")) else tag


def _plain(tag: str) -> str:
    return tag.strip().lower().replace("_", " ")
