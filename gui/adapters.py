"""Finished adapters into other programs' folders: whole or not at all, nothing replaced unasked. No Gradio in here."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import threading
from pathlib import Path

from trainer.contract.families.base import read_header
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import replace_file

SUFFIX = ".safetensors"
_COPYING = threading.Lock()
"""One copy at a time, so that two clicks cannot both find a name free."""


class Taken(Exception):
    """Another file of that name is there. `target`: which."""

    def __init__(self, target: Path) -> None:
        super().__init__(f"there is another {target.name} already")
        self.target = target


def copy_to(file: Path, folder: Path, name: str = "", replace: bool = False) -> Path:
    """Copy an adapter into a folder of another program, which is made if its parent is there; the new file's path.

    `name`: another name, without a suffix. The same file there already is left alone. Taken where a different one has
    the name and `replace` is False; Problems where the file is no safetensors file, or the disk is full or closed."""
    target = Path(folder) / (file_name(name or file.stem) + SUFFIX)
    try:
        read_header(file)
    except (OSError, ValueError) as error:
        raise _problem(f"{file.name} cannot be copied: {error}", "choose another file") from None
    if not target.parent.is_dir() and not target.parent.parent.is_dir():
        raise _problem(f"there is no folder {target.parent}", "correct the model folder in the Computer tab")
    with _COPYING:
        return _copy(file, target, replace)


def _copy(file: Path, target: Path, replace: bool) -> Path:
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            if filecmp.cmp(file, target, shallow=False):
                return target
            if not replace:
                raise Taken(target)
        if shutil.disk_usage(target.parent).free < file.stat().st_size:
            raise _problem(f"the disk of {target.parent} is full", "free some space there")
        shutil.copyfile(file, beside)
        replace_file(beside, target)
    except OSError as error:
        raise _problem(f"{target.parent} cannot be written: {error.strerror or error}", "check its rights") from None
    finally:
        beside.unlink(missing_ok=True)
    return target


def free_name(file: Path, folder: Path) -> str:
    """A name for the copy that nothing there has: the file's own, else with -2, -3 ..."""
    stem = name = file_name(file.stem)
    number = 2
    while (Path(folder) / (name + SUFFIX)).exists():
        name, number = f"{stem}-{number}", number + 1
    return name


def file_name(stem: str) -> str:
    """A name that every file system takes, Windows' included, and that keeps the step or epoch at its end."""
    cleaned = re.sub(r'[\x00-\x1f<>:"/\\|?*]+', "-", stem).strip(". ")
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", cleaned)
    short = cleaned if len(cleaned) <= 120 else f"{cleaned[:60]}-{cleaned[-59:]}"
    return f"_{short}" if reserved else (short or "adapter")


def _problem(why: str, fix: str) -> Problems:
    return Problems([Problem("copy", why, fix, kind="data")])
