"""Going on with a run: exactly, with other settings, for longer, or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from gui.runs.watch import last_step
from trainer.contract import checkpoints
from trainer.contract import preset as presets
from trainer.contract.lock import held
from trainer.contract.machine import load_machine
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import EXIT_STOPPED, Request, RunDir, RunState, write_whole
from trainer.contract.settings import ITEMS, Preset, SameAs
from trainer.plan import names
from trainer.plan.changes import Change, Moment, kept_preset, review
from trainer.plan.plan import examine
from trainer.plan.sides import Known, of_run

from .launching import ROOT, command, devices, environment, threads
from .processes import alive, launch

AT_WORK = ("starting", "running")
DISCARDED = "discarded by the user"
LOCK = ".continuing"
"""In the folder of requests, where names with a dot are none."""

ENDING_S = 10.0
"""How long a process may take to go after its last words."""


@dataclass(frozen=True)
class Continuation:
    """What it would be to go on with a run: after `step` (0: from the beginning) to `total`, with `preset`. `changes`:
    what is another setting than before, and what that means."""

    step: int
    total: int
    preset: Preset
    changes: tuple[Change, ...] = ()


def look_ahead(run: RunDir, assignments: Sequence[str] = ()) -> Continuation:
    """What `resume` would do, without doing it. `assignments`: changes as `--set` takes them.

    Problems where the run cannot go on, or not so: it is at work, done, discarded, its state is gone, a setting cannot
    be changed, or the changed preset is faulty."""
    with _readable(run):
        return _look_ahead(run, assignments)


def _look_ahead(run: RunDir, assignments: Sequence[str]) -> Continuation:
    state, preset, found = run.current_state(), presets.load(run.preset), checkpoints.newest(run)
    step = found.step if found else 0
    _refuse(run, state, step)
    if not assignments and state.state != "done":
        return Continuation(step, state.total_steps, preset)
    known = Known(load_machine(ROOT).cache, of_run(run.path))
    changed, _, plan = examine(_changed(preset, assignments), known=known)
    if state.state == "done" and plan.steps.total <= step:
        why = f"{run.id} is done: it has {step:,} steps, and training.length says {plan.steps.total:,}"
        raise Problems([Problem("run", why, f'to extend it, give more: training.length="{2 * step} steps"')])
    if found is None:
        return Continuation(0, plan.steps.total, changed)
    recipe = checkpoints.read_facts(found.path)["recipe"]
    at = Moment(step, recipe.get("total", state.total_steps), plan.steps.total)
    return Continuation(step, at.total, changed, tuple(review(recipe["settings"], kept_preset(run), changed, at)))


def _refuse(run: RunDir, state: RunState, step: int) -> None:
    until = time.monotonic() + ENDING_S
    while state.state not in AT_WORK and alive(run) and time.monotonic() < until:
        time.sleep(0.1)
    if state.state in AT_WORK or alive(run):
        raise Problems([Problem("run", f"{run.id} is still at work", "stop it first, or let it go on")])
    if state.kind != "training":
        raise Problems([Problem("run", f"{run.id} cannot go on: it is a {state.kind}", "start it anew")])
    if state.engine:
        why = f"{run.id} cannot go on: {state.engine} trained it"
        raise Problems([Problem("run", why, "start a new run, with network.start to begin with its adapter")])
    if state.cause == DISCARDED:
        raise Problems([Problem("run", f"{run.id} cannot go on: it was {DISCARDED}", "start a new run")])
    if state.state == "done" and not step:
        why = f"{run.id} cannot go on: it is done, and no full state of it was kept"
        raise Problems([Problem("run", why, 'start a new run; with saving.state_every other than "never" one is kept')])


def _changed(preset: Preset, assignments: Sequence[str]) -> Preset:
    """The run's preset with the changes. It has every value written out: one that was the same as another setting that
    is changed now follows it again."""
    changed = presets.apply_set(preset, assignments)
    named = {assignment.partition("=")[0].strip() for assignment in assignments}
    follow = {
        item.path: item.default
        for item in ITEMS
        if isinstance(item.default, SameAs)
        and item.path not in named
        and presets.value_at(preset, item.path) == presets.value_at(preset, item.default.path)
    }
    return presets.absolute_paths(presets.with_values(changed, follow), Path.cwd())


def resume(run: RunDir, assignments: Sequence[str] = ()) -> int:
    """Go on with a run in its own folder; returns at once, with the step after which it goes on: that of its newest
    full state, 0 without one. `assignments`: changes as `--set` takes them; they go into the run's preset, and the one
    before is kept beside it. The threads stay as many as before, or other bits would come out.

    Problems as `look_ahead` says, and where somebody else is at it."""
    with _readable(run), _alone(run):
        ahead, state = _look_ahead(run, assignments), run.current_state()
        chosen = devices(ahead.preset.hardware.gpus)
        count = ahead.preset.hardware.threads or state.threads or threads(ahead.preset, chosen)
        _keep_final(run, state)
        if assignments:
            _keep_preset(run, ahead.preset)
        worked = state.worked_s + _worked(run, state)
        step = checkpoints.rewind(run)
        for request in get_args(Request):
            run.take(request)  # what was asked of the process that is gone
        run.update_state(
            state="starting", pid=0, process_started=0.0, started=time.time(), ended=0.0, exit_code=None, cause="",
            step=step, worked_s=worked,
        )  # fmt: skip
        environ = {**environment(ahead.preset, chosen), "OMP_NUM_THREADS": str(count)}
        launch(run, command(run, chosen, count), environ)
    return step


def _worked(run: RunDir, state: RunState) -> float:
    """Seconds of the process that is gone; one that was killed worked until it last wrote an event."""
    ended = state.ended or (run.events.stat().st_mtime if run.events.is_file() else state.started)
    return max(0.0, ended - state.started) if state.started else 0.0


def extend(run: RunDir, length: str) -> int:
    """Go on with a run that is done, to a longer `length` ("400 steps"); else as `resume`."""
    return resume(run, [f"training.length={length}"])


@contextmanager
def _readable(run: RunDir) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError) as error:
        fix = "make its files readable and writable, or start a new run"
        raise Problems([Problem("run", f"{run.path} cannot go on: {error}", fix)]) from None


@contextmanager
def _alone(run: RunDir) -> Iterator[None]:
    """One at a time, the page and terminals alike: two trainers in one folder would mix their events and states."""
    run.control.mkdir(exist_ok=True)
    with held(run.control / LOCK) as mine:
        if not mine:
            raise Problems([Problem("run", f"{run.id} is just being continued or discarded elsewhere", "look there")])
        yield


def _keep_preset(run: RunDir, changed: Preset) -> None:
    """The changed preset in the place of the old one, which gets a number: `preset.before-1.toml`."""
    old, number = run.preset.read_text(encoding="utf-8"), 1
    while (beside := run.path / f"preset.before-{number}.toml").exists():
        number += 1
    write_whole(beside, old)
    write_whole(run.preset, presets.dumps(changed, old))


def _keep_final(run: RunDir, state: RunState) -> None:
    """The adapter of a run that is done, under its step's name as well: the longer run will write another final one."""
    path = run.path / state.adapter
    if state.state == "done" and state.adapter and path.is_file():
        beside = run.path / names.step_file(path.stem, state.step)
        if not beside.exists():
            write_whole(beside, path.read_bytes())


def discard(run: RunDir) -> None:
    """Give up a run that is not done: its full states are removed, so that it can never go on. Its adapters, samples
    and figures stay. It counts as stopped, with the cause that says so. It cannot be undone: ask before.

    Problems where it is at work or done."""
    with _readable(run), _alone(run):
        state = run.current_state()
        _refuse(run, state, step=1)
        if state.state == "done":
            raise Problems([Problem("run", f"{run.id} is done: there is nothing to discard", "delete its folder")])
        checkpoints.prune(run, keep=0)
        checkpoints.preset_file(run).unlink(missing_ok=True)
        ended = state.ended or time.time()
        step = max(state.step, last_step(run.events)[0])
        run.update_state(state="stopped", exit_code=EXIT_STOPPED, cause=DISCARDED, step=step, ended=ended)
