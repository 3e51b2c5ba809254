"""A diffusers Stable Diffusion 1.x folder written as a single file in the original (CompVis) layout.

The map of names is that of diffusers' `scripts/convert_diffusers_to_original_stable_diffusion.py`; it lies outside the
package, and loading goes through diffusers' opposite direction, so the two check each other.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

_UNET_WHOLE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("time_emb_proj", "emb_layers.1"),
    ("conv_shortcut", "skip_connection"),
)


def _unet_blocks() -> dict[str, str]:
    blocks = {"mid_block.attentions.0.": "middle_block.1."}
    blocks |= {f"mid_block.resnets.{j}.": f"middle_block.{2 * j}." for j in range(2)}
    for i in range(4):
        for j in range(2):
            blocks[f"down_blocks.{i}.resnets.{j}."] = f"input_blocks.{3 * i + j + 1}.0."
            blocks[f"down_blocks.{i}.attentions.{j}."] = f"input_blocks.{3 * i + j + 1}.1."
        for j in range(3):
            blocks[f"up_blocks.{i}.resnets.{j}."] = f"output_blocks.{3 * i + j}.0."
            blocks[f"up_blocks.{i}.attentions.{j}."] = f"output_blocks.{3 * i + j}.1."
        blocks[f"down_blocks.{i}.downsamplers.0.conv."] = f"input_blocks.{3 * (i + 1)}.0.op."
        blocks[f"up_blocks.{i}.upsamplers.0."] = f"output_blocks.{3 * i + 2}.{1 if i == 0 else 2}."
    return blocks


def _vae_blocks() -> dict[str, str]:
    blocks = {"mid_block.attentions.0.": "mid.attn_1."}
    blocks |= {f"mid_block.resnets.{i}.": f"mid.block_{i + 1}." for i in range(2)}
    for i in range(4):
        for j in range(2):
            blocks[f"encoder.down_blocks.{i}.resnets.{j}."] = f"encoder.down.{i}.block.{j}."
        for j in range(3):
            blocks[f"decoder.up_blocks.{i}.resnets.{j}."] = f"decoder.up.{3 - i}.block.{j}."
        blocks[f"down_blocks.{i}.downsamplers.0."] = f"down.{i}.downsample."
        blocks[f"up_blocks.{i}.upsamplers.0."] = f"up.{3 - i}.upsample."
    return blocks


def _renamed(name: str, blocks: dict[str, str]) -> str:
    for new, old in blocks.items():
        name = name.replace(new, old)
    return name


def unet(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """U-Net tensors under the original names."""
    renamed = {}
    for name, value in tensors.items():
        stem, _, kind = name.rpartition(".")
        if stem in _UNET_WHOLE:
            renamed[f"model.diffusion_model.{_UNET_WHOLE[stem]}.{kind}"] = value
            continue
        inner = name
        if ".resnets." in name:
            for new, old in _RESNET:
                inner = inner.replace(new, old)
        renamed["model.diffusion_model." + _renamed(inner, _unet_blocks())] = value
    return renamed


def vae(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """VAE tensors under the original names; attention as 1x1 convolutions."""
    renamed = {}
    for name, value in tensors.items():
        inner = (
            _renamed(name, _vae_blocks()).replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        )
        if ".attentions." in name:
            for new, old in (
                ("group_norm", "norm"),
                ("to_q", "q"),
                ("to_k", "k"),
                ("to_v", "v"),
                ("to_out.0", "proj_out"),
            ):
                inner = inner.replace(f".{new}.", f".{old}.")
            value = value[:, :, None, None] if value.ndim == 2 else value
        renamed["first_stage_model." + inner] = value
    return renamed


def text(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Text encoder tensors under the original names."""
    start = "cond_stage_model.transformer.text_model."
    return {start + name.removeprefix("text_model."): value for name, value in tensors.items()}


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """All tensors of a diffusers folder in the original layout."""
    return {
        **unet(load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")),
        **vae(load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")),
        **text(load_file(folder / "text_encoder" / "model.safetensors")),
    }


def write_single_file(folder: Path, file: Path) -> Path:
    """Write `folder` as `file` (.safetensors or .ckpt), with its configuration in the folder of the same name."""
    tensors = {name: value.contiguous() for name, value in tensors_of(folder).items()}
    if file.suffix == ".ckpt":
        torch.save({"state_dict": tensors, "global_step": 1}, file)
    else:
        save_file(tensors, file)
    beside = file.with_suffix("")
    for small in [*folder.rglob("*.json"), *folder.rglob("*.txt")]:
        copy = beside / small.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(small.read_bytes())
    return file
