"""sd-scripts' `--config_file` (TOML, flat or in one level of tables) and its dataset file, alone or together.

An absent flag has sd-scripts' own default. Levels of a dataset file: `[general]` < `[[datasets]]` <
`[[datasets.subsets]]`, the nearest counts; what differs between subsets beyond folder, repeats and masks is told, since
it is one setting here.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from . import loose, recipe
from .base import Imported, KeyReport, shown
from .flags import Flags, known, recorded, typed
from .links_data import NO_FILES
from .report import Translation, assemble, line, translate

KIND, KIND_DATASET = "sd-scripts configuration", "sd-scripts dataset configuration"

RENAMED = {"batch_size": "train_batch_size"}
"""Key of a dataset file -> flag of the same meaning."""

ROW = ("image_dir", "num_repeats", "is_reg", "class_tokens", "conditioning_data_dir", "alpha_mask", "metadata_file")
"""Keys of a subset that are a row of ours, or part of one."""

_ROW_SETTING = {
    "image_dir": "dataset.folders.path",
    "num_repeats": "dataset.folders.repeats",
    "is_reg": "dataset.folders.regularisation",
    "conditioning_data_dir": "dataset.folders.mask",
    "class_tokens": "dataset.folders.trigger",
    "alpha_mask": "dataset.masks",
}


def from_config(content: Mapping[str, Any], dataset: Mapping[str, Any] | None = None, script: str = "") -> Imported:
    """The recipe of a configuration; `dataset`: its dataset file, which goes before it."""
    given, names = _flat(content)
    lines: list[tuple[str, Any, str]] = [(names.get(flag, flag), value, flag) for flag, value in given.items()]
    notes: list[str] = []
    spread = _spread_rows(dataset) if dataset else _Rows()
    if dataset:
        given = {**given, **spread.flags}
        notes += spread.notes
    flags = Flags(recipe.members(given), script or _program(given))
    done = translate(flags)
    keys = []
    for name, value, flag in lines:
        keys += _config_lines(name, value, flag, done)
    keys += _row_lines(spread, done)
    if not loose.is_empty(given.get("dataset_config")) and not dataset:
        notes.append("Its images are described by a dataset file: import that one too, or give your own folders.")
    return assemble(KIND, done, keys, notes)


def from_dataset(content: Mapping[str, Any]) -> Imported:
    """The images of a dataset file; everything else is as sd-scripts has it."""
    spread = _spread_rows(content)
    flags = Flags(recipe.members(spread.flags), "")
    done = translate(flags)
    notes = [
        *spread.notes,
        "A dataset file says nothing of model, network or rates: those are at sd-scripts' defaults.",
    ]
    return assemble(KIND_DATASET, done, _row_lines(spread, done), notes)


def _flat(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The flags of a configuration, and the names with their table for those that stand in one."""
    given: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, value in content.items():
        if isinstance(value, Mapping) and str(name) not in ("network_args", "optimizer_args", "lr_scheduler_args"):
            for inner, part in value.items():
                given[str(inner)] = part
                names[str(inner)] = f"{name}.{inner}"
        else:
            given[str(name)] = value
    return given, names


def _program(given: Mapping[str, Any]) -> str:
    """The one of sd-scripts' programs that alone knows some of the flags; "" where several do."""
    scripts = recorded()["scripts"]
    common = set(scripts["train_network"])
    for name in given:
        if name in common or name not in known():
            continue
        owners = [script for script, flags in scripts.items() if name in flags]
        if len(owners) == 1:
            return owners[0]
    return ""


def _config_lines(name: str, value: Any, flag: str, done: Translation) -> list[KeyReport]:
    """A line for a flag; for --network_args one for each of its members."""
    if flag != "network_args":
        return [line(name, value, flag, done, *recipe.fate_of(flag))]
    members = recipe.members({flag: value})
    if flag in members:
        return [KeyReport(name, shown(name, value), "dropped", "", "its value is not understood: name=value is wanted")]
    if not members:
        return [KeyReport(name, shown(name, value), "mapped", "", "")]
    return [line(member, part, member, done, *recipe.fate_of(member)) for member, part in members.items()]


# ---- dataset files --------------------------------------------------------------------------------------------------


class _Rows:
    """A dataset file's subsets with all that counts for them: `flags` for the whole, `lines` for each key that stands
    somewhere, `notes` on what cannot be said here."""

    def __init__(self) -> None:
        self.flags: dict[str, Any] = {}
        self.lines: dict[str, tuple[Any, str]] = {}
        self.notes: list[str] = []


def _tables(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def _spread_rows(content: Mapping[str, Any]) -> _Rows:
    found = _Rows()
    general = content.get("general")
    general = dict(general) if isinstance(general, Mapping) else {}
    rows: list[dict[str, Any]] = []
    for dataset in _tables(content.get("datasets")):
        own = {str(key): value for key, value in dataset.items() if key != "subsets"}
        for subset in _tables(dataset.get("subsets")):
            rows.append({str(key): value for key, value in {**general, **own, **subset}.items()})
            _note_lines(found, subset)
        _note_lines(found, own)
    _note_lines(found, general)
    unknown = [key for key in content if key not in ("general", "datasets")]
    found.notes += [f"{key} is no part of a dataset file: left out." for key in unknown[:10]]
    subsets = [_row(row) for row in rows]
    if any(row.get("metadata_file") for row in subsets):
        found.notes.append("Subsets with a metadata file are left out: captions are read from files beside the images.")
    found.flags = _common(rows, subsets, found.notes)
    found.flags["subsets"] = [row for row in subsets if row.get("image_dir") and not row.get("metadata_file")]
    return found


def _note_lines(found: _Rows, table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        shown_before = found.lines.get(str(key))
        text = json.dumps(value, default=str)[:100] if isinstance(value, (list, dict)) else value
        if shown_before and str(text) not in str(shown_before[0]).split(" | "):
            text = f"{shown_before[0]} | {text}"
        elif shown_before:
            text = shown_before[0]
        found.lines[str(key)] = (text, RENAMED.get(str(key), str(key)))


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A subset as a row, its trigger word taken out of the prefix where an export put it there."""
    found = {key: row[key] for key in ROW if key in row} | {"from_file": True}
    tokens, prefix = _text(row.get("class_tokens")), _text(row.get("caption_prefix"))
    separator = _text(row.get("caption_separator")) or ","
    alone = _text(row.get("caption_extension")) == NO_FILES["trigger word"]
    if tokens and (alone or prefix == tokens or prefix.startswith(f"{tokens}{separator}")):
        found["trigger"] = tokens
    return found


def _text(value: Any) -> str:
    """Text, or "" for what is none."""
    try:
        return loose.text(value)
    except ValueError:
        return ""


def _common(rows: list[dict[str, Any]], subsets: list[dict[str, Any]], notes: list[str]) -> dict[str, Any]:
    """The flags that all subsets share: of those with pictures to learn, the first one's; what differs is told."""
    both = list(zip(rows, subsets))
    learnt = [(row, subset) for row, subset in both if not loose.quiet_flag(row.get("is_reg"))] or both
    if not learnt:
        return {}
    first: dict[str, Any] = {}
    differing: list[str] = []
    for row, subset in learnt:
        plain = {RENAMED.get(key, key): value for key, value in row.items() if key not in ROW}
        plain |= _without_trigger(row, subset)
        for key, value in plain.items():
            if row is learnt[0][0]:
                first[key] = value
            elif json.dumps(first.get(key), default=str) != json.dumps(value, default=str):
                differing.append(key)
        differing += [key for key in first if key not in plain]
    for key in sorted(set(differing)):
        notes.append(f"{key} differs between its datasets or subsets; here it is one setting: the first one counts.")
    triggers = {subset.get("trigger", "") for _, subset in learnt}
    if len(triggers) == 1 and "" not in triggers:
        first["trigger"] = triggers.pop()
        for subset in subsets:
            subset.pop("trigger", None)
    return {key: value for key, value in first.items() if value is not None}


def _without_trigger(row: Mapping[str, Any], subset: Mapping[str, Any]) -> dict[str, Any]:
    trigger = subset.get("trigger")
    if not trigger:
        return {}
    separator = _text(row.get("caption_separator")) or ","
    rest = _text(row.get("caption_prefix")).removeprefix(trigger).removeprefix(separator).strip()
    kept = typed("keep_tokens", row.get("keep_tokens"))
    own = trigger.count(separator) + 1
    fewer = {"keep_tokens": max(kept - own, 0)} if isinstance(kept, int) and not isinstance(kept, bool) else {}
    return {"caption_prefix": rest, **fewer}


def _row_lines(spread: _Rows, done: Translation) -> list[KeyReport]:
    lines = []
    levels = {name for names in recorded()["dataset"].values() for name in names}
    for key, (value, flag) in spread.lines.items():
        if key in _ROW_SETTING:
            why = ""
            if key == "class_tokens" and not _used_as_trigger(value, done):
                why = "sd-scripts uses it only for images without a caption file; it is no trigger word there"
            fate = "dropped" if why else "mapped"
            lines.append(KeyReport(key, shown(key, value), fate, "" if why else _ROW_SETTING[key], why))  # type: ignore[arg-type]
        elif key == "metadata_file":
            lines.append(
                KeyReport(key, shown(key, value), "dropped", "", "captions are read from files beside the images")
            )
        elif flag in recipe.PATHS or recipe.fate_of(flag)[0] == "carried" or key in levels:
            lines.append(line(key, value, flag, done, *recipe.fate_of(flag)))
        else:
            close = difflib.get_close_matches(key, sorted(levels), 1, 0.7)
            reason = "sd-scripts' dataset file knows no such key" + (f"; did you mean {close[0]}?" if close else "")
            lines.append(KeyReport(key, shown(key, value), "dropped", "", reason))
    return lines


def _used_as_trigger(value: Any, done: Translation) -> bool:
    preset = done.preset
    words = [preset.captions.trigger, *(folder.trigger for folder in preset.dataset.folders)]
    return any(word and word in str(value) for word in words) or preset.captions.mode == "folder name"
