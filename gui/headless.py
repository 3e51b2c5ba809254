"""Training without the page: check, start, show progress, pass on the trainer's exit code."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from trainer.contract import preset as presets
from trainer.contract.families import Recognised
from trainer.contract.machine import load_machine
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import EXIT_DONE, Kind, Request, RunDir, find_runs
from trainer.contract.settings import Preset
from trainer.plan.counting import some_of
from trainer.plan.lint.lint import serious
from trainer.plan.pace import paces
from trainer.plan.plan import Plan, describe, examine
from trainer.plan.sides import Known
from trainer.report.report import write as write_report

from . import jobs
from .console import tell
from .engine import exporting
from .engine import starting as engine
from .follow import follow


def main(options: Namespace) -> int:
    """`--preset`: train and wait. Returns the trainer's exit code; 2 or 3 for what is wrong before the start."""
    with told_on_stderr() as outcome:
        preset, _ = checked(options)
        if options.engine:
            run = _by_another(preset, options)
        else:
            run = jobs.start(preset, runs=_runs(options))
        tell(f"Run folder: {run.path}")
        return follow(run)
    return outcome[0]


def _by_another(preset: Preset, options: Namespace) -> RunDir:
    """Start the run with `--engine`'s trainer; where all that it cannot do may be left out, how to is told too."""
    try:
        return engine.start(preset, load_machine(jobs.ROOT), runs=_runs(options), leave_out=options.leave_out)
    except engine.Refused as refused:
        raise Problems([*refused.problems, *([exporting.GO_ON] if refused.harmless else [])]) from None


def check(options: Namespace) -> int:
    """`--check`: everything that a start would check, and the plan in words. Loads no model and no torch."""
    with told_on_stderr() as outcome:
        _, recognised, plan = _examined(options)
        folder = _runs(options) or jobs.default_runs()
        told = describe(plan, paces(folder).expected(plan, recognised.header).text)
        for line in (*told, *serious(plan)):
            tell(line)
        tell(f"Runs go to: {folder}")
        return EXIT_DONE
    return outcome[0]


def preflight(options: Namespace) -> int:
    """`--preflight`: climb the ladder and wait; 0 where no rung is red, else 4."""
    with told_on_stderr() as outcome:
        preset, _ = checked(options)
        run = jobs.start(preset, runs=_runs(options), kind="preflight")
        tell(f"Run folder: {run.path}")
        return follow(run)
    return outcome[0]


def prove_resume(options: Namespace) -> int:
    """`--prove-resume`: whether a run of this preset that is interrupted and resumed gives the same bits; 0 or 1."""
    from .prove import prove

    with told_on_stderr() as outcome:
        preset, _ = checked(options)
        return prove(preset, _runs(options))
    return outcome[0]


def export(options: Namespace) -> int:
    """`--export`: the preset's settings as another program's files."""
    from .exchange import export as write

    return write(options)


WITH_PRESET: dict[str, Callable[[Namespace], int]] = {
    "check": check,
    "preflight": preflight,
    "prove_resume": prove_resume,
    "export": export,
}
"""Option that goes with `--preset` -> what is done instead of training."""


def resume(options: Namespace) -> int:
    """`--resume RUN`: go on with a run, with the settings that `--set` changes, and wait. RUN as for `--stop`."""
    with told_on_stderr() as outcome:
        run = _run(options.resume, options, kind="training")
        step = jobs.resume(run, options.set)
        tell(f"Run folder: {run.path}\nGoing on after step {step}.")
        return follow(run, new_only=True)
    return outcome[0]


def discard(options: Namespace) -> int:
    """`--discard RUN`: give up a run that could go on; its adapters and samples stay."""
    with told_on_stderr() as outcome:
        run = _run(options.discard, options)
        jobs.discard(run)
        tell(f"{run.id} cannot go on any more: its full states are removed. Everything else stays in {run.path}")
        return EXIT_DONE
    return outcome[0]


def report(options: Namespace) -> int:
    """`--report RUN`: write the report of a run that is over, or of one as far as it has come."""
    with told_on_stderr() as outcome:
        run = _run(options.report, options)
        try:
            written = write_report(run, run.current_state())
        except (OSError, ValueError, TypeError) as error:
            problem = Problem("run", f"the report of {run.id} cannot be written: {error}", "check rights and space")
            raise Problems([problem]) from None
        if written is None:
            raise Problems([Problem("run", f"{run.id} has not trained a step", "choose another run")])
        tell(f"Report: {written}")
        return EXIT_DONE
    return outcome[0]


ANSWERS: dict[Request, str] = {
    "stop": "{} ends after the step in hand, with everything saved.",
    "pause": "{0} pauses after the step in hand and frees its device. To go on: python launch.py --resume {0}",
    "save": "{} saves its LoRA and its full state after the step in hand, in its folder.",
    "sample": "{} draws its samples after the step in hand.",
}


def ask(what: Request, options: Namespace) -> int:
    """`--stop RUN` and its like: ask a run that is at work, and leave. RUN is a folder, a run's name or its beginning,
    or "latest"."""
    with told_on_stderr() as outcome:
        run = _run(getattr(options, what), options)
        jobs.ask(run, what, options.prompt if what == "sample" else "")
        other = run.read_state().engine
        tell(f"{run.id}: {other} is asked to end; what it has saved stays." if other else ANSWERS[what].format(run.id))
        return EXIT_DONE
    return outcome[0]


COMMANDS: dict[str, Callable[[Namespace], int]] = {
    "resume": resume,
    "discard": discard,
    "report": report,
    **{what: partial(ask, what) for what in ANSWERS},
}
"""Option that names a run -> what it does."""


def _run(name: str, options: Namespace, kind: Kind | None = None) -> RunDir:
    """The run that is meant, of several the newest of this kind; Problems where there is none of that name."""
    run = jobs.find(name, _runs(options), kind)
    if run is None:
        raise Problems([_no_run(name, _runs(options) or jobs.default_runs())])
    return run


def _no_run(name: str, runs: Path) -> Problem:
    """There is none of that name; which there are instead, the newest first."""
    found = [run.id for run in find_runs(runs)]
    if not found:
        return Problem("run", f"there are no runs in {runs}", "runs lie in the folder that --runs names")
    what = "only preflights so far" if name == "latest" else f"there is no run {name!r}"
    return Problem("run", f"{what} in {runs}", f"the newest are {some_of(found, 5)}")


@contextmanager
def told_on_stderr() -> Iterator[list[int]]:
    """Problems become one list on stderr and an exit code, in the list that is handed out."""
    outcome = [EXIT_DONE]
    try:
        yield outcome
    except Problems as problems:
        tell(error_list(problems), sys.stderr)
        outcome[0] = problems.exit_code


def error_list(problems: Problems) -> str:
    """All problems as one text, a line each."""
    count = len(problems.problems)
    head = "One thing has to be put right:" if count == 1 else f"{count} things have to be put right:"
    return "\n".join([head, *(f"  {problem}" for problem in problems.problems)])


def _runs(options: Namespace) -> Path | None:
    return Path(options.runs) if getattr(options, "runs", None) else None


def checked(options: Namespace) -> tuple[Preset, Plan]:
    """The resolved preset and its plan, as `_examined`."""
    preset, _, plan = _examined(options)
    return preset, plan


def _examined(options: Namespace) -> tuple[Preset, Recognised, Plan]:
    """The resolved preset, what its model is, and the plan; Problems holds everything that is wrong, whichever check
    found it."""
    faults: list[Problem] = []
    preset = _as_far_as_possible(lambda: presets.load(_preset_file(options.preset)), faults)
    if options.set:
        preset = _as_far_as_possible(lambda: presets.apply_set(preset, options.set), faults)
        preset = presets.absolute_paths(preset, Path.cwd())
    if options.name:
        preset = presets.with_values(preset, {"saving.name": options.name})
    try:
        resolved, recognised, plan = examine(preset, known=Known(load_machine(jobs.ROOT).cache))
    except Problems as error:
        told = {fault.path for fault in faults}
        raise Problems([*faults, *(each for each in error.problems if each.path not in told)]) from None
    if faults:
        raise Problems(faults)
    return resolved, recognised, plan


def _as_far_as_possible(make: Callable[[], Preset], faults: list[Problem]) -> Preset:
    """What `make` gives, or what is left of it without its faults, which are noted. Problems where nothing is left."""
    try:
        return make()
    except Problems as error:
        if error.rest is None:
            raise Problems([*faults, *error.problems]) from None
        faults += error.problems
        rest: Preset = error.rest
        return rest


def _preset_file(name: str) -> Path:
    """The file that `--preset` means: a path, or the bare name of one in `presets/` or `presets/user/`."""
    folder = jobs.ROOT / "presets"
    named = [folder / f"{name}.toml", folder / "user" / f"{name}.toml"]
    bare = Path(name).name == name and not Path(name).exists()
    return next((path for path in named if bare and path.is_file()), Path(name))
