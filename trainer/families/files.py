"""The files of models with a U-Net, CLIP text encoders and a VAE: diffusers folders, and single files in the original
layout.

A single file's configuration is the shipped one of its family, or the diffusers folder of the same name beside it
(`model.safetensors` and `model/`), which models of another size need, and where parts may lie that the file lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainer.contract.families import Recognised
from trainer.contract.families.folders import part_files, read_json
from trainer.contract.families.text_names import from_open_clip

from . import clip
from .loading import fill, model_problem, read_config, read_tensors

UNET, VAE = "model.diffusion_model.", "first_stage_model."
_SCHEDULER = "scheduler_config.json"
_OLD_TEXT = "text_model."


@dataclass(frozen=True)
class Encoder:
    """A text encoder: the `part` that it is, its `folder` in a diffusers model with its tokenizer's, and the `prefix`
    of its tensors in a single file. `open_clip`: they have OpenCLIP's names there. `projection`: it gives a vector of
    the whole text too."""

    part: str
    folder: str
    tokenizer: str
    prefix: str
    open_clip: bool = False
    projection: bool = False


@dataclass(frozen=True)
class Layout:
    """A family's files. `shipped`: the folder of its standard configuration."""

    family: str
    shipped: Path
    encoders: tuple[Encoder, ...]


@dataclass(frozen=True)
class Loaded:
    """All parts, on the CPU; a tokenizer for each text encoder; the pipeline's own settings (`model_index.json`)."""

    parts: dict[str, nn.Module]
    tokenizers: dict[str, Any]
    scheduler: Mapping[str, Any]
    index: Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """What a model's files hold: tensors of each part under diffusers' names, and where configurations lie, the first
    that is there counts."""

    name: str
    tensors: dict[str, dict[str, Tensor]]
    folders: tuple[Path, ...]

    def config(self, part: str, name: str = "config.json") -> dict[str, Any]:
        """The JSON configuration of a part's folder."""
        return read_config(*self.folders, part=part, name=name)


def load(
    layout: Layout, place: Path, recognised: Recognised, vae: str, dtype: torch.dtype, encoders_only: bool = False
) -> Loaded:
    """Read a model. `vae`: a separate one or "". Problems (kind "model") says what is wrong."""
    folder = place if recognised.layout == "diffusers" else place.with_suffix("")
    source = _of_folder(layout, place) if recognised.layout == "diffusers" else _of_file(layout, place)
    parts = assemble(layout, source, dtype, vae, encoders_only)
    tokenizers = {layout.encoders[0].part: clip.load_tokenizer([folder / "tokenizer", place.parent / "tokenizer"])}
    for encoder in layout.encoders[1:]:
        own = folder / encoder.tokenizer
        there = clip.holds_vocabulary(own)
        tokenizers[encoder.part] = clip.load_tokenizer([own]) if there else tokenizers[layout.encoders[0].part]
    index = read_json(folder / "model_index.json")
    return Loaded(parts, tokenizers, source.config("scheduler", _SCHEDULER), index)


def assemble(
    layout: Layout, source: Source, dtype: torch.dtype, vae: str = "", encoders_only: bool = False
) -> dict[str, nn.Module]:
    """The models with their weights: the VAE in float, everything else in `dtype`. One problem for all that is
    missing."""
    from diffusers.models import AutoencoderKL, UNet2DConditionModel

    _refuse_missing(layout, source, vae)
    parts: dict[str, nn.Module] = {}
    for encoder in layout.encoders:
        config = source.config(encoder.folder)
        parts[encoder.part] = _text_encoder(encoder, source.name, source.tensors[encoder.part], config, dtype)
    if encoders_only:
        return parts
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(source.config("unet"))
    parts["unet"] = fill(unet, source.tensors["unet"], "U-Net", source.name, dtype)
    if vae:
        parts["vae"] = _other_vae(Path(vae).expanduser(), source.config("vae"))
    else:
        with torch.device("meta"):
            own: Any = AutoencoderKL.from_config(source.config("vae"))
        parts["vae"] = fill(own, source.tensors["vae"], "VAE", source.name, torch.float32)
    return parts


def _refuse_missing(layout: Layout, source: Source, vae: str) -> None:
    encoders = [encoder.folder for encoder in layout.encoders if not source.tensors[encoder.part]]
    lacking = [*encoders, *(["vae"] if not vae and not source.tensors["vae"] else [])]
    if not lacking:
        return
    path = "model.path" if encoders else "model.vae"
    whose = {"text_encoder": "text encoder", "text_encoder_2": "second text encoder", "vae": "VAE"}
    what = " and no ".join(whose[part] for part in lacking)
    fix = "choose a separate VAE here" if not encoders else f"choose a complete {layout.family} checkpoint"
    raise model_problem(path, f"{source.name} holds no {what}", fix)


def _of_folder(layout: Layout, folder: Path) -> Source:
    tensors = {encoder.part: _weights(folder / encoder.folder) for encoder in layout.encoders}
    tensors |= {"unet": _weights(folder / "unet"), "vae": _new_names(_weights(folder / "vae"))}
    return Source(folder.name, tensors, (folder, layout.shipped))


def _weights(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for file in part_files(folder):
        found |= read_tensors(file)
    return found


def _of_file(layout: Layout, file: Path) -> Source:
    beside = file.with_suffix("")
    source = of_original(layout, file.name, read_tensors(file), beside)
    for part, folder in (("vae", "vae"), *((encoder.part, encoder.folder) for encoder in layout.encoders)):
        if not source.tensors[part]:
            found = _weights(beside / folder)
            source.tensors[part] = _new_names(found) if part == "vae" else found
    return source


def of_original(layout: Layout, name: str, tensors: Mapping[str, Tensor], beside: Path) -> Source:
    """A source from tensors in the original layout; what belongs to no part (running averages, schedules) is left out.
    `name`: the file's, for messages; `beside`: a folder that may hold its configuration."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

    folders = (beside, layout.shipped)
    configs = {part: read_config(*folders, part=part) for part in ("unet", "vae")}
    own = {part: {n: v for n, v in tensors.items() if n.startswith(part)} for part in (UNET, VAE)}
    found = {"unet": convert_ldm_unet_checkpoint(own[UNET], configs["unet"])}
    found["vae"] = convert_ldm_vae_checkpoint(own[VAE], configs["vae"]) if own[VAE] else {}
    _check_size(layout.family, name, found["unet"], configs["unet"])
    for encoder in layout.encoders:
        words = {n[len(encoder.prefix) :]: v for n, v in tensors.items() if n.startswith(encoder.prefix)}
        found[encoder.part] = _from_open_clip(words) if encoder.open_clip else words
    return Source(name, found, folders)


def _check_size(family: str, name: str, unet: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Refuse a file of another size than its configuration: group and head counts cannot be read from tensors."""
    context = next(value.shape[1] for key, value in unet.items() if key.endswith("attn2.to_k.weight"))
    found = unet["conv_in.weight"].shape[0], context
    if found != (config["block_out_channels"][0], config["cross_attention_dim"]):
        raise model_problem(
            "model.path",
            f"{name} has the structure of {family} but an unusual size (width {found[0]}, text {found[1]})",
            f"put its diffusers configuration (unet/config.json and so on) in a folder {Path(name).stem} beside it",
        )


def _from_open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenCLIP's text encoder under transformers' names; its fused q, k, v cut in three, its projection turned."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        names = from_open_clip(name)
        if len(names) == 3:
            found |= dict(zip(names, value.chunk(3)))
        elif names:
            found[names[0]] = value.T.contiguous() if name == "text_projection" else value
    return found


def _text_encoder(
    encoder: Encoder, file: str, tensors: Mapping[str, Tensor], config: dict[str, Any], dtype: torch.dtype
) -> nn.Module:
    """CLIP's text model. Files of before transformers 5 have `text_model.` in front of each name."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    kind, inner = (CLIPTextModelWithProjection, _OLD_TEXT) if encoder.projection else (CLIPTextModel, "")
    bare = {name.removeprefix(_OLD_TEXT): value for name, value in tensors.items()}
    own = {name if name.startswith("text_projection") else inner + name: value for name, value in bare.items()}
    with torch.device("meta"):
        model: Any = kind(CLIPTextConfig(**config))
    fill(model, own, encoder.folder.replace("_", " "), file, dtype)
    words = model.text_model if encoder.projection else model
    positions = words.config.max_position_embeddings
    words.embeddings.position_ids = torch.arange(positions).expand((1, -1))
    return model


def _new_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A VAE's attention as diffusers names it since 0.17; the first published Stable Diffusion folders are older."""
    names = (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0"))
    renamed = {}
    for name, value in tensors.items():
        for old, new in names:
            name = name.replace(f".attentions.0.{old}.", f".attentions.0.{new}.")
        renamed[name] = value
    return renamed


def _other_vae(place: Path, base_config: dict[str, Any]) -> nn.Module:
    """A separate VAE: a diffusers folder, or a file in either layout, with the base model's configuration."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
    from diffusers.models import AutoencoderKL

    folder = place / "vae" if (place / "vae").is_dir() else place
    files = part_files(folder) if folder.is_dir() else [place]
    if folder.is_dir():
        base_config = read_config(folder, part="")
    if not files or not files[0].is_file():
        raise model_problem("model.vae", f"there is no file or folder {place}", "check the path, or leave it empty")
    tensors = read_tensors(files[0], "model.vae")
    if any(".down_blocks." in name for name in tensors):
        converted = _new_names(tensors)
    elif any(name.endswith("encoder.conv_in.weight") for name in tensors):
        own = {n: v for n, v in tensors.items() if n.startswith(VAE)} or tensors
        converted = convert_ldm_vae_checkpoint(own, base_config)
    else:
        raise model_problem("model.vae", f"{place.name} is no VAE", "choose a VAE file, or leave it empty")
    with torch.device("meta"):
        vae: Any = AutoencoderKL.from_config(base_config)
    return fill(vae, converted, "VAE", place.name, torch.float32)
