"""Which family a checkpoint is of, from headers and small JSON files: no weights are read, nothing is executed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..problems import Problem
from . import known, sd1, sd2, sdxl
from .base import Family, Header, Recognised
from .folders import SETTING, header_of, model_problem, part_weights, read_json, shapes_in
from .model_parts import Parts, contents, parts_of

__all__ = [
    "by_name",
    "cached_snapshot",
    "default_family",
    "is_hub_id",
    "never_trained",
    "of",
    "of_header",
    "part_weights",
    "recognise",
    "untrained",
]

_ROWS: tuple[tuple[Family, Callable[[Parts], str]], ...] = (
    (sd1.SD1, sd1.match),
    (sd2.SD2, sd2.match),
    (sdxl.SDXL, sdxl.match),
)
_TEXT_TO_IMAGE = "text to image"
_ADVICE = "choose a Stable Diffusion 1.x, 2.x or XL model"
_PICKLED = (".ckpt", ".pt", ".pth", ".bin")
_REASONS = {
    sdxl.REFINER: (
        "it only finishes pictures that another model has begun, so nothing can be learnt with it alone",
        "choose the SDXL base model, or one made from it",
    )
}
_HUB_NAMES = (("xl", sdxl.SDXL), ("stable-diffusion-2", sd2.SD2))


def by_name(name: str) -> Family:
    """The facts of a family that is trained; KeyError for any other name."""
    found = next((family for family, _ in _ROWS if family.name.lower() == name.strip().lower()), None)
    if found is None:
        raise KeyError(f"there is no model family {name!r}; there are {', '.join(f.name for f, _ in _ROWS)}")
    return found


def default_family() -> Family:
    """The family assumed while no model is chosen."""
    return sd1.SD1


def of(recognised: Recognised | None, prediction: str = "auto") -> Family:
    """The facts of a recognised model, suited to what it predicts (`prediction`: what the user insists on, or "auto");
    of the default family for one that is not trained, or none."""
    if recognised is None or not recognised.trained:
        return default_family()
    return by_name(recognised.family).suited(recognised.prediction if prediction == "auto" else prediction)


def of_header(header: Header) -> Family:
    """The facts of the family that a header is of; of the default family for any other header."""
    parts = parts_of(header)
    return next((family for family, match in _ROWS if match(parts) == _TEXT_TO_IMAGE), default_family())


def recognise(path: str) -> Recognised:
    """What the checkpoint at `path` is: a file, a diffusers folder, or a hub id ("name/model").

    A hub id is looked up in the local hub cache; one that is not there yet is a guess by its name, with an empty
    header, and looked at again once it is loaded. Problems (kind "model") for what is missing, damaged, no checkpoint,
    or unknown; a family that we know by sight but do not train comes back with `trained` False (see `untrained`)."""
    place = Path(os.path.expanduser(path))
    if not path.strip():
        raise model_problem("no base model is chosen", _ADVICE)
    if os.path.isdir(place):
        return _folder(place)
    if os.path.isfile(place):
        return _file(place)
    if is_hub_id(path):
        folder = cached_snapshot(path)
        return _folder(folder) if folder else _guess(path)
    raise model_problem(f"there is no file or folder {path}", _closest(place))


def never_trained(family: str) -> bool:
    """Whether a family is refused for what it is, not because nobody has added it yet."""
    return family in _REASONS


def untrained(path: str, recognised: Recognised) -> Problem:
    """The problem with a model of a family that is not trained."""
    name = Path(path).name
    if recognised.family in _REASONS:
        why, fix = _REASONS[recognised.family]
        return Problem(SETTING, f"{name} is an {recognised.family}: {why}", fix, kind="model")
    why = f"{name} is {recognised.family}, {recognised.prediction}: not trained yet"
    return Problem(SETTING, why, _ADVICE, kind="model")


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


def _guess(hub_id: str) -> Recognised:
    name = hub_id.lower()
    family = next((family for part, family in _HUB_NAMES if part in name), default_family())
    return Recognised(family.name, "epsilon", "diffusers", True)


def _closest(place: Path) -> str:
    import difflib

    readable = os.path.isdir(place.parent) and os.access(place.parent, os.R_OK)
    names = os.listdir(place.parent) if readable else []
    close = difflib.get_close_matches(place.name, names, 1, 0.6)
    return f"did you mean {close[0]}?" if close else "check the path"


def _folder(folder: Path) -> Recognised:
    pipeline = known.pipeline_of(str(read_json(folder / "model_index.json").get("_class_name", "")))
    if pipeline:
        return Recognised(pipeline[0], pipeline[1], "diffusers", trained=False)
    if not read_json(folder / "unet" / "config.json"):
        files = sorted(p.name for p in folder.glob("*.safetensors")) or sorted(p.name for p in folder.glob("*.ckpt"))
        fix = f"name the file: {folder / files[0]}" if files else "choose the folder with model_index.json, or a file"
        raise model_problem(f"{folder} is no diffusers model: it has no unet/config.json", fix)
    header = header_of(folder)
    if not any(name.startswith("unet.") for name in header):
        raise model_problem(f"{folder / 'unet'} holds no weights", "download diffusion_pytorch_model.safetensors too")
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    if str(scheduler.get("_class_name", "")).startswith("EDM"):
        header = {**header, "edm_mean": ()}
    found = _judge(folder, header, {}, "diffusers")
    return _as_scheduled(found, scheduler)


def _as_scheduled(found: Recognised, scheduler: Mapping[str, Any]) -> Recognised:
    """What a scheduler's configuration says of the noising."""
    said = str(scheduler.get("prediction_type", ""))
    prediction = "v" if said.startswith("v") else "epsilon"
    zero_snr = bool(scheduler.get("rescale_betas_zero_snr", False))
    return replace(found, prediction=prediction, zero_snr=zero_snr, certain=bool(said))


def _file(path: Path) -> Recognised:
    """A single file, with what lies in a diffusers folder of the same name beside it for what it lacks."""
    if path.suffix.lower() not in (".safetensors", *_PICKLED):
        fix = "choose a .safetensors or .ckpt file, or a diffusers folder"
        raise model_problem(f"{path.name} is no model file", fix)
    try:
        header, metadata = shapes_in(path)
    except (ValueError, OSError) as error:
        raise model_problem(f"{path.name} cannot be used: {error}", "download it again") from None
    found = _judge(path, header, metadata, "single file")
    beside = path.with_suffix("")
    if not found.trained or not beside.is_dir():
        return found
    more = parts_of(header_of(beside))
    own = {part: rows for part, rows in more.items() if part not in found.contents}
    scheduler = read_json(beside / "scheduler" / "scheduler_config.json")
    found = replace(found, contents=found.contents | contents({**_NOTHING, **own}))
    return found if found.certain or not scheduler else _as_scheduled(found, scheduler)


_NOTHING: Parts = {"unet": {}, "te1": {}, "te2": {}, "vae": {}}


def _prediction(family: Family, header: Header, metadata: Mapping[str, str]) -> tuple[str, bool]:
    """("epsilon" or "v", whether the file says so): a tensor `v_pred`, or modelspec. Without either a file is taken for
    what is usual: v for SD 2.x, as diffusers takes it, epsilon for the others."""
    said = metadata.get("modelspec.prediction_type", "").lower() or metadata.get("modelspec.architecture", "").lower()
    if "v_pred" in header or said.startswith("v") or said.endswith("-v"):
        return "v", True
    if said.startswith("eps") or said == sd2.SD2.architecture:
        return "epsilon", True
    return ("v" if family.name == sd2.SD2.name else "epsilon"), False


def _judge(path: Path, header: Header, metadata: Mapping[str, str], layout: str) -> Recognised:
    """The verdict on a header: trained, known by sight, no base model, or unknown."""
    parts = parts_of(header)
    for family, match in _ROWS:
        use = match(parts)
        prediction, certain = _prediction(family, header, metadata)
        if use == _TEXT_TO_IMAGE:
            kept = {name: shape for name, shape in header.items() if name not in parts["other"]}
            there, zero_snr = contents(parts), "ztsnr" in header
            return Recognised(family.name, prediction, layout, True, kept, zero_snr, there, certain)
        if use:
            name = use if use == sdxl.REFINER else f"{family.name} for {use}"
            return Recognised(name, prediction, layout, False, header)
    kind = known.other_kind(header) if layout == "single file" else ""
    found = known.family_of(header, metadata)
    if kind and not (found and "diffusion_model" in " ".join(header)):
        raise model_problem(f"{path.name} is {kind}, not a base model", _ADVICE)
    if found:
        return Recognised(found[0], found[1], layout, False, header)
    raise model_problem(f"{path.name} is of no model family that we know", _ADVICE)
