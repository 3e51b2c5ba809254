"""Starts, stops and finds trainer processes: the only place of the page that starts a process.

The trainer is `accelerate launch … -m trainer <run folder>` in a session of its own, so that closing the page or the
terminal never reaches it. Its only argument is the run folder: no value of a preset stands on the command line.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import psutil

from trainer.contract import checkpoints, families
from trainer.contract import preset as presets
from trainer.contract.machine import load_machine
from trainer.contract.parse import parse_gpus
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import SAME_START_S, Request, RunDir, find_runs, process_start, write_whole
from trainer.contract.settings import Preset

ROOT = Path(__file__).resolve().parents[1]
"""The checkout: the folder of launch.py."""

_launchers: dict[Path, subprocess.Popen[bytes]] = {}
"""Launchers that this process started, by run folder: known before the trainer has written its own pid."""


@dataclass(frozen=True)
class Devices:
    """What `hardware.gpus` means: `kind` "auto", "cpu" or "gpu"; `ids` of the GPUs; `processes` to start."""

    kind: str
    processes: int = 1
    ids: tuple[str, ...] = ()


def devices(gpus: str) -> Devices:
    """Read `hardware.gpus`. Problems where it says nothing that can be started."""
    try:
        names = parse_gpus(gpus)
    except ValueError as error:
        raise Problems([Problem("hardware.gpus", f"{gpus!r} is no choice of GPUs", str(error))]) from None
    kind = names[0] if names[0] in ("auto", "cpu") else "gpu"
    return Devices(kind, len(names), names if kind == "gpu" else ())


def default_runs() -> Path:
    """The runs folder of this computer."""
    return load_machine(ROOT).runs


def start(preset: Preset, name: str = "", runs: Path | None = None) -> RunDir:
    """Make a run folder, write the resolved preset into it and launch the trainer; returns at once.

    `name` names the adapter and the run; "" takes the preset's. Problems where the preset cannot be resolved or the
    runs folder cannot be written: the preset's contents are for `plan.make_plan` to check, before."""
    resolved = resolve(preset, name)
    chosen = devices(resolved.hardware.gpus)
    folder = Path(runs) if runs is not None else default_runs()
    try:
        run = RunDir.create(folder.resolve(), str(resolved.saving.name))
        write_whole(run.preset, presets.dumps(resolved))
        run.update_state(preset_title=resolved.about.title)
        launch(run, command(run, chosen, threads(resolved, chosen)), environment(resolved, chosen))
    except OSError as error:
        fix = "choose another folder with --runs, or make room or rights there"
        raise Problems([Problem("runs", f"the run folder in {folder} cannot be written: {error}", fix)]) from None
    return run


def resume(run: RunDir) -> int:
    """Go on with a run that ended before its last step, in its own folder; returns at once, with the step after which
    it goes on: that of its newest full state, 0 without one. The threads stay as many as before, or other bits would
    come out. Problems where the run is alive or done, or its folder cannot be read."""
    try:
        state, preset = run.current_state(), presets.load(run.preset)
        if state.state == "done":
            raise Problems([Problem("run", f"{run.id} cannot go on: it is done", "start a new run")])
        if state.state in ("starting", "running") or alive(run):
            raise Problems([Problem("run", f"{run.id} is still at work", "stop it first, or let it go on")])
        chosen = devices(preset.hardware.gpus)
        count = state.threads or threads(preset, chosen)
        step = checkpoints.rewind(run)
        for request in get_args(Request):
            run.take(request)  # what was asked of the process that is gone
        run.update_state(
            state="starting", pid=0, process_started=0.0, started=time.time(), ended=0.0, exit_code=None, cause="",
            step=step,
        )  # fmt: skip
        launch(run, command(run, chosen, count), {**environment(preset, chosen), "OMP_NUM_THREADS": str(count)})
    except (OSError, ValueError, TypeError) as error:
        fix = "make its files readable and writable, or start a new run"
        raise Problems([Problem("run", f"{run.path} cannot go on: {error}", fix)]) from None
    return step


def resolve(preset: Preset, name: str = "") -> Preset:
    """The preset as the run folder gets it: every value resolved for the model's family, every path absolute. A model
    that is not recognised is the plan's business: it is resolved as the default family's."""
    if name:
        preset = presets.with_values(preset, {"saving.name": name})
    absolute = presets.absolute_paths(preset, Path.cwd())
    try:
        recognised = families.recognise(absolute.model.path)
        known = families.by_name(recognised.family) if recognised.trained else families.default_family()
    except Problems:
        known = families.default_family()
    return presets.resolve(absolute, known)


def threads(preset: Preset, chosen: Devices) -> int:
    """CPU threads of one trainer process: the setting, else OMP_NUM_THREADS as the user set it, else the cores that
    there are, shared by the processes where they compute on the CPU."""
    if preset.hardware.threads:
        return preset.hardware.threads
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return max(1, cores() // chosen.processes)


def cores() -> int:
    """Physical cores that this process may use."""
    physical = psutil.cpu_count(logical=False) or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else physical
    return max(1, min(physical, usable))


def command(run: RunDir, chosen: Devices, threads: int) -> list[str]:
    """The argument list. Every option that accelerate would otherwise guess or warn about is given, and a configuration
    of our own, so that none of the computer's counts."""
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", "--quiet"]
    options = {
        "--config_file": str(ROOT / "trainer" / "accelerate.yaml"),
        "--num_processes": str(chosen.processes),
        "--num_machines": "1",
        "--num_cpu_threads_per_process": str(threads),
        "--mixed_precision": "no",
        "--dynamo_backend": "no",
    }
    if chosen.processes > 1:
        options["--main_process_port"] = "0"
    words = [word for option in options.items() for word in option]
    if chosen.processes > 1:
        words.append("--multi_gpu")
    elif chosen.kind == "cpu":
        words.append("--cpu")
    return [*accelerate, *words, "-m", "trainer", str(run.path)]


def environment(preset: Preset, chosen: Devices, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The trainer's environment: which GPUs it sees, how many threads, UTF-8 everywhere."""
    changed = dict(environ)
    changed["OMP_NUM_THREADS"] = str(threads(preset, chosen))
    changed["PYTHONUTF8"] = "1"
    changed["PYTHONUNBUFFERED"] = "1"
    changed["TOKENIZERS_PARALLELISM"] = "false"
    if chosen.kind == "cpu":
        changed["ACCELERATE_USE_CPU"] = "true"
    if chosen.kind == "gpu":
        changed.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        changed["CUDA_VISIBLE_DEVICES"] = ",".join(chosen.ids)
    return changed


def launch(run: RunDir, argv: list[str], environ: Mapping[str, str]) -> None:
    """Start a process of its own session, in the checkout, with its output in the run's console log."""
    with open(run.console, "ab") as log:
        _launchers[run.path] = subprocess.Popen(
            argv,
            cwd=ROOT,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            **_own_session(),
        )


def _own_session() -> dict[str, Any]:
    if os.name == "nt":
        flags = ("CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW")
        return {"creationflags": sum(getattr(subprocess, flag) for flag in flags)}
    return {"start_new_session": True}


def stop(run: RunDir) -> None:
    """Ask the trainer to end after the step in hand, with everything saved."""
    run.request("stop")


def alive(run: RunDir) -> bool:
    """Whether the run's launcher (if started here) or its trainer still lives."""
    launcher = _launchers.get(run.path)
    if launcher is not None and launcher.poll() is None:
        return True
    try:
        return run.process_runs()
    except (OSError, ValueError):
        return False


def kill(run: RunDir) -> None:
    """End every process of the run at once; what was saved stays, the step in hand is lost."""
    processes = _processes(run)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def _processes(run: RunDir) -> list[psutil.Process]:
    """The launcher first, then all below it; the trainer's own where the launcher is gone."""
    tops: list[psutil.Process] = []
    launcher = _launchers.get(run.path)
    with contextlib.suppress(psutil.Error, OSError, ValueError):
        if launcher is not None and launcher.poll() is None:
            tops.append(psutil.Process(launcher.pid))
        state = run.read_state()
        if state.pid and abs(process_start(state.pid) - state.process_started) < SAME_START_S:
            trainer = psutil.Process(state.pid)
            above = trainer.parent()
            is_launcher = above is not None and str(run.path) in above.cmdline()
            tops.append(above if above is not None and is_launcher else trainer)
    below = [child for top in tops for child in _below(top)]
    return list(dict.fromkeys([*tops, *below]))


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def running(runs: Path | None = None) -> list[RunDir]:
    """Runs that are starting or training now, newest first."""
    found = find_runs(Path(runs) if runs is not None else default_runs())
    return [run for run in found if _state(run) in ("starting", "running")]


def _state(run: RunDir) -> str:
    try:
        return run.current_state().state
    except (OSError, ValueError, TypeError):
        return "interrupted"


def find(name: str, runs: Path | None = None) -> RunDir | None:
    """The run that a person means: a folder, a run's id, the newest whose id begins so, or "latest"."""
    path = Path(name)
    if (path / "run.json").is_file():
        return RunDir(path.resolve())
    found = find_runs(Path(runs) if runs is not None else default_runs())
    if name == "latest":
        return found[0] if found else None
    exact = [run for run in found if run.id == name]
    return next(iter([*exact, *(run for run in found if name and run.id.startswith(name))]), None)
