"""Diffusers folders of SD 1.x, SD 2.x and SDXL written as single files in the original (CompVis, Stability AI) layout.

The map of names is that of diffusers' `scripts/convert_diffusers_to_original_stable_diffusion.py` and
`convert_diffusers_to_original_sdxl.py`; it lies outside the package, and loading goes through diffusers' opposite
direction, so the two check each other.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

_UNET_WHOLE = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
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


def _unet_blocks(levels: int) -> dict[str, str]:
    blocks = {"mid_block.attentions.0.": "middle_block.1."}
    blocks |= {f"mid_block.resnets.{j}.": f"middle_block.{2 * j}." for j in range(2)}
    for i in range(levels):
        for j in range(2):
            blocks[f"down_blocks.{i}.resnets.{j}."] = f"input_blocks.{3 * i + j + 1}.0."
            blocks[f"down_blocks.{i}.attentions.{j}."] = f"input_blocks.{3 * i + j + 1}.1."
        for j in range(3):
            blocks[f"up_blocks.{i}.resnets.{j}."] = f"output_blocks.{3 * i + j}.0."
            blocks[f"up_blocks.{i}.attentions.{j}."] = f"output_blocks.{3 * i + j}.1."
        blocks[f"down_blocks.{i}.downsamplers.0.conv."] = f"input_blocks.{3 * (i + 1)}.0.op."
        blocks[f"up_blocks.{i}.upsamplers.0."] = f"output_blocks.{3 * i + 2}.{1 if i == 0 and levels == 4 else 2}."
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
    """U-Net tensors under the original names: SDXL's has three levels, the others' four."""
    blocks = _unet_blocks(4 if any(name.startswith("down_blocks.3.") for name in tensors) else 3)
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
        renamed["model.diffusion_model." + _renamed(inner, blocks)] = value
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


def text(tensors: dict[str, Tensor], start: str = "cond_stage_model.transformer.") -> dict[str, Tensor]:
    """Tensors of a CLIP text encoder under the original names."""
    return {f"{start}text_model.{name.removeprefix('text_model.')}": value for name, value in tensors.items()}


_OPEN_CLIP = (
    ("text_model.", ""),
    ("encoder.layers.", "transformer.resblocks."),
    ("layer_norm1", "ln_1"),
    ("layer_norm2", "ln_2"),
    (".fc1.", ".c_fc."),
    (".fc2.", ".c_proj."),
    ("self_attn", "attn"),
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("embeddings.token_embedding", "token_embedding"),
    ("final_layer_norm", "ln_final"),
    ("text_projection.weight", "text_projection"),
)


def open_clip(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    """Tensors of a text encoder under OpenCLIP's names: q, k, v fused, the projection turned, with a logit scale."""
    renamed: dict[str, Tensor] = {start + "logit_scale": torch.tensor(4.6)}
    fused: dict[str, list[Tensor]] = {}
    for name, value in tensors.items():
        for new, old in _OPEN_CLIP:
            name = name.replace(new, old)
        if found := re.fullmatch(r"(.*attn)\.[qkv]_proj\.(weight|bias)", name):
            fused.setdefault(f"{start}{found[1]}.in_proj_{found[2]}", [])
        elif name == "text_projection":
            renamed[start + name] = value.T.contiguous()
        else:
            renamed[start + name] = value
    for name in fused:
        stem, kind = name[len(start) :].rsplit(".in_proj_", 1)
        own = {key.removeprefix("text_model."): value for key, value in tensors.items()}
        layer = stem.replace("transformer.resblocks.", "encoder.layers.").replace(".attn", ".self_attn")
        renamed[name] = torch.cat([own[f"{layer}.{one}_proj.{kind}"] for one in "qkv"])
    return renamed


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """All tensors of a diffusers folder in the original layout of its family."""
    parts = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")
    image, pictures, words = (load_file(folder / f"{part}.safetensors") for part in parts)
    found = {**unet(image), **vae(pictures)}
    second = folder / "text_encoder_2" / "model.safetensors"
    linear = image.get("down_blocks.0.attentions.0.proj_in.weight", torch.zeros(1, 1, 1, 1)).ndim == 2
    if second.is_file():
        found |= text(words, "conditioner.embedders.0.transformer.")
        return found | open_clip(load_file(second), "conditioner.embedders.1.model.")
    return found | (open_clip(words, "cond_stage_model.model.") if linear else text(words))


def write_single_file(folder: Path, file: Path, markers: tuple[str, ...] = ()) -> Path:
    """Write `folder` as `file` (.safetensors or .ckpt), with its configuration in the folder of the same name.
    `markers`: names of empty tensors that say what the model is ("v_pred", "ztsnr")."""
    tensors = {name: value.contiguous() for name, value in tensors_of(folder).items()}
    tensors |= {name: torch.zeros(0) for name in markers}
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
