"""The queue's worker, in this process: what it makes of how runs end, and that it may die between any two writes."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import sd_scripts_stand_in

from gui import continuing, jobs
from gui.engine import starting
from gui.queue import waiting, worker
from gui.queue.waiting import EDITS, Entry
from gui.queue.worker import Worker
from trainer.contract import preset as presets
from trainer.contract import rundir
from trainer.contract.machine import ENVIRONMENT, load_machine
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir, find_runs, process_start
from trainer.contract.settings import Preset

DEMO = presets.load(jobs.ROOT / "presets" / "demo.toml")


class Crash(BaseException):
    """The computer goes off."""


def preset(name: str, gpus: str = "0") -> Preset:
    return jobs.resolve(presets.with_values(DEMO, {"saving.name": name, "hardware.gpus": gpus}))


def states(runs: Path) -> list[str]:
    return [entry.state for entry in waiting.read(runs).entries]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Runs whose trainer was to be launched; each is at work from then on, as this very process."""
    names: list[str] = []

    def launch(run: RunDir, argv: list[str], environ: dict[str, str]) -> None:
        names.append(run.id)
        now = replace(run.read_state(), state="running", pid=os.getpid(), process_started=process_start(os.getpid()))
        run.state_file.write_text(now.text(), encoding="utf-8")  # by the trainer, not by the worker

    for module in (jobs, continuing):
        monkeypatch.setattr(module, "launch", launch)
    monkeypatch.setattr(continuing, "alive", lambda run: False)
    monkeypatch.setattr(worker, "ENDING_S", 0.0)
    monkeypatch.setattr(worker, "QUIET_S", 0.0)
    return names


def ends(runs: Path, entry: Entry, how: rundir.State, cause: str = "", pid: int = 0) -> None:
    """The trainer of an entry ends so; "interrupted" without a word."""
    run = RunDir(runs / waiting.read(runs).find(entry.id).run)
    code = None if how == "interrupted" else 0
    run.update_state(state="running" if code is None else how, exit_code=code, cause=cause, pid=pid or 2**22 - 5)


def test_one_after_the_other_whatever_becomes_of_them(tmp_path: Path, launched: list[str]) -> None:
    a, b, c, d = waiting.add(tmp_path, [preset("a"), preset("b"), preset("c", "1"), preset("d")])
    worker = Worker(tmp_path)
    assert worker.look() and states(tmp_path) == ["running", "waiting", "running", "waiting"]
    assert worker.look() and len(launched) == 2
    ends(tmp_path, a, "failed", "out of memory")
    worker.look(), worker.look()
    assert states(tmp_path) == ["failed", "running", "running", "waiting"]
    assert waiting.read(tmp_path).find(a.id).cause == "out of memory"
    worker.look()
    ends(tmp_path, b, "interrupted")  # its process was killed under the worker's eyes
    ends(tmp_path, c, "stopped")
    for _ in range(4):
        worker.look()
    assert states(tmp_path) == ["failed", "failed", "stopped", "running"]
    assert "its process is gone" in waiting.read(tmp_path).find(b.id).cause
    ends(tmp_path, d, "done")
    worker.look()
    assert not worker.look() and states(tmp_path) == ["failed", "failed", "stopped", "done"]
    assert len(launched) == 4 == len(find_runs(tmp_path))


def test_a_run_that_is_started_by_hand_is_waited_for(tmp_path: Path, launched: list[str]) -> None:
    other = jobs.start(preset("other"), runs=tmp_path)
    [entry] = waiting.add(tmp_path, [preset("a")])
    worker = Worker(tmp_path)
    assert worker.look() and states(tmp_path) == ["waiting"]
    other.update_state(state="done", exit_code=0, pid=2**22 - 5)
    worker.look()
    assert states(tmp_path) == ["running"] and launched == [other.id, waiting.read(tmp_path).find(entry.id).run]


def test_a_preset_that_does_not_hold_any_more_fails_alone(tmp_path: Path, launched: list[str]) -> None:
    images = tmp_path / "images"
    shutil.copytree(jobs.ROOT / "presets" / "demo" / "images", images)
    gone = jobs.resolve(presets.with_values(preset("gone"), {"dataset.folders": [{"path": str(images)}]}))
    a, b = waiting.add(tmp_path / "runs", [gone, preset("b")])
    shutil.rmtree(images)
    Worker(tmp_path / "runs").look()
    assert states(tmp_path / "runs") == ["failed", "running"]
    assert "dataset.folders" in waiting.read(tmp_path / "runs").find(a.id).cause
    assert len(find_runs(tmp_path / "runs")) == len(launched) == 1
    shutil.copytree(jobs.ROOT / "presets" / "demo" / "images", images)  # put right, tried again
    waiting.change(tmp_path / "runs", lambda queue: EDITS["retry"](queue, a.id))
    ends(tmp_path / "runs", b, "done")
    for _ in range(2):
        Worker(tmp_path / "runs").look()
    assert sorted(states(tmp_path / "runs")) == ["done", "running"]


def test_an_entry_for_another_trainer_is_started_by_it_and_never_gone_on_with(
    tmp_path: Path, launched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(sd_scripts_stand_in.machine_file(tmp_path)))
    monkeypatch.setattr(starting, "launch", continuing.launch)
    runs, changes = tmp_path / "runs", {"sampling.every": "never", "saving.every": "never", "validation.split": "off"}
    elsewhere = jobs.resolve(presets.with_values(preset("a"), changes))
    _, fitting = starting.check(elsewhere, load_machine(tmp_path), leave_out=True)
    [entry] = waiting.add(runs, [fitting], "sd-scripts")
    Worker(runs).look()
    [first] = find_runs(runs)
    assert launched == [first.id] and first.read_state().engine == "sd-scripts"
    assert (first.path / "engine" / "config.toml").is_file()
    ends(runs, entry, "interrupted")  # with the worker that saw it begin
    Worker(runs).look()
    assert states(runs) == ["failed"] and "begins anew" in waiting.read(runs).find(entry.id).cause
    waiting.change(runs, lambda queue: EDITS["retry"](queue, entry.id))
    Worker(runs).look()
    assert states(runs) == ["running"] and len(find_runs(runs)) == len(set(launched)) == 2
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "none.toml"))
    ends(runs, entry, "done")
    [gone] = waiting.add(runs, [fitting], "sd-scripts")
    Worker(runs).look()
    assert "name no sd-scripts" in waiting.read(runs).find(gone.id).cause and len(launched) == 2


def test_what_was_at_work_when_the_computer_went_off_goes_on_but_not_for_ever(
    tmp_path: Path, launched: list[str]
) -> None:
    [entry] = waiting.add(tmp_path, [preset("a")])
    Worker(tmp_path).look()
    for times in range(1, 1 + worker.MOST_TRIES):
        ends(tmp_path, entry, "interrupted")
        assert worker.needed(tmp_path, waiting.read(tmp_path))
        Worker(tmp_path).look()  # another worker: it has not seen that run alive
        assert states(tmp_path) == ["running"] and len(launched) == 1 + times
    ends(tmp_path, entry, "interrupted")
    assert not Worker(tmp_path).look() and states(tmp_path) == ["failed"]
    assert "interrupted 3 times" in waiting.read(tmp_path).find(entry.id).cause
    assert len(set(launched)) == 1, "always in its own folder"


def test_a_paused_run_keeps_its_device_and_is_gone_on_with_from_anywhere(tmp_path: Path, launched: list[str]) -> None:
    a, b = waiting.add(tmp_path, [preset("a"), preset("b")])
    worker = Worker(tmp_path)
    worker.look()
    ends(tmp_path, a, "paused")
    assert worker.look() and states(tmp_path) == ["paused", "waiting"], "nobody takes the GPU that was to be free"
    ends(tmp_path, a, "running", pid=os.getpid())  # continued in the Runs tab
    worker.look()
    assert states(tmp_path) == ["running", "waiting"]
    ends(tmp_path, a, "paused")
    worker.look()
    waiting.change(tmp_path, lambda queue: EDITS["retry"](queue, a.id))
    worker.look()
    assert states(tmp_path) == ["running", "waiting"] and launched == [launched[0]] * 2
    ends(tmp_path, a, "paused")
    worker.look()
    waiting.change(tmp_path, lambda queue: EDITS["remove"](queue, a.id))
    worker.look()
    assert states(tmp_path) == ["removed", "running"] and waiting.read(tmp_path).find(b.id).run == launched[-1]


def test_a_run_that_was_discarded_begins_anew(tmp_path: Path, launched: list[str]) -> None:
    [entry] = waiting.add(tmp_path, [preset("a")])
    worker = Worker(tmp_path)
    worker.look()
    ends(tmp_path, entry, "stopped", jobs.DISCARDED)
    worker.look()
    waiting.change(tmp_path, lambda queue: EDITS["retry"](queue, entry.id))
    worker.look()
    assert states(tmp_path) == ["running"] and len(set(launched)) == 2


def crashing(monkeypatch: pytest.MonkeyPatch, at: int, before: bool) -> Callable[[], bool]:  # whether it came to that
    """The computer goes off at the write number `at`, before or after it is done."""
    count, whole = [0], rundir.write_whole

    def write(*args: Any, **options: Any) -> None:
        count[0] += 1
        if before and count[0] == at:
            raise Crash
        whole(*args, **options)
        if count[0] == at:
            raise Crash

    for module in (rundir, waiting, jobs, continuing, worker):
        monkeypatch.setattr(module, "write_whole", write)
    return lambda: count[0] >= at


def _until_done(runs: Path) -> None:
    """Worker after worker, each ending whatever runs; what had been young for two minutes is so no more."""
    for _ in range(12):
        worker = Worker(runs)
        if not worker.look():
            return
        for run in find_runs(runs):
            state = run.read_state()
            if state.state == "running":
                run.update_state(state="done", exit_code=0, pid=2**22 - 5)
            elif state.state == "starting":
                run.update_state(created=time.time() - 300, started=time.time() - 300)
    raise AssertionError(f"it does not come to an end: {waiting.read(runs)}")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The images are looked at once, not at each of a hundred starts."""
    known: dict[str, Any] = {}
    real = worker.examine

    def examine(preset: Preset, **options: Any) -> Any:
        name = str(preset.saving.name)
        known[name] = known.get(name) or real(preset, **options)
        return known[name]

    monkeypatch.setattr(worker, "examine", examine)
    yield


@pytest.mark.parametrize("before", [True, False])
def test_the_worker_may_die_at_any_write(tmp_path: Path, launched: list[str], quick: None, before: bool) -> None:
    """Nothing is lost, nothing is trained twice, no folder is left over, at whichever write it ends."""
    reached, at = True, 0
    two = [preset("a"), preset("b")]
    while reached:
        at += 1
        runs = tmp_path / str(at)
        waiting.add(runs, two)
        launched.clear()
        with pytest.MonkeyPatch.context() as patch:
            crashed = crashing(patch, at, before)
            try:
                worker = Worker(runs)
                worker.look()
                for run in find_runs(runs):
                    run.update_state(state="done", exit_code=0, pid=2**22 - 5)
                while worker.look():
                    for run in find_runs(runs):
                        run.update_state(state="done", exit_code=0, pid=2**22 - 5)
            except Crash:
                pass
            reached = crashed()
        _until_done(runs)
        assert states(runs) == ["done", "done"], at
        assert len(find_runs(runs)) == 2, f"one folder a run, write {at}"
        assert [launched.count(run.id) for run in find_runs(runs)] == [1, 1], f"trained once each, write {at}"
    assert at > 12, "it writes more often than that"


def test_a_queue_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    with pytest.raises(Problems, match="cannot be written"):
        waiting.add(file / "runs", [preset("a")])
