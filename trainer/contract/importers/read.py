"""Any settings file of this or another program, told apart by what is in it: the one way in for page and command line.

`Problems` with one sentence for what is no such file; nothing else is raised, whatever the bytes are.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import preset as presets
from ..families.base import read_header
from ..problems import Problem, Problems
from ..settings import Preset
from . import adapter, kohya_json, kohya_keys, onetrainer, sdscripts
from .base import Imported
from .flags import known

SUFFIXES = (".json", ".toml", ".safetensors")
"""Endings of files that may hold settings."""

LARGEST = 5_000_000
"""Bytes of a text file beyond which it is no settings file."""

OWN = "preset"


def read_file(path: Path) -> Imported:
    """The settings that a file holds; files that it names beside itself (a dataset file, concepts) are read too."""
    path = Path(path)
    try:
        if path.suffix.lower() == ".safetensors":
            return _adapter(path)
        if path.stat().st_size > LARGEST:
            raise _no("it is too large for a file of settings")
        return read_text(path.read_text(encoding="utf-8-sig"), path.name, path.parent)
    except UnicodeDecodeError:
        raise _no(f"{path.name} is no text") from None
    except OSError as error:
        raise _no(f"{path.name} cannot be read: {error.strerror or error}") from None


def read_text(text: str, name: str = "", beside: Path | None = None) -> Imported:
    """The settings in a text. `beside`: the folder in which files that it names are looked for; None: nowhere."""
    content = _parsed(text.removeprefix("\ufeff"), name)
    if isinstance(content, Mapping):
        for is_it, importer in _KINDS:
            if is_it(content):
                return importer(content, _Place(beside, text))
    raise _no(f"{name or 'this'} holds no settings of a program that is known here")


def _no(why: str) -> Problems:
    fix = "kohya_ss presets, sd-scripts and OneTrainer configurations, adapters and our own presets are read"
    return Problems([Problem("import", why, fix)])


def _parsed(text: str, name: str) -> Any:
    """JSON where it begins like JSON, else TOML."""
    if len(text) > LARGEST:
        raise _no("it is too large for a file of settings")
    try:
        if text.lstrip().startswith(("{", "[{", "[\n")) and not name.lower().endswith(".toml"):
            return json.loads(text)
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        what = "JSON" if text.lstrip().startswith("{") else "TOML"
        raise _no(f"{name or 'this'} is not readable as {what}: {str(error)[:120]}") from None


def _adapter(path: Path) -> Imported:
    try:
        shapes, metadata = read_header(path)
    except ValueError as error:
        raise _no(f"{path.name}: {error}") from None
    return adapter.from_metadata(metadata, shapes)


# ---- which is which -------------------------------------------------------------------------------------------------


def _is_own(content: Mapping[str, Any]) -> bool:
    sections = [name for name in content if name in Preset.model_fields and isinstance(content[name], Mapping)]
    others = [name for name in content if name not in Preset.model_fields]
    return "format" in content or (bool(sections) and len(sections) > len(others) and not _flat_flags(content))


def _flat_flags(content: Mapping[str, Any]) -> set[str]:
    """Flags of sd-scripts that stand in it, or in its tables."""
    names = {str(name) for name in content}
    for value in content.values():
        names |= {str(name) for name in value} if isinstance(value, Mapping) else set()
    return names & known()


def _is_dataset(content: Mapping[str, Any]) -> bool:
    return isinstance(content.get("datasets"), list)


def _is_onetrainer(content: Mapping[str, Any]) -> bool:
    return onetrainer.is_one(content)


_GUI_ONLY = {"LoRA_type", "max_resolution", "optimizer", "epoch", "lr_warmup", "text_encoder_lr", "sdxl", "xformers"}


def _is_kohya_json(content: Mapping[str, Any]) -> bool:
    return len(_GUI_ONLY & set(content)) >= 2 and len(set(kohya_keys.defaults()) & set(content)) >= 4


def _is_config(content: Mapping[str, Any]) -> bool:
    return len(_flat_flags(content)) >= 2


@dataclass(frozen=True)
class _Place:
    """Where a content came from: the folder in which files that it names are looked for, and the whole text."""

    folder: Path | None
    text: str

    def beside(self, named: Any) -> Path | None:
        """A file that lies in the same folder, whatever folder the content says."""
        if self.folder is None or not isinstance(named, str) or not named.strip():
            return None
        return self.folder / named.replace("\\", "/").rpartition("/")[2]


def _own(content: Mapping[str, Any], place: _Place) -> Imported:
    try:
        return Imported(presets.build(content), kind=OWN)
    except Problems as faults:
        if faults.rest is None:
            raise
        notes = tuple(f"{problem.path} is left out: {problem.why}." for problem in faults.problems)
        return Imported(faults.rest, notes=notes, kind=OWN)


def _config(content: Mapping[str, Any], place: _Place) -> Imported:
    tables = [part for part in content.values() if isinstance(part, Mapping)]
    flat = {**content, **{name: value for part in tables for name, value in part.items()}}
    prompts = _text_of(place.beside(flat.get("sample_prompts")), ".txt")
    if prompts is not None:
        content = {**content, "sample_prompts": prompts.splitlines()}
    program = re.search(r"\b((?:\w+_)?train_network)\.py\b", place.text.partition("\n")[0])  # an export says it first
    return sdscripts.from_config(
        content, _dataset_beside(place.beside(flat.get("dataset_config"))), program[1] if program else ""
    )


def _dataset_beside(path: Path | None) -> Mapping[str, Any] | None:
    text = _text_of(path, "")
    try:
        content = _parsed(text, path.name) if text is not None and path is not None else None
    except Problems:
        return None
    return content if isinstance(content, Mapping) and _is_dataset(content) else None


def _text_of(path: Path | None, ending: str) -> str | None:
    """The text of a file; None where there is none that can be read."""
    if path is None or not path.name.lower().endswith(ending):
        return None
    try:
        return path.read_text(encoding="utf-8-sig") if path.stat().st_size <= LARGEST else None
    except (OSError, UnicodeDecodeError, ValueError):
        return None


_KINDS = (
    (_is_onetrainer, lambda content, place: onetrainer.from_json(content, place.folder)),
    (_is_dataset, lambda content, place: sdscripts.from_dataset(content)),
    (_is_kohya_json, lambda content, place: kohya_json.from_json(content)),
    (_is_own, _own),
    (_is_config, _config),
)
"""What a content is -> what reads it, in the order in which they are asked."""
