"""Starting a run that another trainer trains: the same preset, a run folder like any other, its scripts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from gui import jobs
from gui.engine import exporting
from gui.engine.checkout import NAME, Checkout, found, has_package
from gui.launching import devices, environment, launcher, threads
from gui.processes import launch
from trainer.contract import preset as presets
from trainer.contract.machine import Machine
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import RunDir, write_whole
from trainer.contract.settings import Preset

RUNNER = "gui.engine.runner"
"""The module that starts the other program and tells our run folder what it does."""

COLUMNS = "200"
"""How wide it may print: its lines are read by a program, and cut ones say less."""


class Refused(Problems):
    """What the other program cannot do. `harmless`: all of it may be left out, and the recipe is the same."""

    def __init__(self, problems: Sequence[Problem], harmless: bool) -> None:
        super().__init__(problems)
        self.harmless = harmless


def check(preset: Preset, machine: Machine, leave_out: bool = False) -> tuple[Checkout, Preset]:
    """The checkout that would train this resolved preset, and the preset as it would be trained: with `leave_out`
    without what is harmless and cannot be done there. Problems: what is missing; Refused: what it cannot do."""
    checkout = found(machine)
    script = exporting.script_of(preset)
    harmful, harmless = exporting.refusals(preset, has_package(checkout.python, "lycoris"))
    if harmful or (harmless and not leave_out):
        raise Refused([*harmful, *harmless], not harmful)
    if script not in checkout.scripts:
        why = f"{checkout.folder} has no {script}, which trains this model's family"
        raise Problems([Problem(NAME, why, "update it")])
    return checkout, exporting.without(preset, harmless)


def start(
    preset: Preset, machine: Machine, name: str = "", runs: Path | None = None, leave_out: bool = False
) -> RunDir:
    """Make a run folder, write the preset and the other program's settings into it, and launch its script; returns at
    once. Problems as `check`, and where the folder cannot be written."""
    checkout, resolved = check(jobs.resolve(preset, name), machine, leave_out)
    folder = Path(runs) if runs is not None else machine.runs
    try:
        run = RunDir.create(folder.resolve(), str(resolved.saving.name))
        begin(run, resolved, checkout)
    except OSError as error:
        raise jobs.unwritable(folder, error) from None
    return run


def begin(run: RunDir, resolved: Preset, checkout: Checkout) -> None:
    """Furnish a run folder for the other program and launch it."""
    write_whole(run.preset, presets.dumps(resolved))
    config = exporting.for_run(resolved, run, has_package(checkout.python, "lycoris"))
    device = resolved.hardware.gpus
    run.update_state(preset_title=resolved.about.title, engine=NAME, versions={NAME: checkout.told}, device=device)
    chosen = devices(device)
    words = launcher(checkout.python, chosen, threads(resolved, chosen))
    argv = command(checkout, exporting.script_of(resolved), config, words)
    launch(run, [*runner(run, checkout.folder), *argv], {**environment(resolved, chosen), "COLUMNS": COLUMNS})


def command(checkout: Checkout, script: str, config: Path, launcher: list[str]) -> list[str]:
    """The other program's argument list. No value of the preset stands in it: all of them are in the file."""
    return [*launcher, str(checkout.folder / script), "--config_file", str(config)]


def runner(run: RunDir, folder: Path) -> list[str]:
    """Our own process around it; what follows is its argument list."""
    return [sys.executable, "-m", RUNNER, str(run.path), str(folder), "--"]
