"""The presets on disk: those that ship and the user's own. Nothing that the page sends is ever joined to a path:
presets are taken from the list of what is there, new files get a cleaned name in one folder. No Gradio in here."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gui.context import Context
from gui.form.session import model_of, user_folder
from gui.form.toml_text import put_help
from gui.form.values import number_text
from trainer.contract.importers.adapter import from_metadata
from trainer.contract.importers.base import Imported
from trainer.contract.importers.read import OWN, read_text
from trainer.contract.machine import machine_file
from trainer.contract.preset import describe_rule, dumps, load, loads, value_at, with_paths
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import slug, write_whole
from trainer.contract.settings import BY_PATH, ITEMS, Preset, Rule
from trainer.contract.share import shareable

KINDS = ("toml", "json", "metadata")
"""What the page may send of a file: the text of a .toml or .json, or a LoRA's metadata as JSON."""

LARGEST_BYTES = 1_000_000
"""A preset file beyond this is none."""


@dataclass(frozen=True)
class Entry:
    """A preset file. `key` names it in the page ("shipped/demo"); `facts`: what it is at a glance; `base`, `what` and
    `memory_gb`: by which the list is filtered, "" and 0 where the title does not say; `faults`: why it cannot be
    loaded."""

    key: str
    path: Path
    title: str
    use: str = ""
    tested: str = ""
    facts: tuple[str, ...] = ()
    base: str = ""
    what: str = ""
    memory_gb: int = 0
    faults: tuple[Problem, ...] = ()


def entries(context: Context) -> list[Entry]:
    """Shipped presets, then the user's, each by name, numbers in it by their size."""
    places = (("shipped", context.root / "presets"), ("own", user_folder(context)))
    files = [(place, path) for place, folder in places for path in sorted(folder.glob("*.toml"), key=_in_order)]
    machine = machine_file(context.root).resolve()
    return [_entry(f"{place}/{path.stem}", path, context) for place, path in files if path.resolve() != machine]


def _in_order(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.stem)]


def _entry(key: str, path: Path, context: Context) -> Entry:
    try:
        preset = load(path)
        about = preset.about
    except Problems as error:
        return Entry(key, path, path.stem, faults=error.problems)
    except OSError as error:
        return Entry(key, path, path.stem, faults=(Problem("preset", str(error)),))
    memory = re.search(r"\b(\d+) ?GB\b", f"{about.title} {about.use}")
    return Entry(
        key,
        path,
        about.title or path.stem,
        about.use,
        about.tested,
        _glance(preset, memory[0] if memory else "", context),
        about.title.partition(":")[0].strip() if ":" in about.title else "",
        next((word for word in USES if word in about.title.lower()), ""),
        int(memory[1]) if memory else 0,
    )


USES = ("character", "style", "object")
"""What presets are for, as their titles say it."""


def _glance(preset: Preset, memory: str, context: Context) -> tuple[str, ...]:
    """Family, memory where the preset names it, length and width."""
    model = model_of(preset, context.root)
    family = model.family if model is not None else "" if preset.model.family == "auto" else preset.model.family
    size = "" if isinstance(preset.dataset.resolution, Rule) else f"{preset.dataset.resolution} px"
    told = (family, memory, preset.training.length, size, f"rank {preset.network.rank}")
    return tuple(word for word in (*told, preset.optimizer.name) if word)


def find(context: Context, key: str) -> Entry | None:
    """The preset that the page calls `key`."""
    return next((entry for entry in entries(context) if entry.key == key), None)


def own_file(context: Context, name: str) -> Path:
    """Where a preset called `name` is saved. Problems for a name that is empty or the machine file's."""
    path = user_folder(context) / f"{slug(name)}.toml"
    if not name.strip():
        raise Problems([Problem("preset name", "there is none yet", "write one beside Save")])
    if path.resolve() == machine_file(context.root).resolve() or path.stem.lower() == "machine":
        raise Problems([Problem("preset name", f"{path.name} is this computer's own file", "choose another name")])
    return path


def save(path: Path, full: Preset, typed: str = "") -> None:
    """Write a resolved preset. `typed`: the text that it was edited in, whose comments are kept; without one, those in
    a file that is replaced are. Problems where it cannot be written."""
    try:
        previous = put_help(typed) if typed else path.read_text(encoding="utf-8") if path.is_file() else ""
        write_whole(path, dumps(full, previous))
    except (OSError, UnicodeDecodeError) as error:
        raise Problems([Problem("preset", f"{path} cannot be written: {error}", "check rights and space")]) from None


def delete(context: Context, key: str) -> Path:
    """Move a preset of the user's own into the trash beside it; where it lies then. Problems for any other."""
    entry = find(context, key)
    if entry is None or not key.startswith("own/"):
        raise Problems([Problem("preset", "that preset is none of your own", "choose one under Your own")])
    trash = user_folder(context) / "trash"
    try:
        trash.mkdir(exist_ok=True)
        place = next(place for number in range(10_000) if not (place := trash / _numbered(entry.path, number)).exists())
        os.replace(entry.path, place)
    except OSError as error:
        raise Problems([Problem("preset", f"{entry.path.name} cannot be moved: {error}", "check rights")]) from None
    return place


def _numbered(path: Path, number: int) -> str:
    return f"{path.stem}-{number}{path.suffix}" if number else path.name


def read_dropped(name: str, kind: str, text: str, context: Context) -> Imported:
    """What was dropped on the page: the `text` of a preset or of sd-scripts' settings (`kind` "toml"), of a preset of
    kohya_ss or OneTrainer ("json"), or the metadata of an adapter file as JSON ("metadata"). A relative path of our own
    presets leads to what ships where there is that, and stays as it is elsewhere. Problems for whatever is wrong."""
    if len(text) > LARGEST_BYTES * (8 if kind == "metadata" else 1):
        raise Problems([Problem("preset", f"{name} is too large for a preset", "drop a .toml preset")])
    if kind == "json":
        return read_text(text, name)
    if kind == "toml":
        return _from_toml(text.removeprefix("\ufeff"), name, context)
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise Problems([Problem("preset", f"{name} has no metadata that can be read", "drop a LoRA or a .toml file")])
    imported = from_metadata(metadata)
    if not imported.taken:
        why = f"{name} says nothing of how it was trained"
        raise Problems([Problem("preset", why, "drop a LoRA of sd-scripts or Loratory, or a .toml preset")])
    return imported


def _from_toml(text: str, name: str, context: Context) -> Imported:
    """A preset of ours, whose faults are told, or else settings of sd-scripts."""
    try:
        shipped = context.root / "presets"
        return Imported(with_paths(loads(text), lambda path, found: _shipped(found, shipped)))
    except Problems:
        with contextlib.suppress(Problems):
            imported = read_text(text, name)
            if imported.kind != OWN:
                return imported
        raise


def _shipped(text: str, folder: Path) -> str:
    try:
        place = (folder / text).resolve()
        ships = place.is_relative_to(folder.resolve()) and not Path(text).is_absolute() and place.exists()
    except (OSError, ValueError):
        return text
    return str(place) if ships and text else text


def changes(now: Preset, then: Preset) -> list[tuple[str, str, str]]:
    """Setting path, value now and value then, as text, for every setting that loading a preset would change."""
    found = []
    for item in ITEMS:
        before, after = value_at(now, item.path), value_at(then, item.path)
        if before != after:
            found.append((item.path, _text(before), _text(after)))
    return found


def warnings(preset: Preset) -> list[str]:
    """What a preset that comes from elsewhere would do beyond training, or look for on this computer."""
    told = []
    if preset.logging.wandb:
        told.append("It sends the run's curves to Weights & Biases.")
    if preset.saving.publish:
        told.append("It writes the names of your folders, your tags and your trigger word into the LoRA file.")
    for item in ITEMS:
        value = value_at(preset, item.path)
        if item.setting.widget == "path" and isinstance(value, str) and value and not os.path.exists(value):
            told.append(f"{item.setting.label}: {value} is not on this computer.")
    named = [("Images", row.path) for row in preset.dataset.folders]
    named += [("Masks", row.mask) for row in preset.dataset.folders]
    told += [f"{what}: {path} is not on this computer." for what, path in named if path and not os.path.isdir(path)]
    return told


def stripped(full: Preset) -> list[str]:
    """What a shared copy does not hold, in words."""
    shared = shareable(full)
    return [f"{BY_PATH[path].setting.label}: {before} became {after}" for path, before, after in changes(full, shared)]


def differences(preset: Preset) -> list[tuple[str, str, str]]:
    """Setting path, value and default, as text, for every setting of the training that is not at its default."""
    plain = Preset()
    found = []
    for item in ITEMS:
        value, default = value_at(preset, item.path), value_at(plain, item.path)
        if value != default and not isinstance(value, Rule) and item.section != "about":
            found.append((item.path, _text(value), _text(default)))
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Rule):
        return describe_rule(value)
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, list):
        return "; ".join(getattr(part, "path", None) or str(part) for part in value) or "none"
    return str(value) if value not in ("", {}) else "empty"
