"""What can be wrong with the values of a preset: unknown names with the closest known one, wrong types, ranges."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from .problems import Problem
from .settings import BY_PATH, FORMAT, ITEMS, ROWS, Preset, Section


def version_problems(values: Mapping[str, Any]) -> list[Problem]:
    """A preset of a later format than this program writes is refused."""
    version = values.get("format", FORMAT)
    if isinstance(version, int) and version > FORMAT:
        return [Problem("format", f"this preset has format {version}, this program knows {FORMAT}", "run --update")]
    return []


def known_only(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without unknown names, so that types and ranges can be judged all the same."""
    known: dict[str, Any] = {}
    for section, content in values.items():
        if section == "format":
            known[section] = content
        elif section in Preset.model_fields:
            is_table = isinstance(content, Mapping)
            known[section] = (
                {key: value for key, value in content.items() if f"{section}.{key}" in BY_PATH} if is_table else content
            )
    for path, kind in ROWS.items():
        section, _, name = path.partition(".")
        rows = known[section].get(name) if isinstance(known.get(section), dict) else None
        if isinstance(rows, list):
            known[section][name] = [_known_columns(row, kind) for row in rows]
    return known


def _known_columns(row: Any, kind: type[Section]) -> Any:
    return {key: value for key, value in row.items() if key in kind.model_fields} if isinstance(row, Mapping) else row


def unknown_names(values: Mapping[str, Any]) -> list[Problem]:
    """Sections, settings and columns of rows that do not exist."""
    problems = []
    for section, content in values.items():
        if section not in Preset.model_fields:
            what = "section" if isinstance(content, (Mapping, list)) else "setting"
            problems.append(unknown_name(section, what, [*Preset.model_fields, *BY_PATH]))
        elif isinstance(content, Mapping):
            unknown = [key for key in content if f"{section}.{key}" not in BY_PATH]
            problems += [unknown_name(f"{section}.{key}", "setting", BY_PATH) for key in unknown]
    for path, kind in ROWS.items():
        section, _, name = path.partition(".")
        rows = values[section].get(name) if isinstance(values.get(section), Mapping) else None
        columns = [f"{path}.{column}" for column in kind.model_fields]
        for row in rows if isinstance(rows, list) else []:
            keys = [key for key in row if key not in kind.model_fields] if isinstance(row, Mapping) else []
            problems += [unknown_name(f"{path}.{key}", "setting", columns) for key in keys]
    return problems


def unknown_name(path: str, what: str, known: Iterable[str]) -> Problem:
    """An unknown name, with the closest known one: by the whole path, by its last part, or by its Kohya flag."""
    known = list(known)
    last = path.rsplit(".", 1)[-1]
    kohya = [item.path for item in ITEMS if last in [flag.strip() for flag in item.setting.kohya.split(",")]]
    same_end = [name for name in known if name.rsplit(".", 1)[-1] == last]
    ends = {name.rsplit(".", 1)[-1]: name for name in known}
    by_end = [ends[end] for end in difflib.get_close_matches(last, list(ends), 1, 0.75)]
    close = kohya or same_end or difflib.get_close_matches(path, known, 1, 0.75) or by_end
    close = close or difflib.get_close_matches(path, known, 1, 0.5)
    return Problem(path, f"there is no such {what}", f"did you mean {close[0]}?" if close else "remove it")


_WORDS = {
    "int_parsing": "a whole number is wanted",
    "int_type": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "float_parsing": "a number is wanted",
    "float_type": "a number is wanted",
    "bool_parsing": "true or false is wanted",
    "bool_type": "true or false is wanted",
    "string_type": "text in quotes is wanted",
    "list_type": "a list in [ ] is wanted",
    "dict_type": "a table of name = value is wanted",
    "model_type": "a table of name = value is wanted",
    "finite_number": "a finite number is wanted",
    "greater_than": "it is too small",
    "greater_than_equal": "it is too small",
    "less_than": "it is too large",
    "less_than_equal": "it is too large",
}


def from_pydantic(error: ValidationError) -> list[Problem]:
    """Pydantic's faults in our words, one a setting."""
    found: dict[str, Problem] = {}
    for fault in error.errors(include_url=False):
        if fault["type"] == "is_instance_of":
            continue
        path = _setting_path(fault["loc"])
        why = _WORDS.get(fault["type"]) or fault["msg"].removeprefix("Value error, ").replace(
            "Input should be", "must be"
        )
        given = fault["input"]
        shown = f"{given:.12g}" if isinstance(given, float) else repr(given)
        fix, change = _fitting(path, fault), _nearest(path, fault)
        found.setdefault(path, Problem(path, f"{shown} does not fit: {why}", fix, change=change))
    return list(found.values())


def _nearest(path: str, fault: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """The bound that a number missed, or the choice that a text is most like, as a change of the setting."""
    if path not in BY_PATH:
        return ()
    bounds = {"greater_than_equal": "ge", "less_than_equal": "le"}
    if fault["type"] in bounds:
        return ((path, fault["ctx"][bounds[fault["type"]]]),)
    options = {str(option).lower(): option for option in BY_PATH[path].options}
    close = difflib.get_close_matches(str(fault["input"]).lower(), list(options), 1, 0.6)
    return ((path, options[close[0]]),) if close else ()


def _fitting(path: str, fault: Mapping[str, Any]) -> str:
    """What would fit; for a folder row, which is no setting of its own, the one bound that was missed."""
    if path in BY_PATH:
        return _range(path)
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return " and ".join(f"{words[bound]} {value}" for bound, value in fault.get("ctx", {}).items() if bound in words)


def _setting_path(loc: Sequence[Any]) -> str:
    """`("dataset", "folders", 0, "repeats", "int")` -> `dataset.folders.repeats`; union branches are left out."""
    parts: list[str] = []
    for part in loc:
        if isinstance(part, int):
            continue
        setting = ".".join(parts[:2])
        if setting in BY_PATH and not (setting in ROWS and part in ROWS[setting].model_fields):
            break
        parts.append(str(part))
    return ".".join(parts)


def _range(path: str) -> str:
    item = BY_PATH[path]
    if item.options:
        return "one of " + ", ".join(str(option) for option in item.options)
    low, over = item.bound("ge"), item.bound("gt")
    high, under = item.bound("le"), item.bound("lt")
    words = [f"at least {low}" if low is not None else "", f"above {over}" if over is not None else ""]
    words += [f"at most {high}" if high is not None else "", f"below {under}" if under is not None else ""]
    return " and ".join(word for word in words if word)
