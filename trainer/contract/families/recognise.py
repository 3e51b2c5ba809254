"""Which family a checkpoint is of, from headers and small JSON files: no weights are read, nothing is executed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..problems import Problem, Problems
from . import known, sd1
from .base import Family, Header, Recognised, read_header
from .pickled import read_shapes

SETTING = "model.path"
_FAMILIES: tuple[Family, ...] = (sd1.SD1,)
_ADVICE = "choose a Stable Diffusion 1.x model"
_WEIGHTS = ("diffusion_pytorch_model", "model")
_PICKLED = (".ckpt", ".pt", ".pth", ".bin")


def by_name(name: str) -> Family:
    """The facts of a family that is trained; KeyError for any other name."""
    found = next((family for family in _FAMILIES if family.name.lower() == name.strip().lower()), None)
    if found is None:
        raise KeyError(f"there is no model family {name!r}; there are {', '.join(f.name for f in _FAMILIES)}")
    return found


def default_family() -> Family:
    """The family assumed while no model is chosen."""
    return sd1.SD1


def recognise(path: str) -> Recognised:
    """What the checkpoint at `path` is: a file, a diffusers folder, or a hub id ("name/model").

    A hub id is looked up in the local hub cache; one that is not there yet is taken for SD 1.x with an empty header and
    looked at again once it is loaded. Problems (kind "model") for what is missing, damaged, no checkpoint, or unknown;
    a family that we know by sight but do not train comes back with `trained` False (see `untrained`)."""
    place = Path(os.path.expanduser(path))
    if not path.strip():
        raise _problem("no base model is chosen", _ADVICE)
    if os.path.isdir(place):
        return _folder(place)
    if os.path.isfile(place):
        return _file(place)
    if is_hub_id(path):
        folder = cached_snapshot(path)
        return _folder(folder) if folder else Recognised(sd1.SD1.name, "epsilon", "diffusers", True)
    raise _problem(f"there is no file or folder {path}", _closest(place))


def untrained(path: str, recognised: Recognised) -> Problem:
    """The problem with a model of a family that is not trained yet."""
    name = Path(path).name
    return Problem(
        SETTING, f"{name} is {recognised.family}, {recognised.prediction}: not trained yet", _ADVICE, kind="model"
    )


_HUB_ID = re.compile(r"[A-Za-z0-9_]([\w.-]*[A-Za-z0-9_])?/[A-Za-z0-9_]([\w.-]*[A-Za-z0-9_])?", re.ASCII)
"""The hub's own rule; it raises an error of its own for a name that does not follow it."""


def is_hub_id(path: str) -> bool:
    """Whether a path reads as "name/model" of the Hugging Face hub."""
    weights = path.lower().endswith((".safetensors", *_PICKLED))
    named = len(path) <= 96 and "--" not in path and ".." not in path
    return named and not weights and _HUB_ID.fullmatch(path) is not None


def cached_snapshot(hub_id: str) -> Path | None:
    """The folder of a hub model in the local hub cache, or None. The network is not asked."""
    from huggingface_hub import try_to_load_from_cache

    for file in ("model_index.json", "unet/config.json"):
        found = try_to_load_from_cache(hub_id, file)
        if isinstance(found, str):
            return Path(found).parents[file.count("/")]
    return None


def _problem(why: str, fix: str = "") -> Problems:
    return Problems([Problem(SETTING, why, fix, kind="model")])


def _closest(place: Path) -> str:
    import difflib

    readable = os.path.isdir(place.parent) and os.access(place.parent, os.R_OK)
    names = os.listdir(place.parent) if readable else []
    close = difflib.get_close_matches(place.name, names, 1, 0.6)
    return f"did you mean {close[0]}?" if close else "check the path"


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _problem(f"{path} is not readable: {error}", "download the model again") from None
    return content if isinstance(content, dict) else {}


def part_weights(folder: Path) -> Path | None:
    """The weights of one part: the plain file, else its fp16 variant; safetensors before pickles."""
    for ending in (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin"):
        for stem in (*_WEIGHTS, "pytorch_model"):
            if (folder / f"{stem}{ending}").is_file():
                return folder / f"{stem}{ending}"
    return None


def _part_header(folder: Path, part: str) -> dict[str, tuple[int, ...]]:
    """Tensors of one part of a diffusers folder, with the part's name in front. CLIP's old prefix is left out."""
    weights = part_weights(folder / part)
    if weights is None:
        return {}
    try:
        shapes = read_header(weights)[0] if weights.suffix == ".safetensors" else read_shapes(weights)
    except (ValueError, OSError) as error:
        raise _problem(f"{weights} cannot be used: {error}", "download the model again") from None
    return {f"{part}.{name.removeprefix('text_model.')}": shape for name, shape in shapes.items()}


def _folder(folder: Path) -> Recognised:
    index = _json(folder / "model_index.json")
    config = _json(folder / "unet" / "config.json")
    pipeline = known.pipeline_of(str(index.get("_class_name", "")))
    if pipeline:
        return Recognised(pipeline[0], pipeline[1], "diffusers", trained=False)
    if not config:
        files = sorted(p.name for p in folder.glob("*.safetensors")) or sorted(p.name for p in folder.glob("*.ckpt"))
        fix = f"name the file: {folder / files[0]}" if files else "choose the folder with model_index.json, or a file"
        raise _problem(f"{folder} is no diffusers model: it has no unet/config.json", fix)
    header = _part_header(folder, "unet") | _part_header(folder, "text_encoder")
    if not any(name.startswith("unet.") for name in header):
        raise _problem(f"{folder / 'unet'} holds no weights", "download diffusion_pytorch_model.safetensors too")
    prediction = str(_json(folder / "scheduler" / "scheduler_config.json").get("prediction_type", "epsilon"))
    return _judge(folder, header, {}, "diffusers", "v" if prediction.startswith("v") else "epsilon")


def _file(path: Path) -> Recognised:
    try:
        if path.suffix.lower() == ".safetensors":
            header, metadata = read_header(path)
        elif path.suffix.lower() in _PICKLED:
            header, metadata = read_shapes(path), {}
        else:
            raise _problem(
                f"{path.name} is no model file", "choose a .safetensors or .ckpt file, or a diffusers folder"
            )
    except (ValueError, OSError) as error:
        raise _problem(f"{path.name} cannot be used: {error}", "download it again") from None
    return _judge(path, header, metadata, "single file", sd1.prediction(header, metadata))


def _judge(path: Path, header: Header, metadata: Mapping[str, str], layout: str, prediction: str) -> Recognised:
    """The verdict on a header: trained, known by sight, no base model, or unknown."""
    use = sd1.match(header)
    if use == "text to image":
        return Recognised(sd1.SD1.name, prediction, layout, True, header)
    if use:
        return Recognised(f"{sd1.SD1.name} for {use}", prediction, layout, False, header)
    if layout == "diffusers" and header.get("unet.add_embedding.linear_1.weight"):
        return Recognised("SDXL", prediction, layout, False, header)
    if layout == "diffusers" and len(header.get("unet.down_blocks.0.attentions.0.proj_in.weight", ())) == 2:
        return Recognised("SD 2.x", prediction, layout, False, header)
    kind = known.other_kind(header) if layout == "single file" else ""
    found = known.family_of(header, metadata)
    if kind and not (found and "diffusion_model" in " ".join(header)):
        raise _problem(f"{path.name} is {kind}, not a base model", _ADVICE)
    if found:
        return Recognised(found[0], found[1], layout, False, header)
    raise _problem(f"{path.name} is of no model family that we know", _ADVICE)
