"""Settings files of other programs: what became of each key, as lines for a terminal and rows for the page; a folder of
them as one table. No Gradio in here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.contract.importers.base import Imported, KeyReport
from trainer.contract.importers.folder import Row as FolderRow
from trainer.contract.importers.folder import read_folder
from trainer.contract.importers.read import OWN, SUFFIXES
from trainer.contract.preset import dumps
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import slug, write_whole
from trainer.contract.settings import BY_PATH

WORDS = {
    "mapped": "taken over",
    "changed": "taken over with another value",
    "carried": "carried along",
    "dropped": "left out",
    "idle": "without effect",
}
"""What becomes of a key, in words."""

MEANING = {
    "changed": "Taken over with another value",
    "mapped": "Taken over: a setting here says the same",
    "carried": "Carried along: no setting here, kept as it stands so that an export gives it back",
    "dropped": "Left out, for the reason given",
    "idle": "Without effect: off, empty, or as that program has it anyway",
}


@dataclass(frozen=True)
class Row:
    """One file of a folder: what it became, or why it could not be read."""

    file: str
    imported: Imported | None = None
    faults: tuple[Problem, ...] = ()


def folder(path: Path) -> list[Row]:
    """The settings files of a folder, by name. Problems where there is none."""
    rows = read_folder(path).rows
    found = [_read(row, path) for row in rows if row.found is None or row.found.kind != OWN]
    if not any(row.imported for row in found):
        why = f"no settings file of another program is in {path}"
        raise Problems([Problem("import", why, f"it looks for {', '.join(SUFFIXES)}")])
    return found


def _read(row: FolderRow, folder: Path) -> Row:
    name = row.path.relative_to(folder).as_posix()
    faults = (Problem("import", row.problem),) if row.problem else empty(row.found)
    return Row(name, None if faults else row.found, faults)


def empty(imported: Imported | None) -> tuple[Problem, ...]:
    """What is wrong with a file in which nothing was found."""
    if imported is not None and (imported.taken or any(key.fate != "dropped" for key in imported.keys)):
        return ()
    return (Problem("import", "it says nothing of how something was trained", "choose another file"),)


def fate_of(key: KeyReport) -> str:
    """What is told of a key: "changed", "mapped", "carried" or "dropped", or "idle" for one that says nothing."""
    return "idle" if key.idle else "changed" if key.changed else key.fate


def count(imported: Imported, fate: str) -> int:
    """How many keys met this fate."""
    return sum(fate_of(key) == fate for key in imported.keys)


def counts_in_words(imported: Imported) -> str:
    """How many keys met which fate, in a sentence."""
    return f"{len(imported.keys)} keys: {', '.join(counts(imported))}"


def counts(imported: Imported) -> list[str]:
    """How many keys met each fate, those that any met."""
    return [f"{found} {WORDS[fate]}" for fate in WORDS if (found := count(imported, fate))]


def ordered(keys: Sequence[KeyReport]) -> list[KeyReport]:
    """What is to be looked at first: changed, dropped and carried keys; then those that say the same or nothing."""
    rank = ("changed", "dropped", "carried", "mapped", "idle")
    return sorted(keys, key=lambda key: (rank.index(fate_of(key)), key.name))


def became(key: KeyReport) -> str:
    """What became of a key, in a few words."""
    return WORDS[fate_of(key)]


def where(key: KeyReport) -> tuple[list[str], bool]:
    """The settings that a key went to, those that are called like it alone where there are such; and whether more had a
    part in it: a few settings are read from many keys together."""
    paths = [path.strip() for path in key.setting.split(",") if path.strip()]
    flag = key.name.removeprefix("--")
    own = [path for path in paths if path in BY_PATH and flag in re.split(r"[\s,]+", BY_PATH[path].setting.kohya)]
    return (own, False) if own else (paths[:2], len(paths) > 2)


def lines(name: str, imported: Imported) -> list[str]:
    """One file's report for a terminal."""
    told = [f"{name}: {imported.kind or 'settings'}. {counts_in_words(imported)}"]
    told += [f"  {note}" for note in imported.notes]
    for fate, heading in MEANING.items():
        keys = sorted((key for key in imported.keys if fate_of(key) == fate), key=lambda key: key.name)
        if keys and fate == "idle":
            told += ["", f"{heading} ({len(keys)}): {', '.join(key.name for key in keys)}"]
        elif keys:
            told += ["", f"{heading} ({len(keys)}):", *(f"  {_line(key)}" for key in keys)]
    return told


def _line(key: KeyReport) -> str:
    value = key.value if key.value else '""'
    paths, more = where(key)
    place = f" -> {', '.join(paths)}{', ...' if more else ''}" if paths else ""
    return f"{key.name} = {value}{place}" + (f": {key.reason}" if key.reason else "")


def table(rows: Sequence[Row]) -> list[str]:
    """A folder's report for a terminal: a line a file."""
    width = max(len(row.file) for row in rows)
    heads = f"{'file':<{width}}  {'taken over':>10}  {'changed':>7}  {'carried':>7}  {'left out':>8}"
    return [heads, *(_file_line(row, width) for row in rows)]


def _file_line(row: Row, width: int) -> str:
    if row.imported is None:
        return f"{row.file:<{width}}  not read: {row.faults[0].why if row.faults else ''}"
    told = ("mapped", "changed", "carried", "dropped")
    mapped, changed, carried, dropped = (count(row.imported, fate) for fate in told)
    return f"{row.file:<{width}}  {mapped:>10}  {changed:>7}  {carried:>7}  {dropped:>8}  {row.imported.kind}"


def targets(rows: Sequence[Row], place: Path) -> dict[str, Path]:
    """Where each readable file of a folder becomes a preset: its name cleaned, no two the same."""
    taken: set[str] = {"machine"}
    found: dict[str, Path] = {}
    for row in rows:
        if row.imported is not None:
            stem = slug(row.file.rpartition(".")[0].replace("/", "-"))
            name, number = stem, 2
            while name.lower() in taken:
                name, number = f"{stem}-{number}", number + 1
            taken.add(name.lower())
            found[row.file] = place / f"{name}.toml"
    return found


def write(imported: Imported, path: Path) -> None:
    """Write an imported preset; what follows the model's family is left to be resolved with it. Problems where it
    cannot be written."""
    try:
        write_whole(path, dumps(imported.preset))
    except OSError as error:
        raise Problems(
            [Problem("import", f"{path} cannot be written: {error}", "choose another place: --out")]
        ) from None
