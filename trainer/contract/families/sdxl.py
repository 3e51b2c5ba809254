"""Stable Diffusion XL and what was made from it (Pony, Illustrious, NoobAI): its fingerprint, sizes and defaults."""

from __future__ import annotations

from types import MappingProxyType

from .facts import UNetFacts
from .model_parts import Parts
from .sizes import Size

REFINER = "SDXL refiner"

SDXL = UNetFacts(
    name="SDXL",
    version="sdxl_base_v1-0",
    architecture="stable-diffusion-xl-v1-base",
    base_resolution=1024,
    defaults=MappingProxyType(
        {
            "dataset.resolution": 1024,
            "dataset.bucket_min": 512,
            "dataset.bucket_max": 2048,
            "training.batch_size": 1,
            "memory.gradient_checkpointing": True,
            "sampling.sampler": "euler",
            "sampling.steps": 28,
            "sampling.guidance": 7.0,
        }
    ),
    size=Size((320, 640, 1280), (0, 2, 10), 10, 2048, True, (("te1", 768, 12), ("te2", 1280, 32))),
    prefixes=MappingProxyType({"unet": "lora_unet_", "te1": "lora_te1_text_model_", "te2": "lora_te2_text_model_"}),
    original_keys=True,
    takes_clip_skip=False,
    metadata=MappingProxyType({"modelspec.implementation": "https://github.com/Stability-AI/generative-models"}),
)

_SIZES = "add_embedding.linear_1.weight"
_CONTEXT = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight"
_FIRST = "conv_in.weight"
_USES = {4: "text to image", 8: "image editing (InstructPix2Pix)", 9: "inpainting"}
_EDM = {"edm_mean": "EDM noise (Playground v2.5)", "edm_vpred.sigma_max": "EDM noise (CosXL)"}


def match(parts: Parts) -> str:
    """ "" if the tensors are not of this family, `REFINER`, else what the U-Net is for. By structure: image sizes are
    an input, the first of three levels has no attention. The refiner has four levels."""
    unet = parts["unet"]
    if not all(name in unet for name in (_SIZES, _CONTEXT, _FIRST)):
        return ""
    if "down_blocks.0.attentions.0.proj_in.weight" in unet:
        return ""
    if "down_blocks.3.resnets.0.conv1.weight" in unet or unet[_CONTEXT][-1] == 1280:
        return REFINER
    noising = next((use for name, use in _EDM.items() if name in parts["other"]), "")
    inputs = unet[_FIRST][1]
    return noising or _USES.get(inputs, f"{inputs} channels")
