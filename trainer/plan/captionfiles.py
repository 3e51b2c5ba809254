"""Caption files changed with nothing lost: written whole, every text that was there before kept, each change undoable.

What the files said before lies outside of the user's folder, in one history file a folder of images (`history_file`).
The page's editor and the captioning tool write captions through this file alone.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.contract.machine import machine_file
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import write_whole

_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Change:
    """One deed on a folder's captions. `texts`: file name relative to the folder -> (before, after); None: no file."""

    time: float
    what: str
    texts: Mapping[str, tuple[str | None, str | None]]
    undoes: float = 0.0


def history_file(root: Path, folder: Path) -> Path:
    """Where the changes of a folder's captions are kept, for the checkout at `root`."""
    name = hashlib.sha256(str(Path(folder).resolve()).encode()).hexdigest()[:24]
    return machine_file(root).parent / "captions" / f"{name}.jsonl"


def read(path: Path) -> str | None:
    """What a caption file says, None where there is none. Problems where it is no UTF-8 text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Problems([Problem(str(path), f"not readable: {error}", "save it as UTF-8 text")]) from None


def write(folder: Path, texts: Mapping[Path, str | None], what: str, history: Path) -> Change | None:
    """Let files below `folder` say `texts` (None: be gone); what they said before is kept in `history`, which is
    written first. `what`: the deed in words. Returns what changed, None where nothing did.

    Problems where a file lies outside of the folder or cannot be written; those before it have changed then, and can be
    undone."""
    with _ONE_AT_A_TIME:
        return _write(Path(folder).resolve(), texts, what, history)


def _write(
    folder: Path, texts: Mapping[Path, str | None], what: str, history: Path, undoes: float = 0.0
) -> Change | None:
    changed: dict[str, tuple[str | None, str | None]] = {}
    for path, text in texts.items():
        before, place = read(path), Path(path).resolve()
        if not place.is_relative_to(folder):
            raise Problems([Problem(str(path), f"lies outside of {folder}")])
        if text != before:
            changed[place.relative_to(folder).as_posix()] = (before, text)
    if not changed:
        return None
    change = Change(time.time(), what, changed, undoes)
    _keep(history, folder, change)
    for name, (_, after) in changed.items():
        try:
            if after is None:
                (folder / name).unlink(missing_ok=True)
            else:
                write_whole(folder / name, after)
        except OSError as error:
            why = f"cannot be written: {error}"
            raise Problems(
                [Problem(str(folder / name), why, "check rights and space; Undo takes back the rest")]
            ) from None
    return change


def _keep(history: Path, folder: Path, change: Change) -> None:
    row = {
        "time": change.time,
        "folder": str(folder),
        "what": change.what,
        "texts": change.texts,
        "undoes": change.undoes,
    }
    try:
        history.parent.mkdir(parents=True, exist_ok=True)
        with open(history, "a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    except OSError as error:
        raise Problems(
            [Problem(str(history), f"what captions said cannot be kept there: {error}", "make room")]
        ) from None


def changes(history: Path) -> list[Change]:
    """All changes, oldest first; an unfinished last line is passed over."""
    return list(_changes(history))


def _changes(history: Path) -> Iterator[Change]:
    try:
        lines = history.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            row: dict[str, Any] = json.loads(line)
            texts = {name: (before, after) for name, (before, after) in row["texts"].items()}
            yield Change(float(row["time"]), str(row["what"]), texts, float(row.get("undoes", 0.0)))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue


def undoable(history: Path) -> Change | None:
    """The newest change that was not undone and is no undoing itself."""
    done = changes(history)
    undone = {change.undoes for change in done}
    return next((each for each in reversed(done) if not each.undoes and each.time not in undone), None)


def undo(folder: Path, history: Path) -> Change | None:
    """Take back the newest change; files that say something else by now are left as they are. None: nothing to do."""
    with _ONE_AT_A_TIME:
        last = undoable(history)
        if last is None:
            return None
        place = Path(folder).resolve()
        back = {place / name: before for name, (before, after) in last.texts.items() if read(place / name) == after}
        what = f"undone: {last.what}"
        done = _write(place, back, what, history, undoes=last.time)
        if done is None:  # nothing of it is left: told all the same, so that the change before it comes next
            done = Change(time.time(), what, {}, last.time)
            _keep(history, place, done)
        return done


def original(history: Path, name: str) -> str | None:
    """What a file said before it was first changed here; None where it was not, or was not there."""
    first = next((change for change in changes(history) if name in change.texts), None)
    return first.texts[name][0] if first else None
