"""Starts, resumes, asks and finds runs.

The trainer is `accelerate launch … -m trainer <run folder>` in a session of its own, so that closing the page or the
terminal never reaches it. Its only argument is the run folder: no value of a preset stands on the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trainer.contract import families, tasks
from trainer.contract import preset as presets
from trainer.contract.machine import load_machine
from trainer.contract.parse import parse_gpus
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import Kind, Request, RunDir, RunState, find_runs, write_whole
from trainer.contract.settings import Preset
from trainer.contract.tasks import Task

from .continuing import AT_WORK, DISCARDED, discard, extend, look_ahead, resume
from .launching import ROOT, Devices, command, cores, devices, environment, threads
from .processes import alive, kill, launch

__all__ = [
    "AT_WORK", "DISCARDED", "ROOT", "Devices", "alive", "ask", "begin", "command", "cores", "default_runs",
    "devices", "discard", "environment", "extend", "find", "kill", "launch", "look_ahead", "resolve",
    "resume", "running", "start", "start_task", "threads", "unwritable",
]  # fmt: skip


def default_runs() -> Path:
    """The runs folder of this computer."""
    return load_machine(ROOT).runs


def start(
    preset: Preset,
    name: str = "",
    runs: Path | None = None,
    kind: Kind = "training",
    asked: Mapping[Request, str] | None = None,
) -> RunDir:
    """Make a run folder, write the resolved preset into it and launch the trainer; returns at once.

    `name` names the adapter and the run; "" takes the preset's. A `kind` of "preflight" climbs the ladder, on the first
    of several GPUs, and its folder's name says so. `asked`: requests that it finds when it begins. Problems where the
    preset cannot be resolved or the runs folder cannot be written: the preset's contents are for `plan.make_plan` to
    check, before."""
    resolved = resolve(preset, name)
    if kind == "preflight":
        resolved = presets.with_values(resolved, {"hardware.gpus": parse_gpus(resolved.hardware.gpus)[0]})
    devices(resolved.hardware.gpus)
    folder = Path(runs) if runs is not None else default_runs()
    try:
        words = [str(resolved.saving.name), *([kind] if kind != "training" else [])]
        run = RunDir.create(folder.resolve(), "-".join(words))
        begin(run, resolved, kind, asked)
    except OSError as error:
        raise unwritable(folder, error) from None
    return run


def begin(run: RunDir, resolved: Preset, kind: Kind = "training", asked: Mapping[Request, str] | None = None) -> None:
    """Launch the trainer in a run folder that has been made and furnished, with a preset that `resolve` gave."""
    chosen = devices(resolved.hardware.gpus)
    write_whole(run.preset, presets.dumps(resolved))
    run.update_state(preset_title=resolved.about.title, kind=kind)
    for what, text in (asked or {}).items():
        run.request(what, text)
    launch(run, command(run, chosen, threads(resolved, chosen)), environment(resolved, chosen))


def start_task(task: Task, name: str, runs: Path | None = None) -> RunDir:
    """Make a run folder called after `name` for a task and launch the trainer on it, with one device; returns at once.

    Problems where the folder cannot be written or the device is none."""
    alone = presets.with_values(Preset(), {"hardware.gpus": parse_gpus(task.gpus)[0]})
    chosen = devices(alone.hardware.gpus)
    folder = Path(runs) if runs is not None else default_runs()
    try:
        run = RunDir.create(folder.resolve(), name)
        tasks.save(run, task)
        run.update_state(kind=tasks.kind_of(task))
        launch(run, command(run, chosen, threads(alone, chosen)), environment(alone, chosen))
    except OSError as error:
        raise unwritable(folder, error) from None
    return run


def unwritable(folder: Path, error: OSError) -> Problems:
    """Why no run folder could be made."""
    fix = "choose another folder with --runs, or make room or rights there"
    return Problems([Problem("runs", f"the run folder in {folder} cannot be written: {error}", fix)])


def resolve(preset: Preset, name: str = "") -> Preset:
    """The preset as the run folder gets it: every value resolved for the model's family, every path absolute. A model
    that is not recognised is the plan's business: it is resolved as the default family's."""
    if name:
        preset = presets.with_values(preset, {"saving.name": name})
    absolute = presets.absolute_paths(preset, Path.cwd())
    try:
        known = families.of(families.recognise(absolute.model.path), absolute.model.prediction)
    except Problems:
        known = families.default_family()
    return presets.resolve(absolute, known)


def ask(run: RunDir, what: Request, text: str = "") -> None:
    """Ask a run for something; it is done after the step in hand. "stop": end with everything saved. "pause": save the
    full state and end, so that the device is free; `resume` goes on exactly. "save": an adapter file and the full state
    now. "sample": sample pictures now. `text` goes with it: for "pause" a step, after which it counts; for "sample" a
    prompt that is drawn instead of the run's own.

    Problems where the run is not at work: a request that nobody reads would be found by whoever resumes it."""
    state = run.current_state()
    if state.state not in AT_WORK:
        fix = "its files are in its folder" if state.engine else _WHAT_NOW[state.state].format(run.id)
        raise Problems([Problem("run", f"{run.id} is not at work: {_why_not(state)}", fix)])
    if state.engine and what != "stop":
        why = f"{run.id} is trained by {state.engine}, which can only be stopped"
        raise Problems([Problem("run", why, "what it saves and draws, and how often, is set before the start")])
    run.request(what, text)


_WHAT_NOW = {
    "done": "its files are in its folder",
    "stopped": "to go on: python launch.py --resume {}",
    "paused": "to go on: python launch.py --resume {}",
    "failed": "to go on from its last full state: python launch.py --resume {}",
    "interrupted": "to go on from its last full state: python launch.py --resume {}",
}


def _why_not(state: RunState) -> str:
    cause = f" ({state.cause})" if state.cause and not state.cause.startswith(state.state) else ""
    return f"it is {state.state}{cause}"


def running(runs: Path | None = None) -> list[RunDir]:
    """Runs that are starting or training now, newest first."""
    found = find_runs(Path(runs) if runs is not None else default_runs())
    return [run for run in found if _state(run) in AT_WORK]


def _state(run: RunDir) -> str:
    try:
        return run.current_state().state
    except (OSError, ValueError, TypeError):
        return "interrupted"


def _kind(run: RunDir) -> Kind | None:
    try:
        return run.read_state().kind
    except (OSError, ValueError, TypeError):
        return None


def find(name: str, runs: Path | None = None, kind: Kind | None = None) -> RunDir | None:
    """The run that a person means: a folder, a run's id, the newest whose id begins so (one of `kind` first), or
    "latest" (of that kind)."""
    path = Path(name)
    if (path / "run.json").is_file():
        return RunDir(path.resolve())
    found = find_runs(Path(runs) if runs is not None else default_runs())
    if name == "latest":
        return next((run for run in found if kind is None or _kind(run) == kind), None)
    exact = [run for run in found if run.id == name]
    begin = [run for run in found if name and run.id.startswith(name)]
    return next(iter([*exact, *sorted(begin, key=lambda run: kind not in (None, _kind(run)))]), None)
