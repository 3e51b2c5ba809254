"""The processes of a run: started, found, ended; the queue's worker; another trainer's processes, with their words read
through a pipe. No other place of the page starts a process.

Each is in a session of its own, so that closing the page or the terminal never reaches it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from trainer.contract.rundir import SAME_START_S, RunDir, process_start

from .launching import LAUNCHER, ROOT

_launchers: dict[Path, subprocess.Popen[bytes]] = {}
"""Launchers that this process started, by run folder: known before the trainer has written its own pid."""


def launch(run: RunDir, argv: list[str], environ: Mapping[str, str]) -> None:
    """Start a process of its own session, in the checkout, with its output in the run's console log.

    Until the trainer has written its own pid, `run.json` has the launcher's: a run that is killed meanwhile is known to
    be gone at once."""
    with open(run.console, "ab") as log:
        launcher = subprocess.Popen(
            argv,
            cwd=ROOT,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            **_own_session(),
        )
    _launchers[run.path] = launcher
    with contextlib.suppress(OSError, ValueError):
        run.update_state(pid=launcher.pid, process_started=process_start(launcher.pid))


_workers: list[subprocess.Popen[bytes]] = []


def start_worker(argv: list[str], log: Path) -> int:
    """Start the queue's worker in a session of its own, with its output at the end of `log`; returns its pid."""
    _workers[:] = [worker for worker in _workers if worker.poll() is None]
    with open(log, "ab") as file:
        worker = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**os.environ, "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            **_own_session(),
        )
    _workers.append(worker)
    return worker.pid


Piped = subprocess.Popen[bytes]
"""A program that says everything into one pipe."""


def start_piped(argv: list[str], folder: Path, environ: Mapping[str, str]) -> Piped:
    """Start another program in a session of its own, with all that it says in one pipe."""
    return subprocess.Popen(
        argv,
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **_own_session(),
    )


def answer_of(argv: list[str], seconds: float) -> str:
    """What a short-lived program prints. OSError where it cannot be started, is not done in time or fails."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise OSError(f"no answer within {seconds:.0f} seconds") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise OSError(said[-1] if said else f"it ended with code {done.returncode}")
    return done.stdout.decode("utf-8", errors="replace")


def end(process: Piped, seconds: float) -> None:
    """End a program of `start_piped` with all below it: asked to first, the innermost before its launcher, which would
    leave it behind; ended after `seconds`."""
    family = [*reversed(_below_pid(process.pid)), *_of_pid(process.pid)]
    for one in family:
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            one.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
    _, left = psutil.wait_procs(family, timeout=seconds)
    for one in [*left, *_below_pid(process.pid)]:
        with contextlib.suppress(psutil.Error):
            one.kill()
    psutil.wait_procs(left, timeout=5)


def _of_pid(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.Error:
        return []


def _below_pid(pid: int) -> list[psutil.Process]:
    return [child for process in _of_pid(pid) for child in _below(process)]


def _own_session() -> dict[str, Any]:
    if os.name == "nt":
        flags = ("CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW")
        return {"creationflags": sum(getattr(subprocess, flag) for flag in flags)}
    return {"start_new_session": True}


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
            words = above.cmdline() if above is not None else []
            is_launcher = str(run.path) in words and LAUNCHER in words
            tops.append(above if above is not None and is_launcher else trainer)
    below = [child for top in tops for child in _below(top)]
    return list(dict.fromkeys([*tops, *below]))


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []
