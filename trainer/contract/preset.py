"""Presets in and out: TOML text <-> `Preset`, `--set`, defaults resolved, paths made absolute."""

from __future__ import annotations

import copy
import os
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import tomlkit
from pydantic import ValidationError
from tomlkit.items import AoT, Array, Table

from .adapter_lines import make_line, parse_line
from .families import Family
from .preset_faults import from_pydantic, known_only, unknown_name, unknown_names, version_problems
from .problems import Problem, Problems
from .settings import BY_PATH, ITEMS, ByFamily, Folder, FromFolder, Item, Preset, Rule, SameAs, UsualPrompts
from .settings.base import Section, setting_of

MAYBE_HUB = ("model.path", "model.vae", "validation.likeness_model")
"""Settings that name a file, a folder or a model of the hub."""

TRIGGER = "{trigger}"
"""What stands for the trigger word in a sample prompt."""

FOLDER_PATHS = tuple(
    name for name, field in Folder.model_fields.items() if (found := setting_of(field)) and found.widget == "path"
)
"""What is a path in a row of image folders."""

Values = dict[str, dict[str, Any]]
"""Section -> key -> plain value."""


def load(path: Path) -> Preset:
    """Read a preset file; relative paths in it are made absolute against its own folder. Problems for all faults."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Problems([Problem("preset", f"there is no file {path}", "check the name")]) from None
    except UnicodeDecodeError:
        raise Problems([Problem("preset", f"{path} is not UTF-8 text", "save it again as UTF-8")]) from None
    except OSError as error:
        if os.path.isdir(path):  # Windows calls that a lack of permission
            raise Problems([Problem("preset", f"{path} is a folder", "name the .toml file in it")]) from None
        why = error.strerror or str(error)
        raise Problems([Problem("preset", f"{path} cannot be read: {why}", "check its name and its rights")]) from None
    base = Path(path).resolve().parent
    try:
        return absolute_paths(loads(text), base)
    except Problems as faults:
        raise Problems(faults.problems, absolute_paths(faults.rest, base) if faults.rest else None) from None


def loads(text: str) -> Preset:
    """The preset that a TOML text says; what it does not name has its default. Problems lists every fault."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Problems([Problem("preset", f"not readable as TOML: {error}", _toml_hint(str(error), text))]) from None
    return build(values)


def _toml_hint(error: str, text: str) -> str:
    if "\\" in text and ("escape" in error.lower() or "hex" in error.lower() or "unicode" in error.lower()):
        return "a backslash in double quotes starts an escape: write paths in single quotes, 'C:\\pictures', or with /"
    return "check quotes and brackets at that place"


def build(values: Mapping[str, Any]) -> Preset:
    """A preset from nested plain values. Unknown names, wrong types and ranges are all collected, then raised."""
    values = dict(values)
    problems, known = version_problems(values) or unknown_names(values), known_only(values)
    try:
        preset = Preset.model_validate(known)
    except ValidationError as error:
        problems += from_pydantic(error)
        preset = _without(known, error)
    if problems:
        raise Problems(problems, preset)
    return preset


def _without(known: Mapping[str, Any], error: ValidationError) -> Preset:
    """The preset with its faulty values left at their defaults."""
    values: dict[Any, Any] = copy.deepcopy(dict(known))
    for fault in error.errors(include_url=False):
        section, name, *place = [*fault["loc"], "", ""]
        rows = values.get(section, {}).get(name) if isinstance(values.get(section), dict) else None
        if isinstance(rows, list) and isinstance(place[0], int) and isinstance(rows[place[0]], dict):
            rows[place[0]].pop(place[1], None)
        elif isinstance(values.get(section), dict):
            values[section].pop(name, None)
        else:
            values.pop(section, None)
    return Preset.model_validate(values)


def value_at(preset: Preset, path: str) -> Any:
    """The value (or the `Rule`) of the setting at `path`."""
    section, _, name = path.partition(".")
    return getattr(getattr(preset, section), name)


def why_off(preset: Preset, item: Item) -> str:
    """Why the setting has no effect beside the preset's others; "" where it has one. What depends on a setting that has
    none has none either."""
    needs = item.setting.needs
    if needs is None or (needs.or_set and value_at(preset, needs.or_set)):
        return ""
    if not needs.met_by(value_at(preset, needs.path)):
        return needs.why
    return why_off(preset, BY_PATH[needs.path])


def to_values(preset: Preset) -> Values:
    """Nested plain values; settings that still follow a rule are left out."""
    values: Values = {}
    for item in ITEMS:
        value = value_at(preset, item.path)
        if not isinstance(value, Rule):
            values.setdefault(item.section, {})[item.name] = _plain(value)
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Section):
        return {name: part for name, part in value if part is not None and not isinstance(part, Rule)}
    return value


def with_values(preset: Preset, changes: Mapping[str, Any]) -> Preset:
    """A new preset with the settings at some paths changed; a `Rule` as value sets a setting back to following it.
    Problems lists every fault of the changes."""
    values = to_values(preset)
    problems = [unknown_name(path, "setting", BY_PATH) for path in changes if path not in BY_PATH]
    for path, value in changes.items():
        section, _, name = path.partition(".")
        if isinstance(value, Rule):
            values.get(section, {}).pop(name, None)
        elif path in BY_PATH:
            values.setdefault(section, {})[name] = value
    try:
        changed = build({"format": preset.format, **values})
    except Problems as more:
        raise Problems([*problems, *more.problems], more.rest) from None
    if problems:
        raise Problems(problems, changed)
    return changed


def apply_set(preset: Preset, assignments: Iterable[str]) -> Preset:
    """`--set section.key=value`: the value is read as TOML where it is TOML, else as text."""
    changes: dict[str, Any] = {}
    problems = []
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        path = path.strip()
        if not equals:
            problems.append(Problem("--set", f"{assignment!r} has no =", "write --set section.key=value"))
            continue
        changes[path] = _toml_value(path, text)
    if problems:
        raise Problems(problems)
    return with_values(preset, changes)


def _toml_value(path: str, text: str) -> Any:
    item = BY_PATH.get(path)
    if item is not None and item.type is str:
        return text
    if path == "dataset.folders" and not text.lstrip().startswith("["):
        return [{"path": text}]
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def resolve(preset: Preset, family: Family) -> Preset:
    """Every rule replaced by its value: the one place where defaults are computed."""
    changes: dict[str, Any] = {}
    for item in ITEMS:
        if isinstance(value_at(preset, item.path), ByFamily):
            changes[item.path] = family.defaults[item.path]
    folders = [_resolve_folder(folder) for folder in preset.dataset.folders]
    changes["dataset.folders"] = [_plain(folder) for folder in folders]
    name, _ = folder_name(folders[0].path) if folders else ("lora", 1)
    if isinstance(preset.saving.name, FromFolder) or not preset.saving.name.strip():
        changes["saving.name"] = name
    first = with_values(preset, changes)
    same = {i.path: _followed(first, i.path) for i in ITEMS if isinstance(value_at(first, i.path), SameAs)}
    second = with_values(first, same)
    prompts, trigger = second.sampling.prompts, second.captions.trigger
    if isinstance(prompts, UsualPrompts):
        return with_values(second, {"sampling.prompts": usual_prompts(trigger)})
    if any(TRIGGER in line for line in prompts):
        return with_values(second, {"sampling.prompts": _with_trigger(prompts, trigger)})
    return second


def _with_trigger(lines: Iterable[str], trigger: str) -> list[str]:
    """Prompts with the trigger word in its place, each once; without one its comma goes too."""
    if trigger:
        return list(dict.fromkeys(line.replace(TRIGGER, trigger) for line in lines))
    return list(dict.fromkeys(re.sub(r"^\{trigger\}[,\s]*|,?\s*\{trigger\}", "", line) for line in lines))


def usual_prompts(trigger: str) -> list[str]:
    """One prompt with the trigger word and one without, to see what bleeds."""
    return [f"{trigger}, high quality", "high quality"] if trigger else ["high quality"]


def _followed(preset: Preset, path: str) -> Any:
    value = value_at(preset, path)
    return _followed(preset, value.path) if isinstance(value, SameAs) else value


def folder_name(path: str) -> tuple[str, int]:
    """Kohya's folder convention: `.../10_my cat` -> ("my cat", 10); without a leading number ("name", 1)."""
    name = Path(path).name
    number, _, rest = name.partition("_")
    if number.isdecimal() and int(number) >= 1 and rest:
        return rest, min(int(number), 10000)
    return name or "lora", 1


def _resolve_folder(folder: Folder) -> Folder:
    if isinstance(folder.repeats, FromFolder):
        return folder.model_copy(update={"repeats": folder_name(folder.path)[1]})
    return folder


def with_paths(preset: Preset, other: Callable[[str, str], str]) -> Preset:
    """Every path of a preset replaced by what `other` makes of (setting's path, text); those in the rows of image
    folders are of "dataset.folders". Empty ones stay so."""
    changes: dict[str, Any] = {}
    for item in ITEMS:
        value = value_at(preset, item.path)
        if item.setting.widget == "path" and isinstance(value, str) and value:
            changes[item.path] = other(item.path, value)
    rows = [_plain(row) for row in preset.dataset.folders]
    for row in rows:
        row |= {name: other("dataset.folders", row[name]) for name in FOLDER_PATHS if row.get(name)}
    changes["model.adapters"] = [_line_with(line, other) for line in preset.model.adapters]
    return with_values(preset, {**changes, "dataset.folders": rows})


def _line_with(line: str, other: Callable[[str, str], str]) -> str:
    """A line of `model.adapters` with another path; one that is not understood stays as it is."""
    try:
        path, strength = parse_line(line)
    except ValueError:
        return line
    return make_line(other("model.adapters", path), strength)


def absolute_paths(preset: Preset, base: Path) -> Preset:
    """Relative paths made absolute against `base`; a hub id stays as it is."""
    return with_paths(preset, lambda path, text: _absolute(text, base, maybe_hub=path in MAYBE_HUB))


def _absolute(text: str, base: Path, maybe_hub: bool = False) -> str:
    path = Path(os.path.expanduser(text))
    if path.is_absolute():
        return str(path)
    if PureWindowsPath(text).is_absolute():
        return text  # of a Windows computer, on another kind: it lies in no folder of this one
    joined = (base / path).resolve()
    is_file_name = path.suffix.lower() in (".safetensors", ".ckpt", ".pt") or text.startswith(".")
    if maybe_hub and not os.path.exists(joined) and not is_file_name and len(path.parts) == 2:
        return text
    return str(joined)


def dumps(preset: Preset, previous: str = "") -> str:
    """TOML text with each value under its help as a comment. `previous`: the file's text so far, whose own comments and
    order are kept."""
    document = _previous_document(previous)
    if document is not None:
        return _rewritten(document, preset)
    document = tomlkit.document()
    document.add(tomlkit.comment("A Loratory preset. Train it: python launch.py --preset <this file>"))
    document.add("format", tomlkit.item(preset.format))
    values = to_values(preset)
    for section in Preset.model_fields:
        if section != "format":
            document.add(tomlkit.nl())
            document.add(section, _table(section, values.get(section, {})))
    return tomlkit.dumps(document)


def _previous_document(previous: str) -> tomlkit.TOMLDocument | None:
    try:
        return tomlkit.parse(previous) if previous.strip() else None
    except tomlkit.exceptions.ParseError:
        return None


def _table(section: str, values: Mapping[str, Any]) -> Table:
    table = tomlkit.table()
    for item in (item for item in ITEMS if item.section == section):
        for line in help_lines(item):
            table.add(tomlkit.comment(line))
        if item.name in values:
            table.add(item.name, _toml_item(values[item.name]))
        else:
            table.add(tomlkit.comment(f"{item.name} = ({describe_rule(item.default)})"))
        table.add(tomlkit.nl())
    return table


def help_lines(item: Item) -> list[str]:
    """The comment above a value in a file: label, choices, help, wrapped."""
    options = f" [{' | '.join(str(option) for option in item.options)}]" if item.options else ""
    return textwrap.wrap(f"{item.setting.label}{options}: {item.help}", 110)


def describe_rule(rule: Any) -> str:
    """A rule in words, as the form and the file say it."""
    if isinstance(rule, SameAs):
        return f"same as {rule.path}"
    if isinstance(rule, ByFamily):
        return "what suits the model's family"
    if isinstance(rule, FromFolder):
        return "from the folder's name"
    return "one prompt with the trigger word, one without" if isinstance(rule, UsualPrompts) else str(rule)


def _toml_item(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        rows = AoT([])
        for row in value:
            table = tomlkit.table()
            table.update(row)
            rows.append(table)
        return rows
    if isinstance(value, list):
        array: Array = tomlkit.array()
        array.extend(value)
        return array.multiline(len(value) > 1)
    if isinstance(value, dict):
        inline = tomlkit.inline_table()
        inline.update(value)
        return inline
    return tomlkit.item(value)


def _rewritten(document: tomlkit.TOMLDocument, preset: Preset) -> str:
    document["format"] = preset.format
    for section, values in to_values(preset).items():
        if section not in document:
            document.add(section, tomlkit.table())
        table: Any = document[section]
        for name in [name for name in table if f"{section}.{name}" not in BY_PATH or name not in values]:
            del table[name]
        for name, value in values.items():
            if name not in table or table[name] != value:
                table[name] = _toml_item(value)
    return tomlkit.dumps(document)
