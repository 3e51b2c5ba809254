"""Any settings file of this or another program, told apart by what is in it: the one way in for page and command line.

`Problems` with one sentence for what is no such file; nothing else is raised, whatever the bytes are.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
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
                return importer(content, beside)
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


def _own(content: Mapping[str, Any], beside: Path | None) -> Imported:
    try:
        return Imported(presets.build(content), kind=OWN)
    except Problems as faults:
        if faults.rest is None:
            raise
        notes = tuple(f"{problem.path} is left out: {problem.why}." for problem in faults.problems)
        return Imported(faults.rest, notes=notes, kind=OWN)


def _config(content: Mapping[str, Any], beside: Path | None) -> Imported:
    flat = {name: value for part in content.values() if isinstance(part, Mapping) for name, value in part.items()}
    named = content.get("dataset_config", flat.get("dataset_config"))
    return sdscripts.from_config(content, _dataset_beside(named, beside))


def _dataset_beside(named: Any, beside: Path | None) -> Mapping[str, Any] | None:
    """A dataset file that lies in the same folder, whatever folder the configuration says."""
    if beside is None or not isinstance(named, str) or not named.strip():
        return None
    path = beside / named.replace("\\", "/").rpartition("/")[2]
    try:
        if path.stat().st_size > LARGEST:
            return None
        content = _parsed(path.read_text(encoding="utf-8-sig"), path.name)
    except (OSError, UnicodeDecodeError, Problems):
        return None
    return content if isinstance(content, Mapping) and _is_dataset(content) else None


_KINDS = (
    (_is_onetrainer, onetrainer.from_json),
    (_is_dataset, lambda content, beside: sdscripts.from_dataset(content)),
    (_is_kohya_json, lambda content, beside: kohya_json.from_json(content)),
    (_is_own, _own),
    (_is_config, _config),
)
"""What a content is -> what reads it, in the order in which they are asked."""
