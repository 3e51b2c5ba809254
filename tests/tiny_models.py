"""Tiny random models of the true classes, one for every row of families: diffusers folders of a few hundred kB.

Their structure is the published one (levels, encoders, projections, sizes as inputs); only widths and depths are small.
`original_layout` writes them as single files.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from original_layout import write_single_file


@dataclass(frozen=True)
class Row:
    """A kind of model: `family` as users see it, what it predicts, whether its noising ends in pure noise."""

    family: str
    prediction: str = "epsilon"
    zero_snr: bool = False

    @property
    def id(self) -> str:
        """For test names and folders."""
        return "-".join([self.family, self.prediction, *(["zero SNR"] if self.zero_snr else [])])

    @property
    def markers(self) -> tuple[str, ...]:
        """Empty tensors by which a single file of this row says what it is."""
        return (*(["v_pred"] if self.prediction == "v" else []), *(["ztsnr"] if self.zero_snr else []))


ROWS = (
    Row("SD 1.x"),
    Row("SD 1.x", "v"),
    Row("SD 2.x"),
    Row("SD 2.x", "v"),
    Row("SDXL"),
    Row("SDXL", "v", zero_snr=True),
)
SDXL = Row("SDXL")

_CONV, _ATTENTION = ("DownBlock2D", "UpBlock2D"), ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D")
TEXT, TEXT_2, POOLED = 32, 48, 40
"""Widths of the encoders, and of SDXL's projection: not the second encoder's, so that a turned matrix does not fit."""


def _unet(row: Row) -> dict[str, Any]:
    """As the published configurations, with small numbers."""
    if row.family == "SDXL":
        return {
            "block_out_channels": [16, 32, 32],
            "down_block_types": [_CONV[0], _ATTENTION[0], _ATTENTION[0]],
            "up_block_types": [_ATTENTION[1], _ATTENTION[1], _CONV[1]],
            "transformer_layers_per_block": [1, 1, 2],
            "attention_head_dim": [1, 2, 2],
            "cross_attention_dim": TEXT + TEXT_2,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + POOLED,
        }
    linear = row.family == "SD 2.x"
    return {
        "block_out_channels": [16, 16, 32, 32],
        "down_block_types": [_ATTENTION[0]] * 3 + [_CONV[0]],
        "up_block_types": [_CONV[1]] + [_ATTENTION[1]] * 3,
        "attention_head_dim": [1, 1, 2, 2] if linear else 2,
        "cross_attention_dim": TEXT,
        "use_linear_projection": linear,
    }


def _encoder(width: int, act: str, end: int, words: int, **more: Any) -> dict[str, Any]:
    heads = {TEXT: 2, TEXT_2: 3}[width]
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": heads, "hidden_act": act}
    marks = {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    return {"num_hidden_layers": 3, "max_position_embeddings": 77, "vocab_size": words, **sizes, **marks, **more}


def build(row: Row, folder: Path, seed: int = 0) -> Path:
    """Write the row's model as a diffusers folder. Weights are random but not so small that nothing shows."""
    from diffusers.models import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from trainer.tools.demo_model.tokenizer import build_tokenizer

    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    end, words = int(tokenizer.eos_token_id), len(tokenizer)
    parts: dict[str, Any] = {
        "unet": UNet2DConditionModel(sample_size=8, norm_num_groups=8, layers_per_block=2, **_unet(row)),
        "vae": AutoencoderKL(
            block_out_channels=[8, 8, 16, 16],
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=4,
            scaling_factor=0.13025 if row.family == "SDXL" else 0.18215,
        ),
    }
    act = "gelu" if row.family == "SD 2.x" else "quick_gelu"
    parts["text_encoder"] = CLIPTextModel(CLIPTextConfig(**_encoder(TEXT, act, end, words)))
    if row.family == "SDXL":
        config = CLIPTextConfig(**_encoder(TEXT_2, "gelu", end, words, projection_dim=POOLED))
        parts["text_encoder_2"] = CLIPTextModelWithProjection(config)
    for name, part in parts.items():
        with torch.no_grad():
            for value in part.parameters():
                if value.ndim > 1:
                    value.copy_(torch.randn_like(value) * (value[0].numel() ** -0.5))
        part.save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / "tokenizer")
    if row.family != "SD 1.x":
        tokenizer.pad_token = "!"
        tokenizer.save_pretrained(folder / ("tokenizer_2" if row.family == "SDXL" else "tokenizer"))
    _write_rest(row, folder)
    return folder


def _write_rest(row: Row, folder: Path) -> None:
    scheduler = {
        "_class_name": "EulerDiscreteScheduler" if row.family == "SDXL" else "DDIMScheduler",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction" if row.prediction == "v" else "epsilon",
        "rescale_betas_zero_snr": row.zero_snr,
        "timestep_spacing": "trailing" if row.zero_snr else "leading",
        "steps_offset": 1,
    }
    if row.family != "SDXL":
        scheduler |= {"clip_sample": False, "set_alpha_to_one": False}
    clip = ["transformers", "CLIPTextModel"]
    index: dict[str, Any] = {
        "_class_name": "StableDiffusionXLPipeline" if row.family == "SDXL" else "StableDiffusionPipeline",
        "_diffusers_version": "0.42.0",
        "scheduler": ["diffusers", scheduler["_class_name"]],
        "text_encoder": clip,
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    if row.family == "SDXL":
        index |= {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}
        index |= {"tokenizer_2": ["transformers", "CLIPTokenizer"], "force_zeros_for_empty_prompt": True}
    else:
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
    for name, content in (("scheduler/scheduler_config.json", scheduler), ("model_index.json", index)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


def plain_size(facts: Any, header: Any, rank: int, conv_rank: int, parts: tuple[str, ...]) -> int:
    """Trained values of a LoRA by the formula of its two matrices, added up over a family's layers."""
    total = 0
    for layer in facts.layers(header):
        outputs, inputs, *kernel = layer.shape
        area = math.prod(kernel)
        if layer.part in parts and (conv_rank or not layer.residual):
            total += (conv_rank if area > 1 else rank) * (inputs * area + outputs)
    return total


def single_file(row: Row, folder: Path, file: Path) -> Path:
    """The folder as a single file that says what it is."""
    return write_single_file(folder, file, row.markers)
