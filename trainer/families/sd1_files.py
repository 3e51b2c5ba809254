"""The files of Stable Diffusion 1.x: diffusers folders and single files in the original layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.contract.families import Recognised
from trainer.contract.families.recognise import part_weights
from trainer.contract.families.sd1 import CONTEXT, FIRST

from . import clip
from .loading import CONFIGS, fill, model_problem, read_config, read_tensors

SHIPPED = CONFIGS / "sd1"
_UNET, _VAE, _TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."
_SCHEDULER = "scheduler_config.json"


@dataclass(frozen=True)
class Loaded:
    """All parts, on the CPU."""

    unet: Any
    text_encoder: Any
    vae: Any
    tokenizer: Any
    scheduler: Mapping[str, Any]


def load(place: Path, recognised: Recognised, vae: str, dtype: torch.dtype) -> Loaded:
    """Read a model. `vae`: a separate one or "". Problems (kind "model") says what is wrong."""
    loaded = _from_folder(place, dtype) if recognised.layout == "diffusers" else _from_file(place, dtype)
    if not vae:
        return loaded
    other = _other_vae(Path(vae).expanduser(), dict(loaded.vae.config))
    return Loaded(loaded.unet, loaded.text_encoder, other, loaded.tokenizer, loaded.scheduler)


def _from_folder(folder: Path, dtype: torch.dtype) -> Loaded:
    from diffusers.models import AutoencoderKL, UNet2DConditionModel

    name = folder.name
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(read_config(folder, part="unet"))
        vae = AutoencoderKL.from_config(read_config(folder, part="vae"))
    unet = fill(unet, _weights(folder / "unet"), "U-Net", name, dtype)
    vae = fill(vae, _new_names(_weights(folder / "vae")), "VAE", name, torch.float32)
    text = _text_encoder(name, _weights(folder / "text_encoder"), read_config(folder, part="text_encoder"), dtype)
    tokenizer = clip.load_tokenizer([folder / "tokenizer", folder.parent / "tokenizer"])
    return Loaded(unet, text, vae, tokenizer, read_config(folder, SHIPPED, part="scheduler", name=_SCHEDULER))


def _weights(folder: Path) -> dict[str, Tensor]:
    file = part_weights(folder)
    if file is None:
        raise model_problem("model.path", f"{folder} holds no weights", "download the model again, this part too")
    return read_tensors(file)


def _new_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A VAE's attention as diffusers names it since 0.17; the first published Stable Diffusion folders are older."""
    names = (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0"))
    renamed = {}
    for name, value in tensors.items():
        for old, new in names:
            name = name.replace(f".attentions.0.{old}.", f".attentions.0.{new}.")
        renamed[name] = value
    return renamed


def _from_file(file: Path, dtype: torch.dtype) -> Loaded:
    """A single file in the original layout. Its configuration is the shipped one, or the diffusers folder of the same
    name beside it (`model.safetensors` and `model/`), which models of other than the standard size need."""
    tensors, beside = read_tensors(file), file.with_suffix("")
    unet, text, vae = from_original(file.name, tensors, beside, dtype)
    tokenizer = clip.load_tokenizer([beside / "tokenizer", file.parent / "tokenizer"])
    scheduler = dict(read_config(beside, SHIPPED, part="scheduler", name=_SCHEDULER))
    if "ztsnr" in tensors:
        scheduler["rescale_betas_zero_snr"] = True
    return Loaded(unet, text, vae, tokenizer, scheduler)


def from_original(name: str, tensors: dict[str, Tensor], beside: Path, dtype: torch.dtype) -> tuple[Any, Any, Any]:
    """U-Net, text encoder and VAE from tensors in the original layout; what belongs to none of them (running averages,
    schedules) is left out. `name`: the file's, for messages; `beside`: a folder that may hold its configuration."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
    from diffusers.models import AutoencoderKL, UNet2DConditionModel

    config = read_config(beside, SHIPPED, part="unet")
    _check_size(name, tensors, config)
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
        vae = AutoencoderKL.from_config(read_config(beside, SHIPPED, part="vae"))
    own = {part: {n: v for n, v in tensors.items() if n.startswith(part)} for part in (_UNET, _VAE, _TEXT)}
    unet = fill(unet, convert_ldm_unet_checkpoint(own[_UNET], config), "U-Net", name, dtype)
    vae = fill(vae, convert_ldm_vae_checkpoint(own[_VAE], dict(vae.config)), "VAE", name, torch.float32)
    words = {n.removeprefix(_TEXT): value for n, value in own[_TEXT].items()}
    return unet, _text_encoder(name, words, read_config(beside, SHIPPED, part="text_encoder"), dtype), vae


def _check_size(name: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Refuse a file of another size than its configuration: group and head counts cannot be read from tensors."""
    found = tensors[FIRST].shape[0], tensors[CONTEXT].shape[1]
    wanted = config["block_out_channels"][0], config["cross_attention_dim"]
    if found != wanted:
        raise model_problem(
            "model.path",
            f"{name} has the structure of SD 1.x but an unusual size (width {found[0]}, text {found[1]})",
            f"put its diffusers configuration (unet/config.json and so on) in a folder {Path(name).stem} beside it",
        )


def _text_encoder(file: str, tensors: Mapping[str, Tensor], config: dict[str, Any], dtype: torch.dtype) -> Any:
    """CLIP's text model. Files of before transformers 5 have `text_model.` in front of each name."""
    from transformers import CLIPTextConfig, CLIPTextModel

    own = {name.removeprefix("text_model."): value for name, value in tensors.items()}
    if not own:
        raise model_problem(
            "model.path", f"{file} holds no text encoder", "choose a complete Stable Diffusion 1.x checkpoint"
        )
    with torch.device("meta"):
        encoder: Any = CLIPTextModel(CLIPTextConfig(**config))
    fill(encoder, own, "text encoder", file, dtype)
    positions = encoder.config.max_position_embeddings
    encoder.embeddings.position_ids = torch.arange(positions).expand((1, -1))
    return encoder


def _other_vae(place: Path, base_config: dict[str, Any]) -> Any:
    """A separate VAE: a diffusers folder, or a file in either layout, with the base model's configuration."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
    from diffusers.models import AutoencoderKL

    folder = place / "vae" if (place / "vae").is_dir() else place
    if folder.is_dir():
        place, base_config = part_weights(folder) or folder / "weights", read_config(folder, part="")
    if not place.is_file():
        raise model_problem("model.vae", f"there is no file or folder {place}", "check the path, or leave it empty")
    tensors = read_tensors(place, "model.vae")
    if any(".down_blocks." in name for name in tensors):
        converted = _new_names(tensors)
    elif any(name.endswith("encoder.conv_in.weight") for name in tensors):
        own = {n: v for n, v in tensors.items() if n.startswith(_VAE)} or tensors
        converted = convert_ldm_vae_checkpoint(own, base_config)
    else:
        raise model_problem("model.vae", f"{place.name} is no VAE", "choose a VAE file, or leave it empty")
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(base_config)
    return fill(vae, converted, "VAE", place.name, torch.float32)
