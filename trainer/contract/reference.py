"""What is said of a setting, as text: `launch.py --help network.rank`."""

from __future__ import annotations

import difflib
import sys
import textwrap
from typing import Any

from . import catalog
from .settings import BY_PATH, ByFamily, FromFolder, Item, SameAs, UsualPrompts


def setting_help(path: str) -> list[str]:
    """The help of one setting, of all settings of a section, or, for an unknown one, KeyError with the closest."""
    if path in BY_PATH:
        return _lines_of(BY_PATH[path])
    in_section = [item for item in BY_PATH.values() if item.section == path]
    if in_section:
        return [f"{item.path}: {item.summary}" for item in in_section]
    named_so = [item.path for item in BY_PATH.values() if path in (item.name, item.setting.kohya)]
    close = named_so or difflib.get_close_matches(
        path, [*BY_PATH, *{item.section for item in BY_PATH.values()}], 3, 0.5
    )
    raise KeyError(f"There is no setting {path!r}." + (f" Did you mean {' or '.join(close)}?" if close else ""))


def print_help(path: str) -> int:
    """Print it; 0, or 2 for an unknown path."""
    try:
        lines = setting_help(path)
    except KeyError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    for line in lines:
        print(textwrap.fill(line, 100, subsequent_indent="  "))
    return 0


def _lines_of(item: Item) -> list[str]:
    lines = [f"{item.path}: {item.setting.label}", item.help]
    if values := allowed(item):
        lines.append(f"Values: {values}")
    lines.append(f"Default: {default_text(item.default)}")
    if item.setting.needs:
        lines.append(f"Has an effect only if {item.setting.needs.path} is set for it ({item.setting.needs.why}).")
    if item.setting.kohya:
        lines.append(f"In sd-scripts: {item.setting.kohya}")
    return lines


def allowed(item: Item) -> str:
    """Choices or bounds, with the unit."""
    table = getattr(catalog, item.setting.choices.upper(), ()) if item.setting.choices else ()
    choices = [str(option) for option in item.options] or [entry.name for entry in table]
    if choices:
        return ", ".join(choices)
    signs = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    bounds = [f"{words} {item.bound(kind)}" for kind, words in signs.items() if item.bound(kind) is not None]
    return " and ".join(bounds) + (f" ({item.setting.unit})" if item.setting.unit and bounds else "")


def default_text(value: Any) -> str:
    """A default in words."""
    if isinstance(value, SameAs):
        return f"the value of {value.path}"
    rules = {
        ByFamily: "follows from the model's family",
        FromFolder: "read from the first image folder's name",
        UsualPrompts: "one prompt with the trigger word and one without",
    }
    if type(value) in rules:
        return rules[type(value)]
    if isinstance(value, bool):
        return str(value).lower()
    return "empty" if value in ("", (), [], {}) or value is None else str(value)
