"""What the page, the plan and the importers must know of a model family, without torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Header = Mapping[str, tuple[int, ...]]
"""Tensor name -> shape, as read from a checkpoint's header."""


@dataclass(frozen=True)
class Recognised:
    """What a checkpoint is. `trained` is False for a family that we know by sight but do not train yet.

    `layout`: "diffusers" (a folder) or "single file". `prediction`: "epsilon" or "v"; `zero_snr`: its noising ends in
    pure noise; `certain`: the model says so itself, it is not only what is usual in its family. `contents`: which parts
    are there ("unet", "te1", "te2", "vae"). `header`: the tensors of the U-Net or transformer and of the text encoders;
    empty for a model of the hub that is not on this machine yet."""

    family: str
    prediction: str
    layout: str
    trained: bool
    header: Header = field(default_factory=dict)
    zero_snr: bool = False
    contents: frozenset[str] = frozenset()
    certain: bool = False


@dataclass(frozen=True)
class Layer:
    """A layer that an adapter may train, known from the header alone. `key`: its name in the adapter file without
    tensor suffix ("lora_unet_input_blocks_4_1_proj_in"); `part`: "unet", "te1", "te2"; `shape`: of its weight;
    `residual`: one that is trained only where convolutions are."""

    key: str
    part: str
    shape: tuple[int, ...]
    residual: bool = False


class Family(Protocol):
    """The torch-free half of one family."""

    @property
    def name(self) -> str:
        """What users choose and see ("SD 1.x")."""
        ...

    @property
    def version(self) -> str:
        """`ss_base_model_version` of the adapter file ("sd_v1")."""
        ...

    @property
    def architecture(self) -> str:
        """`modelspec.architecture` of the adapter file without "/lora" ("stable-diffusion-v1")."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """What else the metadata of its adapters say, where sd-scripts writes another value than for SD 1.x."""
        ...

    @property
    def base_resolution(self) -> int:
        """Side of the square that the family was trained at, in pixels."""
        ...

    @property
    def latent_factor(self) -> int:
        """Pixels of a latent's side."""
        ...

    @property
    def size_multiple(self) -> int:
        """Image sides must be multiples of this many pixels."""
        ...

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Setting path -> default, for every setting whose default is `ByFamily`."""
        ...

    @property
    def takes_clip_skip(self) -> bool:
        """Whether `captions.clip_skip` has any effect."""
        ...

    @property
    def both_predictions(self) -> bool:
        """Whether models that predict the noise and such that predict v are both usual."""
        ...

    @property
    def parts(self) -> tuple[str, ...]:
        """What a complete model of the family has: "unet", "te1" (and "te2"), "vae"."""
        ...

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the U-Net's blocks as sd-scripts counts them: 25 for SD 1.x and 2.x, 23 for SDXL."""
        ...

    def block_of(self, key: str) -> int:
        """Index in `blocks` of an adapter key's layer; -1 for what is in none (text encoders)."""
        ...

    def suited(self, prediction: str) -> Family:
        """The facts of a model of this family that predicts "epsilon" or "v"."""
        ...

    def layers(self, header: Header) -> list[Layer]:
        """Every layer that an adapter may train on a model with these tensors, in the order of the file, under Kohya's
        keys (an empty header: the family's standard size; text encoders that the header lacks: their standard size)."""
        ...


def read_header(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Tensor shapes and metadata of a safetensors file, from its JSON header only (milliseconds for any size).

    ValueError where the file is no safetensors file or is cut short."""
    with open(path, "rb") as file:
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("the file is too short to be a safetensors file")
        (length,) = struct.unpack("<Q", head)
        if not 2 <= length <= 100_000_000:
            raise ValueError("the file does not start like a safetensors file")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise ValueError("its header is not readable: the file is damaged or cut short") from error
        size = file.seek(0, 2) - 8 - length
    try:
        metadata = header.pop("__metadata__", None) or {}
        shapes = {str(name): tuple(int(side) for side in entry["shape"]) for name, entry in header.items()}
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError("its header does not list tensors: the file is damaged") from error
    if end > size:
        raise ValueError("the file ends before its last tensor: the download was cut short")
    return shapes, {str(name): str(text) for name, text in metadata.items()}
