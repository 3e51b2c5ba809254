"""Runs that were deleted: their folders lie in `.trash` below the runs folder until somebody empties it. No Gradio."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from gui.processes import alive
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import RunDir

FOLDER = ".trash"


def throw_away(run: RunDir) -> str:
    """Move the run's folder to the trash; returns its name there. Problems while a process of it is alive, or where
    the folder cannot be moved."""
    if alive(run):
        raise Problems([Problem("run", f"{run.id} is at work", "stop it first")])
    bin = run.path.parent / FOLDER
    name, number = run.id, 1
    try:
        bin.mkdir(exist_ok=True)
        while (bin / name).exists():
            number += 1
            name = f"{run.id}-{number}"
        os.rename(run.path, bin / name)
        os.utime(bin / name)  # the last one thrown away is the first to be put back
    except OSError as error:
        fix = "close what has its files open, then try again"
        raise Problems([Problem("run", f"{run.id} cannot be moved to the trash: {error}", fix)]) from None
    return name


def thrown(runs: Path) -> list[Path]:
    """Folders in the trash, the last thrown away first."""
    try:
        found = [path for path in (runs / FOLDER).iterdir() if path.is_dir()]
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []


def put_back(runs: Path, name: str) -> RunDir:
    """Move a folder out of the trash; Problems where it is not there, or a run of its name is there again."""
    path = next((path for path in thrown(runs) if path.name == name), None)
    if path is None:
        raise Problems([Problem("run", "it is no longer in the trash", "")])
    if (runs / name).exists():
        raise Problems([Problem("run", f"there is a run {name} again", f"rename one of them in {runs}")])
    try:
        os.rename(path, runs / name)
    except OSError as error:
        fix = "close what has its files open, then try again"
        raise Problems([Problem("run", f"{name} cannot be put back: {error}", fix)]) from None
    return RunDir(runs / name)


def empty(runs: Path) -> int:
    """Delete for good what is in the trash; returns how many. Problems name what could not be deleted."""
    faults, count = [], 0
    for path in thrown(runs):
        try:
            shutil.rmtree(path)
            count += 1
        except OSError as error:
            faults.append(Problem("run", f"{path.name} is still in the trash: {error}", "close what has it open"))
    if faults:
        raise Problems(faults)
    return count


def bytes_of(paths: list[Path]) -> int:
    """What deleting them would free."""
    return sum(_sizes(paths))


def _sizes(paths: list[Path]) -> Iterator[int]:
    for folder in paths:
        for at, _, names in os.walk(folder):
            for name in names:
                try:
                    yield (Path(at) / name).lstat().st_size
                except OSError:
                    continue
