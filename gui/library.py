"""The presets on disk: those that ship and the user's own. Nothing that the page sends is ever joined to a path:
presets are taken from the list of what is there, new files get a cleaned name in one folder. No Gradio in here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gui.context import Context
from gui.session import user_folder
from gui.values import number_text
from trainer.contract.machine import machine_file
from trainer.contract.preset import describe_rule, dumps, load, loads, value_at
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import slug, write_whole
from trainer.contract.settings import ITEMS, Preset, Rule

LARGEST_BYTES = 1_000_000
"""A preset file beyond this is none."""


@dataclass(frozen=True)
class Entry:
    """A preset file. `key` names it in the page ("shipped/demo"); `faults` is why it cannot be loaded."""

    key: str
    path: Path
    title: str
    use: str = ""
    tested: str = ""
    faults: tuple[Problem, ...] = ()


def entries(context: Context) -> list[Entry]:
    """Shipped presets, then the user's, each by name."""
    places = (("shipped", context.root / "presets"), ("own", user_folder(context)))
    files = [(place, path) for place, folder in places for path in sorted(folder.glob("*.toml"))]
    machine = machine_file(context.root).resolve()
    return [_entry(f"{place}/{path.stem}", path) for place, path in files if path.resolve() != machine]


def _entry(key: str, path: Path) -> Entry:
    try:
        about = load(path).about
    except Problems as error:
        return Entry(key, path, path.stem, faults=error.problems)
    except OSError as error:
        return Entry(key, path, path.stem, faults=(Problem("preset", str(error)),))
    return Entry(key, path, about.title or path.stem, about.use, about.tested)


def find(context: Context, key: str) -> Entry | None:
    """The preset that the page calls `key`."""
    return next((entry for entry in entries(context) if entry.key == key), None)


def own_file(context: Context, name: str) -> Path:
    """Where a preset called `name` is saved. Problems for a name that is empty or the machine file's."""
    path = user_folder(context) / f"{slug(name)}.toml"
    if not name.strip():
        raise Problems([Problem("about.title", "the preset has no name yet", "write one beside Save")])
    if path.resolve() == machine_file(context.root).resolve() or path.stem.lower() == "machine":
        raise Problems([Problem("about.title", f"{path.name} is this computer's own file", "choose another name")])
    return path


def save(path: Path, full: Preset) -> None:
    """Write a resolved preset; comments in a file that is replaced are kept. Problems where it cannot be written."""
    try:
        previous = path.read_text(encoding="utf-8") if path.is_file() else ""
        write_whole(path, dumps(full, previous))
    except (OSError, UnicodeDecodeError) as error:
        raise Problems([Problem("preset", f"{path} cannot be written: {error}", "check rights and space")]) from None


def read_dropped(path: Path) -> Preset:
    """A file that was dropped on the page. Its relative paths stay as they are. Problems for whatever is wrong."""
    if path.stat().st_size > LARGEST_BYTES:
        raise Problems([Problem("preset", f"{path.name} is too large for a preset", "drop a .toml preset")])
    try:
        return loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise Problems([Problem("preset", f"{path.name} is not UTF-8 text", "save it again as UTF-8")]) from None


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
