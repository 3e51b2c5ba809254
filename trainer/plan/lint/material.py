"""What the checks look at: the plan of a preset, its captions cut into tags, and what the pixels say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from trainer.contract.problems import Problems
from trainer.contract.settings import Dataset, Preset

from ..buckets import Placed
from ..gather import triggers
from ..place import place_all
from ..plan import Plan
from ..scan import Scan
from .looks import Look
from .tokens import Counter


@dataclass(frozen=True)
class Material:
    """`looks` and `groups` (of near-duplicates, indices in the plan's images) are None before the pixels were read."""

    plan: Plan
    counter: Counter
    looks: Mapping[Path, Look] | None = None
    groups: Sequence[Sequence[int]] | None = None
    _seen: dict[str, object] = field(default_factory=dict, repr=False, compare=False)

    @property
    def preset(self) -> Preset:
        """The resolved preset."""
        return self.plan.preset

    @cached_property
    def trigger_of(self) -> tuple[str, ...]:
        """The trigger word of each image's folder."""
        words = triggers(self.preset)
        return tuple(words[image.folder].strip() for image in self.plan.images)

    @cached_property
    def tags(self) -> tuple[tuple[str, ...], ...]:
        """The tags of each image's caption file, its lines together; none where captions are not read from files."""
        cut = self.preset.captions.separator
        return tuple(
            tuple(dict.fromkeys(tag.strip() for line in source.lines for tag in line.split(cut) if tag.strip()))
            for source in self.plan.sources
        )

    def paths(self, indices: Sequence[int]) -> tuple[Path, ...]:
        """The files of some images."""
        return tuple(self.plan.images[index].path for index in indices)

    def caption_files(self, indices: Sequence[int]) -> tuple[Path, ...]:
        """The caption files of some images, as far as they have one."""
        found = (self.plan.images[index].caption_file for index in indices)
        return tuple(file for file in found if file is not None)

    def where(self, holds: Callable[[int], bool]) -> list[int]:
        """The indices of the images for which something holds."""
        return [index for index in range(len(self.plan.images)) if holds(index)]

    def placed_with(self, **changes: object) -> list[Placed] | None:
        """Where all images would be placed with other settings of the dataset; None where that is not possible."""
        values = self.preset.dataset.model_dump() | changes
        try:
            return place_all(Scan(self.plan.images), Dataset.model_validate(values))[1]
        except (Problems, ValueError):
            return None


def with_pixels(found: Material, looks: Mapping[Path, Look], groups: Sequence[Sequence[int]]) -> Material:
    """The same with what the pixels say."""
    return replace(found, looks=looks, groups=groups)
