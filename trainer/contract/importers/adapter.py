"""The recipe in an adapter file's metadata: the `ss_*` pairs that sd-scripts, Loratory and others write.

All values are text, as Python prints them ("None", "(512, 512)", "True"). A pair is taken over by the sd-scripts flag
that a setting declares; those below are named or counted otherwise. Nothing raises: what does not fit is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from .. import catalog
from ..preset import with_values
from ..problems import Problems
from ..settings import BY_PATH, ITEMS, Preset
from .base import Imported

LARGEST = 20_000
"""Characters of a value beyond which it is no setting."""

Values = dict[str, Any]
Reader = Callable[[str, Mapping[str, str]], Values]

_OFF = ("none", "", "false", "0", "0.0", "null", "{}", "[]")

_FACTS = (
    "session_id training_started_at training_finished_at output_name steps epoch num_epochs num_batches_per_epoch "
    "num_train_images num_validation_images num_reg_images total_batch_size base_model_version v2 sd_model_name "
    "sd_model_hash new_sd_model_hash vae_name vae_hash new_vae_hash bucket_info dataset_dirs reg_dataset_dirs "
    "tag_frequency datasets sd_scripts_commit_hash prior_loss_weight huber_schedule huber_scale network_module "
    "validation_seed resize_interpolation multires_noise_discount text_encoder_lr unet_lr zero_terminal_snr "
    "max_validation_steps validation_split lowram cache_latents training_comment"
)
FACTS = frozenset(_FACTS.split())
"""`ss_*` names that tell what was, or belong to the model and the computer, and are no choice of the recipe's."""


def from_metadata(metadata: Mapping[str, str]) -> Imported:
    """The recipe that an adapter's metadata tells."""
    told = {str(name)[3:]: str(text) for name, text in metadata.items() if str(name).startswith("ss_")}
    told = {name: text for name, text in told.items() if len(text) <= LARGEST or name in FACTS}
    wanted: Values = {}
    left = []
    for name, text in told.items():
        values = _read(name, text, told)
        wanted |= {path: value for path, value in (values or {}).items() if value is not None}
        if values is None and name not in FACTS and text.strip().lower() not in _OFF:
            left.append((f"ss_{name}", text[:200]))
    wanted |= _parts(told)
    preset, refused = _fitting(wanted)
    taken = tuple(path for path in wanted if path not in refused)
    notes = [f"{path} is not taken over: {why}" for path, why in refused.items()]
    return Imported(preset, taken, (*_about(metadata, told), *notes), tuple(sorted(left)))


def _fitting(wanted: Values) -> tuple[Preset, dict[str, str]]:
    """The preset with those values that a setting can have, and why others cannot."""
    refused: dict[str, str] = {}
    for path, value in wanted.items():
        try:
            with_values(Preset(), {path: value})
        except Problems as error:
            refused[path] = error.problems[0].why
    return with_values(Preset(), {path: value for path, value in wanted.items() if path not in refused}), refused


def _read(name: str, text: str, told: Mapping[str, str]) -> Values | None:
    """The settings that a pair says; None where it has none here."""
    reader = _READERS.get(name)
    if reader is not None:
        try:
            return {} if text.strip().lower() in ("none", "null") else reader(text, told)
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError):
            return None
    path = _FLAGS.get(name)
    if path is None or name in FACTS:
        return None
    return {path: _plain(path, text)} if text.strip().lower() not in ("none", "null", "") else {}


_FLAGS = {
    flag.strip(): item.path for item in ITEMS for flag in item.setting.kohya.split(",") if flag.strip().isidentifier()
}


def _plain(path: str, text: str) -> Any:
    """A value as the setting's type has it, or the text, which the setting then refuses in its own words."""
    kind = BY_PATH[path].type
    if kind is bool:
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    try:
        return int(float(text)) if kind is int and float(text).is_integer() else float(text) if kind is float else text
    except ValueError:
        return text


def _name_in(table: str, text: str) -> str | None:
    """The catalog's own spelling of a name."""
    wanted = text.replace("_", " ").strip().lower()
    return next((name for name in catalog.names(table) if name.lower() == wanted), None)


def _optimizer(text: str, told: Mapping[str, str]) -> Values:
    found = re.match(r"\s*([\w.]+)\s*(?:\((.*)\))?\s*$", text, re.DOTALL)
    if not found:
        raise ValueError(text)
    name = _name_in("optimizers", found[1].rpartition(".")[2])
    if name is None:
        raise ValueError(text)
    decay = re.search(r"(?:^|,)\s*weight_decay=([\d.eE+-]+)", found[2] or "")
    return {"optimizer.name": name} | ({"optimizer.weight_decay": float(decay[1])} if decay else {})


def _schedule(text: str, told: Mapping[str, str]) -> Values:
    name = _name_in("schedules", text.rpartition(".")[2])
    if name is None:
        raise ValueError(text)
    return {"schedule.name": name}


def _warmup(text: str, told: Mapping[str, str]) -> Values:
    total = float(told.get("max_train_steps") or 0)
    return {"schedule.warmup": round(100 * float(text) / total, 3)} if total > 0 else {}


def _length(text: str, told: Mapping[str, str]) -> Values:
    return {"training.length": f"{int(float(text))} steps"}


def _resolution(text: str, told: Mapping[str, str]) -> Values:
    sides = [int(side) for side in re.findall(r"\d+", text)[:2]]
    return {"dataset.resolution": round((sides[0] * sides[-1]) ** 0.5)}


def _arguments(text: str, told: Mapping[str, str]) -> Values:
    given = json.loads(text)
    rows = {"conv_dim": "network.conv_rank", "conv_alpha": "network.conv_alpha"}
    return {path: _plain(path, str(given[name])) for name, path in rows.items() if given.get(name) not in (None, "")}


def _one(path: str, read: Callable[[str], Any]) -> Reader:
    return lambda text, told: {path: read(text)}


def _is(text: str) -> bool:
    return text.strip().lower() == "true"


_READERS: dict[str, Reader] = {
    "optimizer": _optimizer,
    "lr_scheduler": _schedule,
    "lr_warmup_steps": _warmup,
    "max_train_steps": _length,
    "resolution": _resolution,
    "network_args": _arguments,
    "batch_size_per_device": _one("training.batch_size", lambda text: int(float(text))),
    "mixed_precision": _one("precision.compute", lambda text: {"no": "float"}.get(text, text)),
    "full_fp16": lambda text, told: {"precision.base": "fp16"} if _is(text) else {},
    "bucket_no_upscale": _one("dataset.enlarge", lambda text: not _is(text)),
    "random_crop": _one("dataset.crop", lambda text: "random" if _is(text) else "centre"),
    "color_aug": lambda text, told: {"dataset.jitter": 0.05} if _is(text) else {},
    "validate_every_n_steps": _one("validation.every", lambda text: f"{int(text)} steps"),
    "validate_every_n_epochs": _one("validation.every", lambda text: f"{int(text)} epochs"),
}
"""Pairs that are named, counted or turned round otherwise than the setting."""


def _parts(told: Mapping[str, str]) -> Values:
    """Which parts were trained: those that have a learning rate."""
    rates = {part: told.get(name, "None") for part, name in (("unet", "unet_lr"), ("te", "text_encoder_lr"))}
    numbers: dict[str, float] = {}
    for part, text in rates.items():
        found = re.search(r"[\d.]+(?:[eE][+-]?\d+)?", text)
        if found and float(found[0]) > 0:
            numbers[part] = float(found[0])
    if not numbers:
        return {}
    values: Values = {"network.unet": "unet" in numbers, "network.text_encoder": "te" in numbers}
    if "unet" in numbers:
        values["optimizer.unet_learning_rate"] = numbers["unet"]
    if "te" in numbers:
        values["optimizer.text_encoder_learning_rate"] = numbers["te"]
    return values


def _about(metadata: Mapping[str, str], told: Mapping[str, str]) -> list[str]:
    """What the recipe does not hold and a person has to give: the model, the images."""
    notes = []
    if not told:
        return ["This file says nothing of how it was trained."]
    model, family = told.get("sd_model_name", ""), told.get("base_model_version", "")
    if model or family:
        named = f"on {model}" if model not in ("", "None") else "on a base model that is not named"
        notes.append(f"It was trained {named}" + (f" ({family})" if family else "") + ": choose the base model.")
    if told.get("color_aug", "").lower() == "true":
        notes.append("Colour jitter was on; how much is not said, so 0.05 is put there.")
    trigger = metadata.get("modelspec.trigger_phrase", "")
    notes += [f"Its trigger phrase is {trigger[:200]!r}."] if trigger else []
    notes.append("Image folders are not in the file: give your own.")
    return notes
