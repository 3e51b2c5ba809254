"""Settings as a form shows them and back: what stands in a component <-> the setting's value. No Gradio in here.

A blank field follows the default. A field that still shows what was put there keeps its exact value, so that loading a
preset and saving it again changes nothing, whatever rounding or formatting the form uses.
"""

from __future__ import annotations

import re
import tomllib
import typing
from collections.abc import Mapping
from typing import Any, Literal

from trainer.contract import catalog
from trainer.contract.preset import value_at, with_values
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import BY_PATH, ITEMS, Folder, Item, LayerRule, Preset, Rule

Kind = Literal["switch", "choice", "whole", "decimal", "text", "lines", "numbers", "table", "folders", "rules"]
Shown = Any
"""What a component holds: text, bool, a number, None, or a list of rows."""

_KINDS: dict[Any, Kind] = {bool: "switch", int: "whole", float: "decimal", str: "text"}


def kind(item: Item) -> Kind:
    """How the setting is shown: by its type, and by what its declaration says of it."""
    if item.row is not None:
        return "folders" if item.row is Folder else "rules"
    follows_rule = isinstance(item.default, Rule)
    if item.options or item.setting.choices or (item.type is bool and follows_rule):
        return "choice"
    if item.type in _KINDS:
        return _KINDS[item.type]
    if typing.get_origin(item.type) is dict:
        return "table"
    return "lines" if typing.get_args(item.type) == (str,) else "numbers"


def choices(item: Item) -> list[str]:
    """The texts that a "choice" offers, without the blank that follows a rule."""
    if item.options:
        return [str(option) for option in item.options]
    if item.type is bool:
        return ["on", "off"]
    first = ["auto"] if item.default == "auto" else []
    return first + list(catalog.names(item.setting.choices))


def number_text(value: float) -> str:
    """A decimal as people write it: 0.0001, 5e-5, 1. Exact: the text means the same number."""
    text = next(text for text in (f"{value:.12g}", repr(value)) if float(text) == value)
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def show(item: Item, value: Any) -> Shown:
    """What the component of `item` holds for `value`; a rule leaves it blank."""
    how = kind(item)
    if isinstance(value, Rule):
        return {"whole": None, "folders": []}.get(how, "")
    if how in ("folders", "rules"):
        return [_row(folder) if isinstance(folder, Folder) else _rule(folder) for folder in value]
    if how == "choice":
        return ("on" if value else "off") if isinstance(value, bool) else str(value)
    if how == "decimal":
        return number_text(value)
    if how == "lines":
        return "\n".join(value) if value or not isinstance(item.default, Rule) else NO_LINES
    if how == "numbers":
        return ", ".join(number_text(number) for number in value)
    if how == "table":
        return "\n".join(f"{name} = {_toml(part)}" for name, part in value.items())
    return value


NO_LINES = "# none"
"""How an empty list shows where a blank field follows a rule."""


def _row(folder: Folder) -> dict[str, Any]:
    return {
        "path": folder.path,
        "repeats": "" if isinstance(folder.repeats, Rule) else str(folder.repeats),
        "trigger": folder.trigger,
        "weight": "" if folder.weight == 1 else number_text(folder.weight),
        "regularisation": folder.regularisation,
        "mask": folder.mask,
    }


def _rule(rule: LayerRule) -> dict[str, Any]:
    numbers = {name: getattr(rule, name) for name in ("rank", "alpha", "rate")}
    return {"match": rule.match, **{name: "" if n is None else number_text(n) for name, n in numbers.items()}}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    if isinstance(value, str):
        plain = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04x}", plain) + '"'
    return repr(value)


def read(item: Item, shown: Shown, before: Any) -> Any:
    """The value that a component's content means; `before`: the value it was given last. Problems if it is no value."""
    if shown == show(item, before):
        return before
    return _READERS[kind(item)](item, shown)


def _blank(item: Item) -> Any:
    return item.default


def _read_switch(item: Item, shown: Shown) -> Any:
    return bool(shown)


def _read_choice(item: Item, shown: Shown) -> Any:
    text = "" if shown is None else str(shown).strip()
    if not text:
        return _blank(item)
    if item.type is bool:
        return {"on": True, "off": False}.get(text, text)
    return next((option for option in item.options if str(option) == text), text)


def _read_number(item: Item, shown: Shown) -> Any:
    if shown is None or str(shown).strip() == "":
        return _blank(item)
    if isinstance(shown, (int, float)):
        return shown
    text = shown.strip()
    if re.fullmatch(r"[+-]?\d+,\d+", text):
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        raise Problems([Problem(item.path, f"{shown!r} is not a number", "write 0.0001 or 1e-4")]) from None


def _read_text(item: Item, shown: Shown) -> Any:
    text = "" if shown is None else str(shown)
    return _blank(item) if not text.strip() and isinstance(item.default, Rule) else text


def _read_lines(item: Item, shown: Shown) -> Any:
    text = str(shown or "")
    if not text.strip():
        return _blank(item)
    lines = [line.strip() for line in text.split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


def _read_numbers(item: Item, shown: Shown) -> Any:
    return [_number(item.path, text) for text in re.split(r"[\s,;]+", str(shown or "")) if text]


def _number(path: str, text: str) -> int | float:
    try:
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    except ValueError:
        raise Problems([Problem(path, f"{text!r} is not a number", "write numbers with commas between them")]) from None


def _read_table(item: Item, shown: Shown) -> Any:
    values: dict[str, Any] = {}
    for line in str(shown or "").split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, text = line.partition("=")
        if not equals or not name.strip():
            raise Problems(
                [Problem(item.path, f"{line.strip()!r} is not of the form name = value", "write eps = 1e-8")]
            )
        values[name.strip()] = _argument(text.strip())
    return values


def _argument(text: str) -> Any:
    """A value as TOML, or as text where it is none (Kohya's betas=0.9,0.99 becomes a list)."""
    listed = f"[{text}]" if re.fullmatch(r"[\d.eE+-]+(\s*,\s*[\d.eE+-]+)+", text) else text
    words = {"True": "true", "False": "false"}
    try:
        return tomllib.loads(f"value = {words.get(listed, listed)}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _read_folders(item: Item, shown: Shown) -> Any:
    rows = []
    for given in shown or []:
        row: dict[str, Any] = {
            "path": _cell(given, "path"),
            "trigger": _cell(given, "trigger"),
        }
        row |= {name: _number_or_text(text) for name in ("repeats", "weight") if (text := _cell(given, name))}
        row |= {"regularisation": True} if given.get("regularisation") is True else {}
        row |= {"mask": mask} if (mask := _cell(given, "mask")) else {}
        if any(row.values()):
            rows.append(row)
    return rows


def _read_rules(item: Item, shown: Shown) -> Any:
    rows = []
    for given in shown or []:
        row: dict[str, Any] = {"match": match} if (match := _cell(given, "match")) else {}
        row |= {name: _number_or_text(text) for name in ("rank", "alpha", "rate") if (text := _cell(given, name))}
        if row:
            rows.append(row)
    return rows


def _cell(given: Mapping[str, Any], name: str) -> str:
    return str(given.get(name) or "").strip()


def _number_or_text(text: str) -> int | float | str:
    """A cell's number; what is none stays as it is and is refused with its name."""
    try:
        return int(text) if text.isdecimal() else float(text.replace(",", "."))
    except ValueError:
        return text


_READERS = {
    "switch": _read_switch,
    "choice": _read_choice,
    "whole": _read_number,
    "decimal": _read_number,
    "text": _read_text,
    "lines": _read_lines,
    "numbers": _read_numbers,
    "table": _read_table,
    "folders": _read_folders,
    "rules": _read_rules,
}


def fill(preset: Preset) -> dict[str, Shown]:
    """What every component holds for a preset, by setting path."""
    return {item.path: show(item, value_at(preset, item.path)) for item in ITEMS}


def collect(shown: Mapping[str, Shown], before: Preset) -> Preset:
    """The preset that a whole form says; `before`: the one it was filled from. Problems lists every fault."""
    changes: dict[str, Any] = {}
    problems: list[Problem] = []
    for path, content in shown.items():
        old = value_at(before, path)
        try:
            value = read(BY_PATH[path], content, old)
        except Problems as error:
            problems += error.problems
            continue
        if value is not old:
            changes[path] = value
    try:
        preset = with_values(before, changes)
    except Problems as error:
        raise Problems([*problems, *error.problems]) from None
    if problems:
        raise Problems(problems)
    return preset


__all__ = ["choices", "collect", "fill", "kind", "number_text", "read", "show"]
