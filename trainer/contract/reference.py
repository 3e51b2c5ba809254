"""What is said of a setting, as text: `launch.py --help network.rank`, and the settings reference presets/README.md."""

from __future__ import annotations

import difflib
import sys
import textwrap
from typing import Any

from . import catalog
from .settings import BY_PATH, ITEMS, ROWS, ByFamily, FromFolder, Item, Preset, SameAs, UsualPrompts
from .settings.base import setting_of


def setting_help(path: str) -> list[str]:
    """The help of one setting, of all settings of a section, or, for an unknown one, KeyError with the closest."""
    if path in BY_PATH:
        return _lines_of(BY_PATH[path])
    rows = {item.path: item for item in row_items()}
    if path in rows:
        return _lines_of(rows[path])
    in_section = [item for item in ITEMS if item.section == path]
    if in_section:
        return [f"{item.path}: {item.summary}" for item in in_section]
    named_so = [item.path for item in ITEMS if path in (item.name, *_flags(item))]
    close = named_so or difflib.get_close_matches(path, [*BY_PATH, *{item.section for item in ITEMS}], 3, 0.5)
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


def row_items(table: str = "") -> list[Item]:
    """The settings of one row (`[[dataset.folders]]`) of the setting `table`, or of every table of rows."""
    return [
        Item(f"{path}.{name}", name, path.partition(".")[0], said, field)
        for path, kind in ROWS.items()
        for name, field in kind.model_fields.items()
        if table in ("", path) and (said := setting_of(field))
    ]


def _flags(item: Item) -> list[str]:
    return [flag.strip() for flag in item.setting.kohya.split(",")]


def _lines_of(item: Item) -> list[str]:
    lines = [f"{item.path}: {item.setting.label}", item.help]
    if values := allowed(item):
        lines.append(f"Values: {values}")
    lines.append(f"Default: {default_text(item.default)}")
    if item.setting.needs:
        lines.append(f"No effect where {item.setting.needs.why} ({item.setting.needs.path}).")
    if item.setting.kohya:
        lines.append(f"In sd-scripts: {item.setting.kohya}")
    return lines


def allowed(item: Item) -> str:
    """Choices or bounds, with the unit."""
    table = catalog.TABLES[item.setting.choices] if item.setting.choices else ()
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


_INTRODUCTION = """\
# Presets

A preset is one TOML file that says everything about a training run. Load it in the page (Presets tab, or drop it
there), or train it without the page:

    python launch.py --preset presets/demo.toml
    python launch.py --preset my.toml --set network.rank=8 training.seed=7
    python launch.py --preset my.toml --check

Your own presets are kept in `presets/user/`, which updates never touch. Relative paths in a preset are relative to the
preset's own folder. A setting that a file does not name has its default; a file that the page saves names every one.
Write Windows paths in single quotes: `'C:\\pictures\\cat'`.

Image folders are rows of their own:

    [[dataset.folders]]
    path = "pictures/10_cat"

This page is generated from the settings' own declarations: `python -m trainer.contract.reference`.
"""


def write_reference() -> str:
    """presets/README.md as text: every setting with default, values, help and sd-scripts' name."""
    parts = [_INTRODUCTION]
    for section in Preset.model_fields:
        items = [item for item in ITEMS if item.section == section]
        if not items:
            continue
        parts.append(f"## [{section}]\n")
        for item in items:
            parts.append(_entry(item))
            if item.path in ROWS:
                parts += [_entry(row) for row in row_items(item.path)]
    return "\n".join(parts)


def _entry(item: Item) -> str:
    facts = [f"default: {default_text(item.default)}"]
    if values := allowed(item):
        facts.append(values)
    if item.setting.kohya:
        facts.append(f"sd-scripts: `{item.setting.kohya}`")
    facts.append(item.setting.tier)
    return f"**`{item.path}`** · {item.setting.label}  \n{item.help}  \n*{' · '.join(facts)}*\n"


def main() -> int:
    """Write presets/README.md of this checkout."""
    from pathlib import Path

    from .rundir import write_whole

    write_whole(Path(__file__).resolve().parents[2] / "presets" / "README.md", write_reference())
    return 0


if __name__ == "__main__":
    sys.exit(main())
