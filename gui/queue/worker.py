"""The worker: one process a runs folder that starts what waits in the queue, one run after the other on each device.

`python -m gui.queue.worker <runs folder>`, in a session of its own. It ends when nothing waits, and is started again by
whoever adds something, by an open page, or by `launch.py --queue`. It may be killed at any moment: what it does is
written before it is done, and the next one goes on from what the files say. No Gradio in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from gui import jobs, processes
from gui.engine import starting
from gui.queue import devices, waiting
from gui.queue.waiting import Entry, Queue, State
from gui.runs.watch import Watcher
from trainer.contract import checkpoints
from trainer.contract import preset as presets
from trainer.contract.lock import held
from trainer.contract.machine import load_machine
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import SAME_START_S, RunDir, RunState, process_start, write_whole
from trainer.plan.plan import examine
from trainer.plan.sides import Known

LOOK_S = 1.0
"""Seconds between two looks."""

ENDING_S = 10.0
"""How long a run's process may take to go after its last words, before its device counts as free."""

QUIET_S = 3.0
"""How long a run may have no living process before it counts as dead: its last words may still be on the way."""

PATIENCE_S = 10.0
"""How long a worker waits for the one before to leave."""

MOST_TRIES = 3
"""How often a run is found interrupted at the same step, and gone on with, before it counts as failed: one that takes
the whole computer down with it must not do so for ever."""

GONE = "its process is gone: killed, out of memory, or a crash that left no word (the end of its log may tell)"

OUTCOMES: dict[str, State] = {"done": "done", "stopped": "stopped", "paused": "paused", "failed": "failed"}


class Worker:
    """Follows what it started and starts what may. `look` is one round."""

    def __init__(self, runs: Path) -> None:
        self.runs = Path(runs)
        self._watching = Watcher(self.runs)
        self._lived: set[str] = set()
        """Entries whose run this worker has seen alive: one that dies then has failed, any other was interrupted
        together with the worker."""
        self._missed: dict[str, float] = {}

    def look(self) -> bool:
        """Note what has ended and start what may; False where nothing is left to wait for."""
        for entry in waiting.read(self.runs).of("running", "paused"):
            self._follow(entry)
        while (claimed := self._claim()) is not None:
            self._set_off(claimed)
        return needed(self.runs, waiting.read(self.runs))

    def _follow(self, entry: Entry) -> None:
        run = RunDir(self.runs / entry.run)
        state = _state(run) if entry.run and run.preset.is_file() else None
        if entry.state == "paused":
            self._follow_paused(entry, state)
        elif state is not None and state.state in jobs.AT_WORK:
            self._missed.pop(entry.id, None)
            if jobs.alive(run):
                self._lived.add(entry.id)
        elif state is not None and state.state != "interrupted":
            if not jobs.alive(run) or self._missed_for(entry) > ENDING_S:  # until then it may still hold its device
                self._over(entry, OUTCOMES[state.state], state.cause)
        elif entry.id in self._lived:
            if self._missed_for(entry) > QUIET_S:
                self._over(entry, "failed", GONE)
        elif state is None:
            self._set_off(entry)
        else:
            self._interrupted(entry, run)

    def _missed_for(self, entry: Entry) -> float:
        """Seconds since this was first asked in a row."""
        return time.monotonic() - self._missed.setdefault(entry.id, time.monotonic())

    def _follow_paused(self, entry: Entry, state: RunState | None) -> None:
        """Somebody may have gone on with it by hand, or given it up."""
        if state is None:
            self._over(entry, "stopped", "its run folder is gone")
        elif state.state in (*jobs.AT_WORK, "interrupted"):
            self._note(entry.id, state="running")
        elif state.state != "paused":
            self._over(entry, OUTCOMES[state.state], state.cause)

    def _interrupted(self, entry: Entry, run: RunDir) -> None:
        """It went together with the worker before, in a reboot: go on with it."""
        kept = checkpoints.newest(run)
        step = kept.step if kept else 0
        tries = entry.tries + 1 if step <= entry.at_step else 1
        if tries > MOST_TRIES:
            self._over(entry, "failed", f"it was interrupted {MOST_TRIES} times without getting beyond step {step}")
        elif self._note(entry.id, tries=tries, at_step=step):
            self._set_off(entry)

    def _claim(self) -> Entry | None:
        """The next entry that may start, as running: from here on it is this one's."""
        occupied = devices.taken(self.runs, devices.at_work(self._watching))
        claimed: list[Entry] = []

        def edit(queue: Queue) -> Queue:
            entry = devices.ready(queue, occupied)
            if entry is None:
                return queue
            run = self._folder(entry)
            claimed.append(replace(entry, state="running", began=time.time(), run=run.id))
            return queue.with_entry(claimed[0])

        waiting.change(self.runs, edit)
        return claimed[0] if claimed else None

    def _folder(self, entry: Entry) -> RunDir:
        """The run folder to go on in, or an empty new one: for a new entry, and where the old run cannot go on, as
        none of another program can."""
        run = RunDir(self.runs / entry.run)
        state = _state(run) if entry.run and not entry.engine else None
        return run if state and state.cause != jobs.DISCARDED else RunDir.reserve(self.runs, entry.name)

    def _set_off(self, entry: Entry) -> None:
        """Start an entry's run, or go on with it. Whatever is wrong with it is its own end, never the queue's."""
        try:
            if set_off(self.runs, entry):
                self._lived.add(entry.id)
            say(f"{entry.name}: started, {entry.run}")
        except Problems as problems:
            self._over(entry, "failed", str(problems))
        except Exception as error:
            traceback.print_exc()
            self._over(entry, "failed", f"it could not be started: {type(error).__name__}: {error}")

    def _over(self, entry: Entry, state: State, cause: str) -> None:
        def edit(queue: Queue) -> Queue:
            same = any(now.id == entry.id and now.state == entry.state for now in queue.entries)
            return waiting.over(queue, entry.id, state, cause) if same else queue

        waiting.change(self.runs, edit)
        self._lived.discard(entry.id)
        self._missed.pop(entry.id, None)
        say(f"{entry.name}: {state}{f' ({cause})' if cause else ''}")

    def _note(self, id: str, **changes: Any) -> bool:
        """Write new values of an entry; False where it has left the queue meanwhile."""
        found: list[Entry] = []

        def edit(queue: Queue) -> Queue:
            found.extend(now for now in queue.of("running", "paused") if now.id == id)
            return queue.with_entry(replace(found[0], **changes)) if found else queue

        waiting.change(self.runs, edit)
        return bool(found)


def set_off(runs: Path, entry: Entry) -> bool:
    """Launch the trainer for an entry, in its run folder: anew, or from the last full state; False where it is at work
    or done already. To be called again where it was cut off at any place. Problems where the preset does not hold any
    more, or another program that is to train it cannot (any more)."""
    run = RunDir(runs / entry.run)
    if run.preset.is_file():
        open_ = run.current_state().state not in (*jobs.AT_WORK, "done")
        if open_ and entry.engine:
            why = f"it was interrupted, and {entry.engine} cannot go on where it was"
            raise Problems([Problem("run", why, "try again: it begins anew, in a folder of its own")])
        if open_:
            jobs.resume(run)
        return open_
    try:
        preset, machine = presets.load(waiting.preset_file(runs, entry)), load_machine(jobs.ROOT)
        resolved, _, _ = examine(preset, known=Known(machine.cache))
        checkout = starting.check(resolved, machine)[0] if entry.engine else None
    except Problems:
        with contextlib.suppress(OSError):
            run.path.rmdir()  # nothing is in it yet
        raise
    try:
        run.path.mkdir(parents=True, exist_ok=True)
        if not run.state_file.is_file():
            run.furnish(entry.name)
        starting.begin(run, resolved, checkout) if checkout else jobs.begin(run, resolved)
    except OSError as error:
        fix = "make room or rights there, then retry"
        raise Problems([Problem("runs", f"the run folder {run.path} cannot be written: {error}", fix)]) from None
    return True


def _state(run: RunDir) -> RunState | None:
    try:
        return run.current_state()
    except (OSError, ValueError, TypeError):
        return None


def needed(runs: Path, queue: Queue) -> bool:
    """Whether there is something for a worker to do, or to wait for."""
    if queue.of("running") or (queue.on and queue.of("waiting")):
        return True
    states = [_state(RunDir(runs / entry.run)) for entry in queue.of("paused")]
    return any(state is None or state.state != "paused" for state in states)


def _who(runs: Path) -> Path:
    return waiting.folder_of(runs) / "worker.json"


def lives(runs: Path) -> bool:
    """Whether a worker is at it."""
    try:
        who = json.loads(_who(runs).read_text(encoding="utf-8"))
        return abs(process_start(int(who["pid"])) - float(who["process_started"])) < SAME_START_S
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _sign(runs: Path, pid: int) -> None:
    write_whole(_who(runs), json.dumps({"pid": pid, "process_started": process_start(pid)}))


def ensure(runs: Path) -> bool:
    """Start a worker where one is needed and none is there; whether it was started. Problems where the queue cannot be
    read or written."""
    runs = Path(runs)
    if not (waiting.folder_of(runs) / "queue.json").is_file() or lives(runs):
        return False
    with waiting.locked(runs):
        if lives(runs) or not needed(runs, waiting.read(runs)):
            return False
        try:
            argv = [sys.executable, "-m", "gui.queue.worker", str(runs.resolve())]
            _sign(runs, processes.start_worker(argv, waiting.folder_of(runs) / "worker.log"))
        except OSError as error:
            why = f"the queue's worker could not be started: {error}"
            raise Problems([Problem("queue", why, "make room or rights in the runs folder")]) from None
    return True


def say(text: str) -> None:
    """A line of the worker's log."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}", flush=True)


def work(runs: Path) -> None:
    """Look until nothing waits. Who adds something either finds this worker, or finds that it has left."""
    worker = Worker(runs)
    _sign(runs, os.getpid())
    say("at work")
    while True:
        try:
            if not worker.look():
                with waiting.locked(runs):
                    if not needed(runs, waiting.read(runs)):
                        _who(runs).unlink(missing_ok=True)
                        break
        except (OSError, Problems) as error:  # a full disk, a folder that is gone for a moment
            say(f"tried again in {5 * LOOK_S:g} s: {error}")
            time.sleep(4 * LOOK_S)
        time.sleep(LOOK_S)
    say("nothing waits")


def main(argv: list[str]) -> int:
    """Work on the queue of a runs folder, if nobody else does."""
    runs, until = Path(argv[1]), time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with held(waiting.folder_of(runs) / "worker.lock") as mine:
            if mine:
                work(runs)
                return 0
        time.sleep(0.2)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
