"""Nothing that was written is ever lost: full disks, deleted folders, processes killed at any instant."""

from __future__ import annotations

import errno
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faulty_disk import FaultyDisk, Killed
from whole_runs import assert_no_half_files, of_kind, same_bits, tensors

from trainer.contract import checkpoints
from trainer.contract import preset as presets
from trainer.contract.events import Event, Finished, Noted, Resumed, Saved, StepDone, Validated, Warned, read
from trainer.contract.rundir import RunDir, write_whole
from trainer.contract.settings import Preset
from trainer.saving import keep

Train = Callable[..., RunDir]
Hook = Callable[[int, Callable[[], None]], None]
CHANGES: dict[str, Any] = {
    "training.length": "8 steps",
    "saving.state_every": "3 steps",
    "saving.every": "2 steps",
    "validation.split": "2 images",
    "validation.every": "4 steps",
    "validation.timesteps": 2,
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No waiting between two tries; a home of the test's own."""
    for name in ("RETRY_S", "LOOK_S"):
        monkeypatch.setattr(keep, name, 0.0)
    monkeypatch.setattr(keep.Writer, "CHECK_S", 0.0)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, small: Callable[..., Preset]) -> Iterator[RunDir]:
    """The run that was left alone."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    folder = made(tmp_path_factory.mktemp("whole"), small)
    train(folder)
    yield folder
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Hook:
    """`at_step(3, do)`: something happens to the disk right after the event of step 3."""
    from trainer.sinks.fan import Fan

    wanted: dict[int, Callable[[], None]] = {}
    before = Fan.__call__

    def heard(fan: Fan, event: Event) -> None:
        before(fan, event)
        if isinstance(event, StepDone) and event.step in wanted:
            wanted.pop(event.step)()

    monkeypatch.setattr(Fan, "__call__", heard)
    return lambda step, do: wanted.update({step: do})


@pytest.fixture
def run(tmp_path: Path, small: Callable[..., Preset], whole: RunDir) -> Iterator[RunDir]:
    """A run folder that is ready to be trained."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield made(tmp_path / "runs", small)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def made(runs: Path, small: Callable[..., Preset]) -> RunDir:
    from gui import jobs

    folder = RunDir.create(runs, "durable")
    write_whole(folder.preset, presets.dumps(jobs.resolve(small(CHANGES))))
    return folder


def train(run: RunDir) -> int:
    from trainer.__main__ import main

    return main(["trainer", str(run.path)])


def figures(run: RunDir) -> list[Event]:
    """What steps and checks measured; clocks left out."""
    events = [event for event in read(run.events) if isinstance(event, (StepDone, Validated))]
    return [replace(event, time=0.0, seconds=0.0) for event in events]


def assert_nothing_lost(run: RunDir, whole: RunDir) -> None:
    """Adapter, figures and their order are those of the run that was left alone, and all is in its place."""
    assert run.read_state().exit_code == 0, run.read_state().cause
    assert same_bits(run, whole) and figures(run) == figures(whole)
    saved = sorted((event.file, event.step) for event in of_kind(run, Saved))
    assert saved == sorted((event.file, event.step) for event in of_kind(whole, Saved))
    assert_no_half_files(run)
    assert not list(run.path.rglob(".*")), "something was left behind"
    found = checkpoints.newest(run)
    assert found is not None and found.step == 8
    assert read(run.events)[-1].kind == "finished"
    ours, theirs = run.read_state(), whole.read_state()
    assert (ours.adapter, ours.step, ours.total_steps) == (theirs.adapter, theirs.step, theirs.total_steps)


def told(run: RunDir, kind: type[Event] = Warned) -> list[str]:
    return [event.text for event in of_kind(run, kind) if "written" in event.text]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.ESTALE])
def test_a_disk_that_is_ill_for_a_while(
    run: RunDir, whole: RunDir, at_step: Hook, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    disk = FaultyDisk(run.path, monkeypatch)
    at_step(2, lambda: setattr(disk, "error", number))
    at_step(7, lambda: setattr(disk, "error", 0))
    assert train(run) == 0
    assert_nothing_lost(run, whole)
    files = {text.partition(" cannot be written")[0] for text in told(run)}
    assert {"events.jsonl", "the full state", "zorb-step00000002.safetensors"} <= files
    assert len(told(run)) == len(files), "each is told once"
    assert len(told(run, Noted)) == 1 and "nothing was lost" in told(run, Noted)[0]


def test_a_full_disk_is_told_while_it_is_full(
    run: RunDir, at_step: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reserve makes room for the words."""
    seen: list[list[str]] = []
    disk = FaultyDisk(run.path, monkeypatch)

    def full() -> None:
        disk.error = errno.ENOSPC

    def freed(path: Path, *_: object, real: Callable[..., None] = keep.os.unlink) -> None:
        real(path)
        if Path(path).name == ".reserve":
            disk.error = 0

    at_step(2, full)
    at_step(3, lambda: seen.append(told(run)))
    monkeypatch.setattr(keep.os, "unlink", freed)
    assert train(run) == 0
    assert seen and "the disk is full" in seen[0][0]
    assert "cannot be written: the disk is full" in capsys.readouterr().out


def test_a_folder_deleted_while_the_run_is_at_work(run: RunDir, whole: RunDir, at_step: Hook) -> None:
    at_step(5, lambda: shutil.rmtree(run.path))
    assert train(run) == 0
    assert run.read_state().exit_code == 0
    assert same_bits(run, whole) and figures(run) == figures(whole)
    assert [event.kind for event in read(run.events)[-1:]] == ["finished"]
    assert any("were deleted" in text for text in told(run))
    assert run.preset.read_bytes() == whole.preset.read_bytes().replace(bytes(whole.path), bytes(run.path))
    assert (run.path / "split.json").read_bytes() == (whole.path / "split.json").read_bytes()
    assert checkpoints.newest(run).step == 8


def test_a_state_follows_at_once_where_those_before_were_deleted(run: RunDir, at_step: Hook) -> None:
    states: list[Any] = []
    at_step(4, lambda: shutil.rmtree(run.path))
    at_step(6, lambda: states.append(checkpoints.newest(run)))
    train(run)
    assert states[0] is not None and states[0].step in (4, 5)


def test_what_cannot_be_written_to_the_end_is_kept_elsewhere(
    run: RunDir, whole: RunDir, at_step: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run waits, and whoever does not want to wait finds a folder from which it can go on."""
    disk = FaultyDisk(run.path, monkeypatch)
    at_step(4, lambda: setattr(disk, "error", errno.EROFS))
    monkeypatch.setattr(keep, "PATIENCE_S", 0.1)
    assert train(run) == 0
    assert "make room or rights" in capsys.readouterr().out
    copy = RunDir(tmp := Path(keep.Path.home()) / "loratory-rescued" / run.id)
    assert tmp.is_dir() and str(tmp) in copy.read_state().cause
    assert same_bits(copy, whole) and figures(copy) == figures(whole)
    assert (copy.read_state().adapter, copy.read_state().step) == ("zorb.safetensors", 8)
    found = checkpoints.newest(copy)
    assert found is not None and found.step == 8
    assert not (run.path / "zorb.safetensors").exists()


def test_waiting_ends_when_there_is_room(
    run: RunDir, whole: RunDir, at_step: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, real = FaultyDisk(run.path, monkeypatch), keep.time.sleep
    at_step(8, lambda: setattr(disk, "error", errno.ENOSPC))

    def room(seconds: float) -> None:
        disk.error = 0
        real(0.01)

    monkeypatch.setattr(keep.time, "sleep", room)
    assert train(run) == 0
    assert_nothing_lost(run, whole)
    assert not (keep.Path.home() / "loratory-rescued" / run.id).exists()


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_loaded(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FaultyDisk(run.path, monkeypatch).error = errno.EROFS
    monkeypatch.setattr("trainer.run.train", lambda *_: pytest.fail("it went on"))
    assert train(run) == 2
    assert "cannot be used" in capsys.readouterr().err
    assert read(run.events) == []


def test_killed_at_any_instant(
    run: RunDir, whole: RunDir, small: Callable[..., Preset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends in the middle of a change of the disk, by half, up to three times in one run."""
    with monkeypatch.context() as patch:
        disk = FaultyDisk(run.path, patch)
        train(run)
        changes = disk.changes
    assert changes > 60
    rng = random.Random(4)
    for number in range(5):
        killed = made(tmp_path / f"killed{number}", small)
        done = []
        for kill_at in [*rng.choices(range(1, changes), k=rng.randint(1, 3)), 10**9]:
            with monkeypatch.context() as patch:
                FaultyDisk(killed.path, patch).kill_at = kill_at
                try:
                    train(killed)
                    break
                except Killed:
                    newest = checkpoints.newest(killed)
                    done.append(newest.step if newest else 0)
        assert_nothing_lost(killed, whole)
        assert {event.step for event in of_kind(killed, Resumed)} <= set(done)
        assert len(of_kind(killed, Finished)) == 1
        assert tensors(killed).keys() == tensors(whole).keys()
