"""Stable Diffusion 1.x: its fingerprint, sizes, defaults and the size of its adapters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from .base import Header

PROJECTION = "model.diffusion_model.input_blocks.1.1.proj_in.weight"
CONTEXT = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
FIRST = "model.diffusion_model.input_blocks.0.0.weight"
LAST_SKIP = "model.diffusion_model.output_blocks.11.0.skip_connection.weight"
TEXT = "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight"

_DIFFUSERS = {
    PROJECTION: "unet.down_blocks.0.attentions.0.proj_in.weight",
    CONTEXT: "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    FIRST: "unet.conv_in.weight",
    LAST_SKIP: "unet.up_blocks.3.resnets.2.conv_shortcut.weight",
}

_ATTENTION = re.compile(
    r"(unet\..*attentions|model\.diffusion_model\.(input_blocks|middle_block|output_blocks))\..*"
    r"(proj_in|proj_out|to_[qkv]|to_out\.0|ff\.net\.0\.proj|ff\.net\.2)\.weight$"
)
_RESIDUAL = re.compile(
    r"(unet\..*(resnets\.\d+\.(conv1|conv2|time_emb_proj|conv_shortcut)|(down|up)samplers\.0\.conv)"
    r"|model\.diffusion_model\..*(in_layers\.2|out_layers\.3|emb_layers\.1|skip_connection|\d\.op|\d\.conv))\.weight$"
)
_TEXT = re.compile(
    r"(text_encoder|cond_stage_model\.transformer)\.(text_model\.)?encoder\.layers\.\d+\."
    r"(self_attn\.(q|k|v|out)_proj|mlp\.fc[12])\.weight$"
)


def _standard_shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of the adapted layers of a Stable Diffusion 1.5, from its published sizes: widths 320 640 1280 1280, two
    residual blocks a level, text width 768, twelve text layers."""
    widths, text, time = (320, 640, 1280, 1280), 768, 1280
    shapes: dict[str, tuple[int, ...]] = {}

    def transformer(at: str, width: int) -> None:
        for name in ("proj_in", "proj_out"):
            shapes[f"{at}.{name}.weight"] = (width, width, 1, 1)
        block = f"{at}.transformer_blocks.0"
        for attention, source in (("attn1", width), ("attn2", text)):
            shapes[f"{block}.{attention}.to_q.weight"] = (width, width)
            shapes[f"{block}.{attention}.to_k.weight"] = shapes[f"{block}.{attention}.to_v.weight"] = (width, source)
            shapes[f"{block}.{attention}.to_out.0.weight"] = (width, width)
        shapes[f"{block}.ff.net.0.proj.weight"] = (8 * width, width)
        shapes[f"{block}.ff.net.2.weight"] = (width, 4 * width)

    def residual(at: str, inputs: int, width: int) -> None:
        shapes[f"{at}.conv1.weight"] = (width, inputs, 3, 3)
        shapes[f"{at}.conv2.weight"] = (width, width, 3, 3)
        shapes[f"{at}.time_emb_proj.weight"] = (width, time)
        if inputs != width:
            shapes[f"{at}.conv_shortcut.weight"] = (width, inputs, 1, 1)

    skips = [widths[0]]
    inputs = widths[0]
    for level, width in enumerate(widths):
        for index in range(2):
            residual(f"unet.down_blocks.{level}.resnets.{index}", inputs, width)
            if level < 3:
                transformer(f"unet.down_blocks.{level}.attentions.{index}", width)
            inputs = width
            skips.append(width)
        if level < 3:
            shapes[f"unet.down_blocks.{level}.downsamplers.0.conv.weight"] = (width, width, 3, 3)
            skips.append(width)
    for index in range(2):
        residual(f"unet.mid_block.resnets.{index}", inputs, inputs)
    transformer("unet.mid_block.attentions.0", inputs)
    for level, width in enumerate(reversed(widths)):
        for index in range(3):
            residual(f"unet.up_blocks.{level}.resnets.{index}", inputs + skips.pop(), width)
            if level > 0:
                transformer(f"unet.up_blocks.{level}.attentions.{index}", width)
            inputs = width
        if level < 3:
            shapes[f"unet.up_blocks.{level}.upsamplers.0.conv.weight"] = (width, width, 3, 3)
    for layer in range(12):
        at = f"text_encoder.encoder.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{at}.self_attn.{name}.weight"] = (text, text)
        shapes[f"{at}.mlp.fc1.weight"] = (4 * text, text)
        shapes[f"{at}.mlp.fc2.weight"] = (text, 4 * text)
    return shapes


def _lora_size(shape: tuple[int, ...], rank: int) -> int:
    """Trained values of one layer: down [rank, in, k, k] and up [out, rank]."""
    outputs, inputs, *kernel = shape
    area = kernel[0] * kernel[1] if kernel else 1
    return rank * (inputs * area + outputs)


@dataclass(frozen=True)
class StableDiffusion1Facts:
    """The facts of the family; see `base.Family`."""

    name: str = "SD 1.x"
    version: str = "sd_v1"
    architecture: str = "stable-diffusion-v1"
    base_resolution: int = 512
    latent_factor: int = 8
    size_multiple: int = 8
    defaults: Mapping[str, Any] = field(
        default_factory=lambda: MappingProxyType(
            {
                "dataset.resolution": 512,
                "dataset.bucket_min": 256,
                "dataset.bucket_max": 1024,
                "training.batch_size": 2,
                "memory.gradient_checkpointing": False,
                "sampling.sampler": "ddim",
                "sampling.steps": 25,
                "sampling.guidance": 7.5,
            }
        )
    )

    def adapter_parameters(self, header: Header, rank: int, conv_rank: int, unet: bool, text_encoder: bool) -> int:
        """Trained values of a LoRA, exact for both layouts; an empty header counts a Stable Diffusion 1.5.

        As in Kohya's networks, what is linear or a 1x1 convolution has `rank`; `conv_rank` is the rank of the 3x3
        convolutions, and time projections and shortcuts of the residual blocks are trained with them, at `rank`."""
        shapes = {name: shape for name, shape in header.items() if len(shape) in (2, 4)}
        if not any(_ATTENTION.match(name) for name in shapes):
            shapes = _standard_shapes()
        elif not any(_TEXT.match(name) for name in shapes):
            shapes |= {name: shape for name, shape in _standard_shapes().items() if _TEXT.match(name)}
        total = 0
        for name, shape in shapes.items():
            if (text_encoder and _TEXT.match(name)) or (unet and _ATTENTION.match(name)):
                total += _lora_size(shape, rank)
            elif unet and conv_rank and _RESIDUAL.match(name):
                total += _lora_size(shape, conv_rank if shape[2:] not in ((), (1, 1)) else rank)
        return total


SD1 = StableDiffusion1Facts()


def match(header: Header) -> str:
    """ "" if the header is not of this family, else "text to image", or what else the U-Net takes ("inpainting").

    By structure, not by width alone, so that small models of this shape count: 1x1-convolution projections in the first
    level's attention (SD 2.x and SDXL have linear ones, or none there) and a context width that is not SD 2.x's."""
    names = _DIFFUSERS if _DIFFUSERS[FIRST] in header else {name: name for name in _DIFFUSERS}
    if not all(name in header for name in names.values()):
        return ""
    projection, context = header[names[PROJECTION]], header[names[CONTEXT]]
    if len(projection) != 4 or len(context) != 2 or context[1] in (1024, 1280, 2048):
        return ""
    inputs = header[names[FIRST]][1]
    return {4: "text to image", 8: "image editing (InstructPix2Pix)", 9: "inpainting"}.get(inputs, f"{inputs} channels")


def prediction(header: Header, metadata: Mapping[str, str]) -> str:
    """ "v" where a single file carries its markers (a tensor `v_pred`, or modelspec), else "epsilon"."""
    marked = "v_pred" in header or metadata.get("modelspec.prediction_type", "").lower().startswith("v")
    return "v" if marked else "epsilon"
