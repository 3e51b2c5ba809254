"""Stable Diffusion 1.x: its fingerprint, sizes and defaults."""

from __future__ import annotations

from types import MappingProxyType

from .facts import UNetFacts
from .model_parts import Parts
from .sizes import Size

PROJECTION = "down_blocks.0.attentions.0.proj_in.weight"
CONTEXT = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
FIRST = "conv_in.weight"
LAST_SKIP = "up_blocks.3.resnets.2.conv_shortcut.weight"

SD1 = UNetFacts(
    name="SD 1.x",
    version="sd_v1",
    architecture="stable-diffusion-v1",
    base_resolution=512,
    defaults=MappingProxyType(
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
    ),
    size=Size((320, 640, 1280, 1280), (1, 1, 1, 0), 1, 768, False, (("te1", 768, 12),)),
    prefixes=MappingProxyType({"unet": "lora_unet_", "te1": "lora_te_text_model_"}),
    where_v=MappingProxyType({"version": "sd_v1_v"}),
)

_USES = {4: "text to image", 8: "image editing (InstructPix2Pix)", 9: "inpainting"}


def use_of(parts: Parts) -> str:
    """What a U-Net with attention on all levels but the last is for, by its input channels; "" if it is none."""
    unet = parts["unet"]
    if not all(name in unet for name in (PROJECTION, CONTEXT, FIRST, LAST_SKIP)) or len(unet[CONTEXT]) != 2:
        return ""
    inputs = unet[FIRST][1]
    return _USES.get(inputs, f"{inputs} channels")


def match(parts: Parts) -> str:
    """ "" if the tensors are not of this family, else "text to image", or what else the U-Net is for ("inpainting").

    By structure, not by width alone, so that small models of this shape count: 1x1-convolution projections in the first
    level's attention (SD 2.x and SDXL have linear ones, or none there) and a context width that is not SD 2.x's."""
    use = use_of(parts)
    if not use or len(parts["unet"][PROJECTION]) != 4 or parts["unet"][CONTEXT][1] in (1024, 1280, 2048):
        return ""
    return use
