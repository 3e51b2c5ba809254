"""Writes the demo model as a diffusers folder in fp16, the form in which it ships."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from transformers import CLIPTextModel, CLIPTokenizer

from trainer.tools.demo_model.unet import build_scheduler


def export(
    folder: Path, tokenizer: CLIPTokenizer, encoder: CLIPTextModel, vae: AutoencoderKL, unet: UNet2DConditionModel
) -> None:
    """Saves copies in fp16; what is passed in stays as it is, so that training can go on after an export."""
    parts: dict[str, Any] = {"text_encoder": encoder, "vae": vae, "unet": unet}
    parts = {name: copy.deepcopy(part).to(dtype=torch.float16) for name, part in parts.items()}
    parts |= {"tokenizer": tokenizer, "scheduler": build_scheduler(), "safety_checker": None, "feature_extractor": None}
    StableDiffusionPipeline(**parts, requires_safety_checker=False).save_pretrained(folder, safe_serialization=True)
