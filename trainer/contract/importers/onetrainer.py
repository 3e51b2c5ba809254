"""OneTrainer's configurations (JSON), with the files of concepts and samples that lie beside them.

An absent key has OneTrainer's own default. What belongs to its computer, to other model families and its secrets is
left.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import loose, recipe
from . import onetrainer_keys as keys
from .base import Imported, KeyReport, shown
from .flags import Flags
from .onetrainer_links import LINKS
from .report import Translation, assemble, line

KIND = "OneTrainer configuration"

LARGEST = 5_000_000


class Config(Flags):
    """The keys of a configuration over OneTrainer's defaults."""

    def __getitem__(self, flag: str) -> Any:
        return self.given.get(flag, keys.DEFAULTS.get(flag))

    def without(self, flags: tuple[str, ...]) -> Config:
        """The same without some keys: at their defaults."""
        left = Config({flag: value for flag, value in self.given.items() if flag not in flags})
        left.changed, left.refused = self.changed, self.refused
        return left


def is_one(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is one of OneTrainer's."""
    own = {"model_type", "training_method", "base_model_name", "concept_file_name", "learning_rate_scheduler", "unet"}
    own |= {"output_model_destination", "train_dtype", "peft_type", "layer_filter_preset", "backup_after"}
    found = own & set(content)
    return len(found) >= 3 or {"model_type", "training_method"} <= found


def from_json(content: Mapping[str, Any], beside: Path | None = None) -> Imported:
    """The recipe of a configuration. `beside`: the folder where its other files are looked for."""
    given = _flat(content)
    notes: list[str] = []
    for key, name in (("concepts", "concept_file_name"), ("samples", "sample_definition_file_name")):
        if not isinstance(given.get(key), list):
            given.pop(key, None)
            found = _list_beside(given.get(name), beside)
            if found is not None:
                given[key] = found
    if not isinstance(given.get("concepts"), list):
        notes.append("Its images are in a file of concepts: import it beside this one, or give your own folders.")
    config = Config(given)
    family = str(config["model_type"])
    if family not in keys.FAMILIES:
        notes.append(f"It is for {family}, which cannot be trained here yet; what has a setting was taken over.")
    if str(config["training_method"]) != "LORA":
        notes.append("It does not train an adapter; here one is trained.")
    values = recipe.settings_of(config, LINKS)
    preset, refused, clamped = recipe.fitting(values)
    done = Translation(config, preset, values, refused, clamped, {}, LINKS)
    return assemble(KIND, done, [_line(key, given[key], done) for key in given], notes)


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """The keys, those of parts and of the optimizer with its name before them."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = str(key)
        if isinstance(value, Mapping) and (name in keys.PARTS or name == "optimizer"):
            found |= {f"{name}.{inner}": part for inner, part in value.items()}
        else:
            found[name] = value
    return found


def _list_beside(named: Any, beside: Path | None) -> list[Any] | None:
    """A file that lies in the same folder, whatever folder the configuration says."""
    if beside is None or not isinstance(named, str) or not named.strip():
        return None
    path = beside / named.replace("\\", "/").rpartition("/")[2]
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig")) if path.stat().st_size < LARGEST else None
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


_PATHS = {key: link.paths for link in LINKS for key in link.flags}


def why_dropped(key: str) -> str:
    """Why a key is left out; "" for one that a setting says."""
    part, _, inner = key.partition(".")
    if key in _PATHS or key == "concept_file_name":
        return ""
    if key in keys.DROPPED:
        return keys.DROPPED[key]
    if part in keys.PARTS and inner:
        return keys.PART_DROPPED.get(inner, "not offered here for this part")
    if part == "optimizer" and inner:
        return "an argument that its optimizer does not have here"
    close = difflib.get_close_matches(key, [*keys.DROPPED, *_PATHS], 1, 0.7)
    return "OneTrainer has no such key" + (f"; did you mean {close[0]}?" if close else "")


def _line(key: str, value: Any, done: Translation) -> KeyReport:
    why = why_dropped(key)
    if key == "concept_file_name":
        return KeyReport(key, shown(key, value), "mapped", "dataset.folders", "")
    text = f"{len(value)} rows" if isinstance(value, list) else value
    if not why:
        return line(key, text, key, done, "mapped", "")
    if key in ("secrets", "cloud"):
        text = "(secrets)" if value else ""
    idle = loose.is_empty(value) or value in (False, 0) or value == [] or value == {} or value == keys.DEFAULTS.get(key)
    return KeyReport(key, shown(key, text), "dropped", "", why, idle=idle)
