"""Which folders of images the Dataset tab offers: the form's, recent ones, and those that the page may browse."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gui.context import Context
from gui.form.session import user_folder
from gui.roots import below, may_show
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import write_whole
from trainer.contract.settings import Preset
from trainer.plan.scan import EXTENSIONS, check_folder

MOST_RECENT = 8
_MOST_BROWSED = 200


def asked_for(text: str, context: Context) -> Path:
    """The folder that somebody typed or chose. Problems where there is none, or this page may not look into it."""
    text = text.strip().strip('"')
    path = (context.root / Path(text).expanduser()).resolve() if text and "\0" not in text else Path()
    if text and not may_show(path, context):
        why = "the page can be opened from other computers, so it looks only into folders that the machine file names"
        raise Problems([Problem(text, why, "add the folder in the Computer tab, on this computer")])
    wrong = check_folder(str(path) if text else "")
    if wrong:
        raise Problems(
            [Problem(text or "Folder", wrong.why, wrong.fix) if text else Problem("Folder", "none is given")]
        )
    return path


def offered(preset: Preset, context: Context) -> list[dict[str, Any]]:
    """Groups of folders to choose from, each folder once. `preset`: the form's, with absolute paths."""
    told: set[Path] = set()
    groups = (
        ("In the form", [Path(row.path) for row in preset.dataset.folders if row.path.strip()]),
        ("Opened lately", recent(context)),
        ("On this computer", [path for path in below(context) if _has_pictures(path)][:_MOST_BROWSED]),
    )
    return [{"title": title, "folders": [str(path) for path in _new(paths, told, context)]} for title, paths in groups]


def _new(paths: Iterable[Path], told: set[Path], context: Context) -> list[Path]:
    fresh = []
    for path in paths:
        if path not in told and may_show(path, context) and path.is_dir():
            told.add(path)
            fresh.append(path)
    return fresh


def _has_pictures(path: Path) -> bool:
    with contextlib.suppress(OSError):
        for entry in path.iterdir():
            if entry.suffix.lower() in EXTENSIONS or (entry.name[:1].isdigit() and "_" in entry.name):
                return True
    return False


def recent(context: Context) -> list[Path]:
    """Folders that were opened last, the newest first."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        kept = json.loads(_file(context).read_text(encoding="utf-8"))
        return [Path(path) for path in kept if isinstance(path, str)][:MOST_RECENT]
    return []


def remember(path: Path, context: Context) -> None:
    """Put a folder first among the recent ones."""
    rest = [str(each) for each in recent(context) if each != path]
    with contextlib.suppress(OSError):
        write_whole(_file(context), json.dumps([str(path), *rest][:MOST_RECENT], ensure_ascii=False))


def _file(context: Context) -> Path:
    return user_folder(context) / "folders.json"
