"""Names inside the U-Net: those of diffusers, and those of the original (CompVis, Stability AI) checkpoints.

Both name the same tensors. Single files have the original ones; adapters of SDXL too, those of SD 1.x and 2.x have
diffusers'. The correspondence is that of diffusers' `scripts/convert_diffusers_to_original_stable_diffusion.py`: two
layers a level on the way down and three on the way up, counted through on the other side.

`sep` stands between the parts of a name: "." in checkpoints, "_" in adapter keys.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

_WHOLE = (
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
)
_RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("time_emb_proj", "emb_layers.1"),
    ("conv_shortcut", "skip_connection"),
)
_PER_LEVEL = 3
"""Original blocks of a level: two layers and a downsampler, or three layers."""


def to_original(name: str, bare_up: Collection[int] = (), sep: str = ".") -> str:
    """diffusers' name of a tensor or module -> the original one. `bare_up`: the levels on the way up that have no
    attention but an upsampler (0 in SD 1.x and 2.x), where that stands one place further ahead. ValueError for a name
    that no U-Net has."""
    if whole := _swapped(name, _pairs(sep), sep):
        return whole
    if found := _pattern(r"mid_block.(resnets|attentions).(\d+).(.+)", sep).fullmatch(name):
        kind, index, rest = found[1], int(found[2]), found[3]
        if kind == "attentions":
            return sep.join(("middle_block", "1", rest))
        return sep.join(("middle_block", str(2 * index), _inside(rest, sep, back=False)))
    pattern = r"(down|up)_blocks.(\d+).(resnets|attentions|downsamplers|upsamplers).(\d+).(.+)"
    found = _pattern(pattern, sep).fullmatch(name)
    if found is None:
        raise ValueError(f"{name} is no name of a U-Net's layer")
    way, level, kind, index, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    side = "input_blocks" if way == "down" else "output_blocks"
    first = _PER_LEVEL * level + (1 if way == "down" else 0)
    if kind == "downsamplers":
        return sep.join((side, str(first + 2), "0", rest.replace("conv", "op", 1)))
    if kind == "upsamplers":
        return sep.join((side, str(first + 2), "1" if level in bare_up else "2", rest))
    if kind == "attentions":
        return sep.join((side, str(first + index), "1", rest))
    return sep.join((side, str(first + index), "0", _inside(rest, sep, back=False)))


def to_diffusers(name: str, sep: str = ".") -> str:
    """The original name of a tensor or module -> diffusers'. ValueError for a name that no U-Net has."""
    if whole := _swapped(name, tuple((new, old) for old, new in _pairs(sep)), sep):
        return whole
    if found := _pattern(r"middle_block.(\d+).(.+)", sep).fullmatch(name):
        index, rest = int(found[1]), found[2]
        if index == 1:
            return sep.join(("mid_block", "attentions", "0", rest))
        return sep.join(("mid_block", "resnets", str(index // 2), _inside(rest, sep, back=True)))
    found = _pattern(r"(input|output)_blocks.(\d+).(\d+).(.+)", sep).fullmatch(name)
    if found is None:
        raise ValueError(f"{name} is no name of a U-Net's layer")
    way, block, place, rest = found[1], int(found[2]), int(found[3]), found[4]
    level, index = divmod(block - (1 if way == "input" else 0), _PER_LEVEL)
    side = f"{'down' if way == 'input' else 'up'}_blocks"
    if way == "input" and index == 2:
        return sep.join((side, str(level), "downsamplers", "0", rest.replace("op", "conv", 1)))
    if place == 0:
        return sep.join((side, str(level), "resnets", str(index), _inside(rest, sep, back=True)))
    if rest == "conv" or rest.startswith(f"conv{sep}"):
        return sep.join((side, str(level), "upsamplers", "0", rest))
    return sep.join((side, str(level), "attentions", str(index), rest))


def _inside(rest: str, sep: str, back: bool) -> str:
    """A name inside a residual block, in the other layout."""
    pairs = tuple((a.replace(".", sep), b.replace(".", sep)) for a, b in _RESNET)
    found = _swapped(rest, tuple((b, a) for a, b in pairs) if back else pairs, sep)
    if not found:
        raise ValueError(f"{rest} is no name inside a residual block")
    return found


@lru_cache(maxsize=4)
def _pairs(sep: str) -> tuple[tuple[str, str], ...]:
    return tuple((a.replace(".", sep), b.replace(".", sep)) for a, b in _WHOLE)


def _swapped(name: str, pairs: tuple[tuple[str, str], ...], sep: str) -> str:
    """The name with its beginning replaced as one of `pairs` says, or ""."""
    for old, new in pairs:
        if name == old or name.startswith(old + sep):
            return new + name[len(old) :]
    return ""


@lru_cache(maxsize=16)
def _pattern(text: str, sep: str) -> re.Pattern[str]:
    """A pattern written with "." for the separator (and "(.+)" for a rest)."""
    rest = "\0"
    return re.compile(text.replace("(.+)", rest).replace(".", re.escape(sep)).replace(rest, "(.+)"))
