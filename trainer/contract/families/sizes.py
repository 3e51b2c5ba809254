"""The layers that an adapter may train: of a checkpoint by its header, of a family by its published sizes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .base import Layer
from .model_parts import Parts

_ATTENTION = re.compile(
    r"(?:down_blocks|up_blocks|mid_block)\..*attentions\.\d+\."
    r"(?:proj_in|proj_out|transformer_blocks\.\d+\.(?:attn[12]\.to_(?:[qkv]|out\.0)|ff\.net\.(?:0\.proj|2)))\.weight"
)
_RESIDUAL = re.compile(
    r"(?:down_blocks|up_blocks|mid_block)\..*"
    r"(?:resnets\.\d+\.(?:conv1|conv2|time_emb_proj|conv_shortcut)|(?:down|up)samplers\.0\.conv)\.weight"
)
_TEXT = re.compile(r"encoder\.layers\.\d+\.(?:self_attn\.(?:q|k|v|out)_proj|mlp\.fc[12])\.weight")


@dataclass(frozen=True)
class Size:
    """Of the model that a family was published as. `widths`: of the U-Net's levels; `depths`: transformer blocks of
    each level's attention (0: it has none), `middle` those in the middle; `context`: width of the text; `linear`:
    whether the attention's projections are linear layers, not 1x1 convolutions. `encoders`: part, width and layers of
    each."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    middle: int
    context: int
    linear: bool
    encoders: tuple[tuple[str, int, int], ...]


def layers_of(parts: Parts, size: Size, key_of: Callable[[str, str], str]) -> list[Layer]:
    """What can be adapted, in the order of the file: encoders first, then the U-Net, each by its keys' alphabet.
    `key_of`: (part, module) -> key. Encoders that are not in the header have their published size, and so has
    everything where the header has no U-Net."""
    found = [layer for part in parts for layer in _adapted(part, parts[part], key_of)]
    there = {layer.part for layer in found}
    standard = standard_parts(size)
    lacking = [part for part in standard if part not in there or "unet" not in there]
    found = [layer for layer in found if layer.part not in lacking]
    found += [layer for part in lacking for layer in _adapted(part, standard[part], key_of)]
    return sorted(found, key=lambda layer: (layer.part == "unet", layer.key))


def _adapted(part: str, shapes: dict[str, tuple[int, ...]], key_of: Callable[[str, str], str]) -> Iterator[Layer]:
    for name, shape in shapes.items():
        module = name.removesuffix(".weight")
        if (part in ("te1", "te2") and _TEXT.fullmatch(name)) or (part == "unet" and _ATTENTION.fullmatch(name)):
            yield Layer(key_of(part, module), part, shape)
        elif part == "unet" and _RESIDUAL.fullmatch(name):
            yield Layer(key_of(part, module), part, shape, residual=True)


def standard_parts(size: Size) -> Parts:
    """Shapes of the weights that can be adapted, under diffusers' names."""
    return {"unet": dict(_unet(size))} | {part: dict(_encoder(*sizes)) for part, *sizes in size.encoders}


def _encoder(width: int, layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for layer in range(layers):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"encoder.layers.{layer}.self_attn.{name}.weight", (width, width)
        yield f"encoder.layers.{layer}.mlp.fc1.weight", (4 * width, width)
        yield f"encoder.layers.{layer}.mlp.fc2.weight", (width, 4 * width)


def _unet(size: Size) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Two residual blocks a level on the way down, three on the way up, which take what was kept on the way down."""
    widths, last = size.widths, len(size.widths) - 1
    inputs, skips = widths[0], [widths[0]]
    for level, width in enumerate(widths):
        for index in range(2):
            yield from _residual(f"down_blocks.{level}.resnets.{index}", inputs, width, 4 * widths[0])
            yield from _transformer(f"down_blocks.{level}.attentions.{index}", width, size.depths[level], size)
            inputs = width
            skips.append(width)
        if level < last:
            yield f"down_blocks.{level}.downsamplers.0.conv.weight", (width, width, 3, 3)
            skips.append(width)
    for index in range(2):
        yield from _residual(f"mid_block.resnets.{index}", inputs, inputs, 4 * widths[0])
    yield from _transformer("mid_block.attentions.0", inputs, size.middle, size)
    for level, width in enumerate(reversed(widths)):
        for index in range(3):
            yield from _residual(f"up_blocks.{level}.resnets.{index}", inputs + skips.pop(), width, 4 * widths[0])
            yield from _transformer(f"up_blocks.{level}.attentions.{index}", width, size.depths[last - level], size)
            inputs = width
        if level < last:
            yield f"up_blocks.{level}.upsamplers.0.conv.weight", (width, width, 3, 3)


def _residual(at: str, inputs: int, width: int, time: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{at}.conv1.weight", (width, inputs, 3, 3)
    yield f"{at}.conv2.weight", (width, width, 3, 3)
    yield f"{at}.time_emb_proj.weight", (width, time)
    if inputs != width:
        yield f"{at}.conv_shortcut.weight", (width, inputs, 1, 1)


def _transformer(at: str, width: int, depth: int, size: Size) -> Iterator[tuple[str, tuple[int, ...]]]:
    if not depth:
        return
    for name in ("proj_in", "proj_out"):
        yield f"{at}.{name}.weight", (width, width) if size.linear else (width, width, 1, 1)
    for index in range(depth):
        block = f"{at}.transformer_blocks.{index}"
        for attention, source in (("attn1", width), ("attn2", size.context)):
            yield f"{block}.{attention}.to_q.weight", (width, width)
            yield f"{block}.{attention}.to_k.weight", (width, source)
            yield f"{block}.{attention}.to_v.weight", (width, source)
            yield f"{block}.{attention}.to_out.0.weight", (width, width)
        yield f"{block}.ff.net.0.proj.weight", (8 * width, width)
        yield f"{block}.ff.net.2.weight", (width, 4 * width)
