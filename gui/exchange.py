"""Settings from and for other programs on the command line: `--import`, `--export`."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from gui import importing, jobs
from gui.console import tell
from gui.engine import exporting
from gui.headless import checked, told_on_stderr
from gui.library import warnings
from trainer.contract.importers.read import read_file
from trainer.contract.machine import machine_file
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import EXIT_DONE, slug


def bring_in(options: Namespace) -> int:
    """`--import PATH`: a preset of a file, or of each file of a folder, and what became of every key."""
    with told_on_stderr() as outcome:
        path = Path(options.import_)
        bring = _bring_folder if path.is_dir() else _bring_file
        bring(path, Path(options.out) if options.out else None)
        return EXIT_DONE
    return outcome[0]


def _bring_file(path: Path, out: Path | None) -> None:
    imported = read_file(path)
    if faults := importing.empty(imported):
        raise Problems(faults)
    target = out or _user() / f"{slug(path.stem)}.toml"
    if target.is_dir() or (out is not None and not out.suffix):
        target = target / f"{slug(path.stem)}.toml"
    if _is_machine_file(target):
        raise Problems([Problem("import", f"{target} is this computer's own file", "choose another name with --out")])
    for line in importing.lines(path.name, imported):
        tell(line)
    tell("")
    for line in warnings(imported.preset):
        tell(line)
    _may_replace([target])
    importing.write(imported, target)
    tell(f'Written: {target}\nTo look at what it would train: python launch.py --preset "{target}" --check')


def _bring_folder(path: Path, out: Path | None) -> None:
    rows = importing.folder(path)
    targets = importing.targets(rows, out or _user())
    for line in importing.table(rows):
        tell(line)
    _may_replace(list(targets.values()))
    for row in rows:
        if row.imported is not None:
            importing.write(row.imported, targets[row.file])
    tell(f"{len(targets)} presets written in {out or _user()}. What became of each key of one: --import FILE")


def _user() -> Path:
    return machine_file(jobs.ROOT).parent


def _is_machine_file(path: Path) -> bool:
    return path.resolve() == machine_file(jobs.ROOT).resolve()


def _may_replace(paths: Sequence[Path]) -> None:
    """Ask before files are replaced; where nobody can be asked, nothing is."""
    there = [path for path in paths if path.exists()]
    if not there:
        return
    what = str(there[0]) if len(there) == 1 else f"{len(there)} files, {there[0]} first,"
    if sys.stdin is not None and sys.stdin.isatty():
        tell(
            f"{what} is there already. Replace? [y/N]"
            if len(there) == 1
            else f"{what} are there already. Replace? [y/N]"
        )
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
    raise Problems([Problem("import", f"{what} already there: nothing is overwritten", "choose another place: --out")])


def export(options: Namespace) -> int:
    """`--export sd-scripts`: the preset as its config.toml and dataset.toml, and the command that trains with them."""
    with told_on_stderr() as outcome:
        preset, _ = checked(options)
        folder = Path(options.out) if options.out else Path.cwd() / slug(f"{preset.saving.name}-{options.export}")
        written = exporting.write(preset, folder.resolve(), options.leave_out, overwrite=_may_replace)
        for line in written.told:
            tell(line)
        tell("To train with it, in the folder of sd-scripts and its environment:")
        tell(written.command)
        return EXIT_DONE
    return outcome[0]
