"""A checkpoint's tensors by the part of the model that they belong to, under diffusers' names whatever the layout."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from .base import Header
from .text_names import from_open_clip
from .unet_names import to_diffusers

Value = TypeVar("Value")
Parts = dict[str, dict[str, tuple[int, ...]]]
"""Part ("unet", "te1", "te2", "vae") -> tensor name as in diffusers or transformers -> shape. "other": what belongs to
none, under its own name."""

UNET = "model.diffusion_model."
FOLDERS = {"unet": "unet", "text_encoder": "te1", "text_encoder_2": "te2", "vae": "vae"}
"""Folder of a diffusers model -> part."""

_OLD_TEXT = "text_model."
_CLIP = {"cond_stage_model.transformer.": "te1", "conditioner.embedders.0.transformer.": "te1"}
_OPEN_CLIP = {
    "cond_stage_model.model.": "te1",
    "conditioner.embedders.1.model.": "te2",
    "conditioner.embedders.0.model.": "te2",
}
_VAE = "first_stage_model."
_UNUSED = "transformer.resblocks.23."
"""SD 2.x takes its text from the last layer but one of OpenCLIP-H's 24: transformers' model has 23."""


def remembered(make: Callable[[Header], Value]) -> Callable[[Header], Value]:
    """`make`, with what it made of the last few headers kept: a page asks anew at each edit. Headers are told apart by
    identity and never changed."""
    kept: deque[tuple[Header, Value]] = deque(maxlen=6)

    @wraps(make)
    def known(header: Header) -> Value:
        for own, value in tuple(kept):
            if own is header:
                return value
        kept.append((header, make(header)))
        return kept[-1][1]

    return known


@remembered
def parts_of(header: Header) -> Parts:
    """The header of a single file, or of a diffusers folder with each part's folder in front of its names. The VAE
    keeps the names that it has: nothing of it is adapted."""
    parts: Parts = {"unet": {}, "te1": {}, "te2": {}, "vae": {}, "other": {}}
    for name, shape in header.items():
        folder, _, rest = name.partition(".")
        if name.startswith(UNET):
            _put_unet(parts, name, shape)
        elif folder in FOLDERS:
            parts[FOLDERS[folder]][rest.removeprefix(_OLD_TEXT)] = shape
        elif name.startswith(_VAE):
            parts["vae"][name[len(_VAE) :]] = shape
        elif start := next((one for one in _CLIP if name.startswith(one)), ""):
            parts[_CLIP[start]][name[len(start) :].removeprefix(_OLD_TEXT)] = shape
        elif start := next((one for one in _OPEN_CLIP if name.startswith(one)), ""):
            if not (start.startswith("cond_stage") and name.startswith(start + _UNUSED)):
                _put_open_clip(parts[_OPEN_CLIP[start]], name[len(start) :], shape)
        else:
            parts["other"][name] = shape
    return parts


def _put_unet(parts: Parts, name: str, shape: tuple[int, ...]) -> None:
    try:
        parts["unet"][to_diffusers(name[len(UNET) :])] = shape
    except ValueError:
        parts["other"][name] = shape


def _put_open_clip(part: dict[str, tuple[int, ...]], name: str, shape: tuple[int, ...]) -> None:
    names = from_open_clip(name)
    own = (shape[0] // len(names), *shape[1:]) if names and shape else shape
    part |= dict.fromkeys(names, own)


def contents(parts: Parts) -> frozenset[str]:
    """Which parts are there, going by a tensor that each must have."""
    marks = {
        "unet": ("conv_in.weight",),
        "te1": ("embeddings.token_embedding.weight",),
        "te2": ("embeddings.token_embedding.weight",),
        "vae": ("encoder.conv_in.weight",),
    }
    return frozenset(part for part, names in marks.items() if all(name in parts[part] for name in names))
