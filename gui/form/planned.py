"""What the last plan tells beside the fields: figures that only images can give, and images without captions.

Kept in the session's draft until the next plan. No Gradio in here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gui.context import Context
from gui.form.heldout import thumbnail
from gui.roots import may_show
from trainer.contract.settings import Captions
from trainer.plan.captions import Source, compose
from trainer.plan.counting import count_of
from trainer.plan.heldout import summary
from trainer.plan.plan import Plan
from trainer.plan.scan import ImageFile

PREVIEWED = 4
"""Images whose captions are shown as they would be."""


@dataclass(frozen=True)
class Bare:
    """An image that has no caption file: its name, a small picture where the page may show it, the trigger word."""

    name: str
    picture: str
    trigger: str


@dataclass(frozen=True)
class NoCaptions:
    """Images without a caption file. `files`: the missing caption files of each folder row that may be written in;
    `folder`: the first row that lacks some. `rules`: of the preset."""

    count: int
    total: int
    first: tuple[Bare, ...]
    folder: str
    files: Mapping[Path, tuple[Path, ...]] = field(repr=False)
    rules: Captions = field(repr=False)

    def told(self, phrase: str) -> dict[str, Any]:
        """As form.js shows it: the captions of the first images now, with the phrase as the trigger word, and with the
        phrase in a file of each."""
        return {
            "count": self.count,
            "total": self.total,
            "writable": sum(map(len, self.files.values())),
            "extension": self.rules.extension,
            "rows": [
                {
                    "name": bare.name,
                    "picture": bare.picture,
                    "now": compose(Source((), bare.trigger, "fallback"), self.rules),
                    "trigger": compose(Source((), phrase.strip() or bare.trigger, "fallback"), self.rules),
                    "file": compose(Source(_lines(phrase), bare.trigger, "file"), self.rules),
                }
                for bare in self.first
            ],
        }


def _lines(phrase: str) -> tuple[str, ...]:
    return (phrase.strip(),) if phrase.strip() else ()


@dataclass(frozen=True)
class Planned:
    """`notes`: setting path -> what its value comes to. `captions`: None where every image has its text."""

    notes: Mapping[str, str] = field(default_factory=dict)
    captions: NoCaptions | None = None


NOTHING_PLANNED = Planned()


def planned(plan: Plan, context: Context) -> Planned:
    """What a plan tells beside the fields."""
    return Planned(_notes(plan), _without_captions(plan, context))


def _notes(plan: Plan) -> dict[str, str]:
    steps, preset = plan.steps, plan.preset
    looks = f"{plan.looks_per_image():.0f} looks per image"
    full = steps.looks / (steps.batches * int(preset.training.batch_size) * plan.processes)  # type: ignore[arg-type]
    warm = round(steps.total * preset.schedule.warmup / 100)
    return {
        "training.length": f"{steps.total:,} steps, {steps.per_epoch:,} per epoch, {looks}",
        "training.batch_size": f"batches are {100 * full:.0f} % full on average",
        "schedule.warmup": f"{warm:,} of {steps.total:,} steps",
        "dataset.resolution": f"{count_of(len(plan.buckets), 'bucket')} for {count_of(len(plan.train), 'image')}",
        "validation.split": summary(plan) if plan.held_out else "none held out",
        "sampling.every": f"pictures are drawn {count_of(len(plan.samples), 'time')}",
    }


def _without_captions(plan: Plan, context: Context) -> NoCaptions | None:
    """None too where images that lack a file have a trigger word: that is their text."""
    kept = frozenset(plan.regularisation)  # the trigger word is none of theirs: a note tells of those without text
    missing = [index for index, source in enumerate(plan.sources) if source.origin == "fallback"]
    bare = [index for index in missing if not plan.sources[index].trigger and index not in kept]
    if not bare:
        return None
    images = [plan.images[index] for index in bare]
    files = _files(images, plan, context)
    first = tuple(_bare(image, plan.sources[index].trigger, context) for image, index in zip(images, bare[:PREVIEWED]))
    folder = str(images[0].path.parent)
    return NoCaptions(len(bare), len(plan.images) - len(kept), first, folder, files, plan.preset.captions)


def _bare(image: ImageFile, trigger: str, context: Context) -> Bare:
    picture = thumbnail(str(image.path), image.mtime) if may_show(image.path, context) else ""
    return Bare(image.path.name, picture, trigger)


def _files(images: Sequence[ImageFile], plan: Plan, context: Context) -> dict[Path, tuple[Path, ...]]:
    rows = [Path(row.path) for row in plan.preset.dataset.folders]
    rows += [Path(plan.preset.validation.folder)] if plan.preset.validation.folder else []
    files: dict[Path, tuple[Path, ...]] = {}
    for image in images:
        root = rows[image.folder]
        if may_show(root, context):
            files[root] = (*files.get(root, ()), image.path.with_suffix(plan.preset.captions.extension))
    return files
