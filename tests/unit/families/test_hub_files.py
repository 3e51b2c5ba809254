"""Which files of a hub repository are fetched; the lists are those of real repositories' layouts."""

from __future__ import annotations

import pytest

from trainer.families.hub import _smallest_set

PLAIN = [
    "README.md",
    "v1-5-pruned.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.fp16.safetensors",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder/pytorch_model.bin",
    "safety_checker/model.safetensors",
]


XL = [
    "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
    "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder_2/model.safetensors",
]
"""A model with two encoders whose U-Net is in shards, as diffusers saves one larger than 10 GB."""


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (
            PLAIN,
            [
                "unet/diffusion_pytorch_model.safetensors",
                "vae/diffusion_pytorch_model.safetensors",
                "text_encoder/model.safetensors",
            ],
        ),
        (
            [
                *XL,
                "unet/diffusion_pytorch_model.fp16.safetensors",
                "unet/diffusion_pytorch_model.safetensors.index.json",
            ],
            XL,
        ),
        (
            ["unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.bin"],
            ["unet/diffusion_pytorch_model.fp16.safetensors"],
        ),
        (["unet/diffusion_pytorch_model.bin", "vae/diffusion_pytorch_model.fp16.bin"], None),
    ],
)
def test_one_file_a_part(files: list[str], wanted: list[str] | None) -> None:
    assert _smallest_set(files) == (files if wanted is None else wanted)
