"""The facts of a family that draws with a U-Net: one class for all of them, their values stand in a file each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from .base import Header, Layer
from .model_parts import Parts, parts_of
from .sizes import Size, layers_of
from .unet_names import to_original

_DIFFUSERS_BLOCK = re.compile(r"(down|up)_blocks_(\d+)_(resnets|attentions|downsamplers|upsamplers)_(\d+)_")
_known: dict[str, tuple[Parts, list[Layer]]] = {}
"""Family -> the last header's parts and their layers: a page asks anew at each edit."""

_ORIGINAL_BLOCK = re.compile(r"(input_blocks|middle_block|output_blocks)_(\d+)_")


@dataclass(frozen=True)
class UNetFacts:
    """See `base.Family`. `prefixes`: part -> how its adapter keys begin. `original_keys`: whether the U-Net's keys have
    the names of the original checkpoints, as sd-scripts writes them for SDXL, instead of diffusers'. `where_v`: what is
    otherwise for a model that predicts v. `takes_clip_skip`: whether `captions.clip_skip` means anything to it;
    `both_predictions`: whether models of either prediction are usual, so that one that does not say is a guess."""

    name: str
    version: str
    architecture: str
    base_resolution: int
    defaults: Mapping[str, Any]
    size: Size
    prefixes: Mapping[str, str]
    original_keys: bool = False
    latent_factor: int = 8
    size_multiple: int = 8
    takes_clip_skip: bool = True
    both_predictions: bool = False
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    where_v: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def suited(self, prediction: str) -> UNetFacts:
        """The facts of a model of this family that predicts "epsilon" or "v"."""
        return replace(self, **self.where_v, where_v={}) if prediction == "v" else self

    @property
    def parts(self) -> tuple[str, ...]:
        """What a complete model has."""
        return ("unet", *(part for part, _, _ in self.size.encoders), "vae")

    @property
    def levels(self) -> int:
        """Levels of the U-Net."""
        return len(self.size.widths)

    @property
    def blocks(self) -> tuple[str, ...]:
        """As sd-scripts counts them (`networks/lora.py`, `get_block_index`): for keys in diffusers' names each level's
        layers and sampler, 12 + 1 + 12 with four levels; for original names the blocks as they stand there and one at
        each end for what has no LoRA, 1 + 9 + 3 + 9 + 1 with three."""
        one_way = [f"{index:02}" for index in range(3 * self.levels)]
        down, up = [f"IN{index}" for index in one_way], [f"OUT{index}" for index in one_way]
        if self.original_keys:
            return ("BASE", *down, "M00", "M01", "M02", *up, "OUT")
        return (*down, "M00", *up)

    def block_of(self, key: str) -> int:
        """Index in `blocks`; -1 for what is in none."""
        if not key.startswith(self.prefixes["unet"]):
            return -1
        name, per_side = key[len(self.prefixes["unet"]) :], 3 * self.levels
        if self.original_keys:
            return self._original_block(name, per_side)
        if name.startswith("mid_block_"):
            return per_side
        found = _DIFFUSERS_BLOCK.match(name)
        if found is None:
            return -1
        sampler = found[3] in ("downsamplers", "upsamplers")
        index = 3 * int(found[2]) + (2 if sampler else int(found[4]))
        return 1 + index if found[1] == "down" else per_side + 1 + index

    @staticmethod
    def _original_block(name: str, per_side: int) -> int:
        found = _ORIGINAL_BLOCK.match(name)
        if found is None:
            ends = (("time_embed_", 0), ("label_emb_", 0), ("out_", 2 * per_side + 4))
            return next((index for start, index in ends if name.startswith(start)), -1)
        first = {"input_blocks": 1, "middle_block": 1 + per_side, "output_blocks": 4 + per_side}[found[1]]
        return first + int(found[2])

    def key_of(self, part: str, module: str) -> str:
        """The adapter key of a module with this dotted path in diffusers' or transformers' model."""
        path = to_original(module) if part == "unet" and self.original_keys else module
        return self.prefixes[part] + path.removeprefix("text_model.").replace(".", "_")

    def layers(self, header: Header) -> list[Layer]:
        """Every layer that can be adapted, in the order of the file."""
        parts = parts_of(header)
        if self.name not in _known or _known[self.name][0] is not parts:
            _known[self.name] = parts, layers_of(parts, self.size, self.key_of)
        return list(_known[self.name][1])
