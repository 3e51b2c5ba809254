"""Stable Diffusion 1.5 at its true size and in its original layout, without memory for its weights (meta device)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import original_layout
import pytest
import tiny_models
import torch
from torch import Tensor

from trainer.contract.families import default_family, sd1
from trainer.contract.families.model_parts import parts_of
from trainer.contract.problems import Problems
from trainer.families.files import assemble, of_original
from trainer.families.sd1 import LAYOUT

SHIPPED = LAYOUT.shipped
GOLDEN = Path(__file__).parents[2] / "golden" / "sdscripts-sd15-r16.json"
NOWHERE = Path("there is no such folder")


@pytest.fixture(scope="module")
def original() -> dict[str, Tensor]:
    """The tensors of v1-5-pruned.ckpt by name: 686 + 248 + 197, and some of what such files hold besides."""
    from diffusers.models import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    def config(part: str) -> dict[str, object]:
        return json.loads((SHIPPED / part / "config.json").read_text(encoding="utf-8"))

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config("unet")).state_dict()
        vae = AutoencoderKL.from_config(config("vae")).state_dict()
        text = CLIPTextModel(CLIPTextConfig(**config("text_encoder"))).state_dict()
        besides = {
            "alphas_cumprod": torch.empty(1000),
            "betas": torch.empty(1000),
            "model_ema.decay": torch.empty(()),
            "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.empty(1, 77, dtype=torch.int64),
        }
    counts = len(unet), len(vae), len(text)
    assert counts == (686, 248, 196)
    return {**original_layout.unet(unet), **original_layout.vae(vae), **original_layout.text(text), **besides}


def test_known_names_and_shapes_of_the_published_file(original: dict[str, Tensor]) -> None:
    """Rows of the file's list of tensors as printed in public (diffusers' CHECKPOINT_KEY_NAMES and conversion code)."""
    published = {
        "model.diffusion_model.output_blocks.11.0.skip_connection.weight": (320, 640, 1, 1),
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
        "model.diffusion_model.input_blocks.3.0.op.weight": (320, 320, 3, 3),
        "model.diffusion_model.output_blocks.2.1.conv.weight": (1280, 1280, 3, 3),
        "model.diffusion_model.time_embed.0.weight": (1280, 320),
        "first_stage_model.encoder.down.0.downsample.conv.weight": (128, 128, 3, 3),
        "first_stage_model.decoder.mid.attn_1.q.weight": (512, 512, 1, 1),
        "first_stage_model.quant_conv.weight": (8, 8, 1, 1),
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": (77, 768),
        "cond_stage_model.transformer.text_model.final_layer_norm.weight": (768,),
    }
    assert {name: tuple(original[name].shape) for name in published} == published


def test_it_is_recognised_and_counted(original: dict[str, Tensor]) -> None:
    header = {name: tuple(value.shape) for name, value in original.items()}
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))["tensors"]
    count = sum(math.prod(tensor["shape"]) for name, tensor in golden.items() if not name.endswith("alpha"))
    assert sd1.match(parts_of(header)) == "text to image"
    assert tiny_models.plain_size(default_family(), header, 16, 0, ("unet", "te1")) == count
    assert default_family().layers(header) == default_family().layers({})


def test_it_loads_with_the_shipped_configuration(original: dict[str, Tensor]) -> None:
    parts = assemble(LAYOUT, of_original(LAYOUT, "v1-5.ckpt", original, NOWHERE), torch.float16)
    unet, text, vae = (parts[name] for name in ("unet", "te1", "vae"))
    sizes = [sum(value.numel() for value in part.parameters()) for part in (unet, text, vae)]
    assert sizes == [859_520_964, 123_060_480, 83_653_863]
    assert unet.config.attention_head_dim == 8 and vae.config.scaling_factor == 0.18215
    assert {value.dtype for value in unet.parameters()} == {torch.float16}
    assert {value.dtype for value in vae.parameters()} == {torch.float32}


def test_clip_without_its_prefix_is_understood(original: dict[str, Tensor]) -> None:
    """Some early merges name the encoder's tensors without `text_model.`."""
    renamed = {name.replace(".transformer.text_model.", ".transformer."): value for name, value in original.items()}
    assemble(LAYOUT, of_original(LAYOUT, "merge.ckpt", renamed, NOWHERE), torch.float16)


def test_another_size_is_refused(original: dict[str, Tensor]) -> None:
    wide = {**original, "model.diffusion_model.input_blocks.0.0.weight": torch.empty(384, 4, 3, 3, device="meta")}
    with pytest.raises(Problems, match="unusual size"):
        of_original(LAYOUT, "wide.safetensors", wide, NOWHERE)
