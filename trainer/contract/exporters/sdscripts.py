"""A preset as sd-scripts' `--config_file` and dataset file (TOML), by the same links that importers read them with.

What that program cannot do is a problem each (`limits`); what it merely does otherwise is a note.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from ..importers import loose, recipe
from ..importers.flags import LARGE, PROGRAMS, parser, recorded
from ..importers.links_data import NO_FILES
from ..preset import folder_name, with_values
from ..problems import Problem, Problems
from ..settings import Folder, Preset
from . import limits


@dataclass(frozen=True)
class Around:
    """What the preset itself does not say. `family`, `prediction` ("epsilon" or "v"), `zero_snr`: of the base model,
    where the preset leaves them to it. Places are written as they stand; `lycoris`: that library is there."""

    family: str = ""
    prediction: str = ""
    zero_snr: bool = False
    output_dir: str = ""
    logging_dir: str = ""
    dataset_file: str = "dataset.toml"
    prompts_file: str = "prompts.txt"
    lycoris: bool = True


@dataclass(frozen=True)
class Exported:
    """The two files, the sample prompts (a third, "" where it is not needed), and the program that takes them.
    `refused`: what it cannot do; `notes`: what it does otherwise."""

    config_toml: str
    dataset_toml: str
    prompts_txt: str
    script: str
    refused: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def export(preset: Preset, around: Around | None = None) -> Exported:
    """The files for a resolved preset. Nothing is written to disk."""
    around = around or Around()
    preset = _settled(preset, around)
    script = PROGRAMS.get(preset.model.family) or carried_script(preset)
    flags = {flag: value for link in recipe.LINKS for flag, value in link.write(preset).items() if value is not None}
    flags |= _beside(preset, around, script)
    flags, lost = _with_carried(flags, preset, script)
    data = _dataset(preset, flags)
    apart = {*data["general"], "train_batch_size"}
    config = {flag: value for flag, value in flags.items() if flag not in apart}
    known = parser(script)
    config = {flag: value for flag, value in _gathered(config).items() if flag in known}
    return Exported(
        _toml(config, f"Written from a preset. Train it: accelerate launch {script}.py --config_file <this file>"),
        _toml_dataset(data),
        prompts(preset) if _draws(preset) and not preset.sampling.prompts_file else "",
        f"{script}.py",
        tuple(limits.problems(preset, script, around.lycoris)),
        (*limits.notes(preset, script), *lost),
    )


def carried_script(preset: Preset) -> str:
    """The program that another program's file named for a family that is not known here. A preset may be a stranger's,
    and this ends in a command line: what is none of sd-scripts' programs is Problems, not a name to be passed on."""
    script = preset.about.carried.get("script", "train_network")
    if script not in recorded()["scripts"]:
        why = f"{script!r} is no script of sd-scripts"
        raise Problems([Problem("about.carried", why, "remove it there")])
    return script


def _settled(preset: Preset, around: Around) -> Preset:
    """The preset with what it leaves to the model said."""
    changes: dict[str, Any] = {}
    if around.family and preset.model.family == "auto":
        changes["model.family"] = around.family
    if around.prediction and preset.model.prediction == "auto":
        changes["model.prediction"] = around.prediction
    if preset.model.zero_snr == "auto":
        changes["model.zero_snr"] = "on" if around.zero_snr else "off"
    return with_values(preset, changes)


def _beside(preset: Preset, around: Around, script: str) -> dict[str, Any]:
    """Flags that no link writes: places, the cache of captions, what is published."""
    found: dict[str, Any] = {
        "dataset_config": around.dataset_file,
        "output_dir": around.output_dir or None,
        "logging_dir": around.logging_dir if around.logging_dir and preset.logging.tensorboard else None,
        "sample_prompts": (preset.sampling.prompts_file or around.prompts_file) if _draws(preset) else None,
        "save_model_as": "safetensors",
        "no_metadata": not preset.saving.publish,
        "no_half_vae": True,
    }
    if script == LARGE:
        found["cache_text_encoder_outputs"] = limits.caches_text(preset)
    return {flag: value for flag, value in found.items() if value is not None}


def _draws(preset: Preset) -> bool:
    return preset.sampling.every != "never" or preset.sampling.at_start


def _with_carried(flags: Mapping[str, Any], preset: Preset, script: str) -> tuple[dict[str, Any], list[str]]:
    """The flags with those that came from another program's file, as their parser's types."""
    found, lost = dict(flags), []
    known = parser(script)
    for flag, text in preset.about.carried.items():
        if flag in ("full_fp16", "full_bf16") and flag != f"full_{preset.precision.compute}":
            lost.append(f"{flag} is left out: sd-scripts has it with that precision only.")
            continue
        if flag in found or flag == "script" or recipe.fate_of(flag)[0] != "carried":
            continue
        if flag.startswith(recipe.MEMBER):
            found[flag] = text
        elif flag in known:
            found[flag] = _typed(text, known[flag])
        elif flag not in _dataset_keys():
            lost.append(f"{flag} = {text} is left out: {script}.py of sd-scripts knows no such flag.")
        else:
            found[flag] = loose.plain(text)
    return found, lost


def _typed(text: str, row: Mapping[str, Any]) -> Any:
    if row["type"] == "flag":
        return text.strip().lower() in ("true", "1")
    if "nargs" in row:
        found = loose.plain(text)
        return found if isinstance(found, list) else loose.split_words(text)
    value = loose.plain(text)
    if row["type"] == "str" or isinstance(value, bool) or not isinstance(value, (int, float)):
        return text
    return int(value) if row["type"] == "int" else value


def _gathered(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Members of `network_args` together under it."""
    members = [f"{flag.removeprefix(recipe.MEMBER)}={_word(value)}" for flag, value in flags.items() if "." in flag]
    found = {flag: value for flag, value in flags.items() if "." not in flag}
    return {**found, "network_args": members} if members else found


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


# ---- the dataset file -----------------------------------------------------------------------------------------------


def _dataset_keys() -> set[str]:
    return set(recorded()["dataset"]["dataset"]) - {"subsets"}


def _dataset(preset: Preset, flags: Mapping[str, Any]) -> dict[str, Any]:
    """`general`: keys that all images share; `datasets`: lists of subsets, those with masks apart, as it must be."""
    only_here = _dataset_keys() - set(parser("train_network"))
    shared = (_dataset_keys() & set(recipe.PATHS) | only_here) - {"validation_split"}
    general = {flag: value for flag, value in flags.items() if flag in shared}
    general["batch_size"] = preset.training.batch_size
    rows = [_subset(preset, folder, flags) for row in preset.dataset.folders for folder in leaves(row)]
    masked = [row for row in rows if "conditioning_data_dir" in row]
    plain = [row for row in rows if "conditioning_data_dir" not in row]
    return {"general": general, "datasets": [subsets for subsets in (plain, masked) if subsets]}


def leaves(row: Folder) -> list[Folder]:
    """A row as folders that hold images themselves: itself, and Kohya's `10_name` folders in it, with their repeats."""
    root = Path(row.path)
    own = folder_name(row.path)[1]
    repeats = row.repeats if isinstance(row.repeats, int) else own
    factor = 1 if repeats == own else repeats
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except (OSError, ValueError):
        entries = []
    inner = [entry.name for entry in entries if entry.is_dir() and re.match(r"[1-9]\d*_.", entry.name)]
    files = any(entry.is_file() for entry in entries)
    found = [row.model_copy(update={"repeats": repeats})] if files or not inner else []
    for name in inner:
        mask = str(Path(row.mask) / name) if row.mask else ""
        update = {"path": str(root / name), "repeats": folder_name(name)[1] * factor, "mask": mask}
        found.append(row.model_copy(update=update))
    return found


def _subset(preset: Preset, folder: Folder, flags: Mapping[str, Any]) -> dict[str, Any]:
    captions, dataset = preset.captions, preset.dataset
    trigger = "" if folder.regularisation else folder.trigger.strip() or captions.trigger.strip()
    row: dict[str, Any] = {"image_dir": folder.path, "num_repeats": folder.repeats}
    if folder.regularisation:
        row["is_reg"] = True
    elif dataset.masks == "folders" and folder.mask:
        row["conditioning_data_dir"] = folder.mask
    if dataset.masks == "alpha":
        row["alpha_mask"] = True
    tokens = {"folder name": folder_name(folder.path)[0], "none": ""}.get(captions.mode, trigger)
    if tokens and "conditioning_data_dir" not in row:
        row["class_tokens"] = tokens
    if trigger and captions.mode in ("files", "folder name"):
        separator = captions.separator or ","
        prefix = f"{trigger}{separator} {flags.get('caption_prefix', '')}".strip()
        row["caption_prefix"] = prefix
        row["keep_tokens"] = int(flags.get("keep_tokens", 0)) + trigger.count(separator) + 1
    return row


def _toml_dataset(data: Mapping[str, Any]) -> str:
    lines = ["[general]", *_lines(data["general"])]
    for subsets in data["datasets"]:
        lines += ["", "[[datasets]]"]
        for subset in subsets:
            lines += ["", "[[datasets.subsets]]", *_lines(subset)]
    return "\n".join(lines) + "\n"


def _toml(config: Mapping[str, Any], comment: str) -> str:
    return "\n".join([f"# {comment}", *_lines(config)]) + "\n"


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {tomlkit.item(value).as_string()}" for name, value in values.items() if value is not None]


# ---- sample prompts -------------------------------------------------------------------------------------------------


def prompts(preset: Preset) -> str:
    """The sample prompts, one a line, with size, seed, steps and guidance behind each that has none of its own."""
    sampling = preset.sampling
    lines = []
    for number, text in enumerate(sampling.prompts if isinstance(sampling.prompts, list) else []):
        line = text.replace("{trigger}", preset.captions.trigger).strip()
        wanted = {
            "n": sampling.negative,
            "w": sampling.width,
            "h": sampling.height,
            "d": (sampling.seed + number) % 2**32,
            "s": sampling.steps,
            "l": sampling.guidance,
        }
        for flag, value in wanted.items():
            if value != "" and not re.search(rf"--{flag}\s", line):
                line += f" --{flag} {value:g}" if isinstance(value, float) else f" --{flag} {value}"
        lines.append(line)
    return "\n".join(lines) + "\n" if lines else ""


__all__ = ["NO_FILES", "Around", "Exported", "export", "leaves", "prompts"]
