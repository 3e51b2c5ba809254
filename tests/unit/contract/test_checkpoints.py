"""Where a run can go on from, and what becomes of the events after that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from trainer.contract import checkpoints
from trainer.contract.events import Noted, Writer, read
from trainer.contract.rundir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "events")


def state(run: RunDir, step: int, events_bytes: int) -> None:
    run.checkpoints.mkdir(exist_ok=True)
    facts = json.dumps({"format": 1, "step": step, "events_bytes": events_bytes})
    save_file({"x": torch.zeros(4)}, checkpoints.path_of(run, step), {checkpoints.FACTS: facts})


def test_events_after_the_state_are_moved_once(run: RunDir) -> None:
    run.events.write_bytes(b"one\ntwo\nthree\nunfinis")
    state(run, 2, 8)
    assert checkpoints.rewind(run) == checkpoints.rewind(run) == 2
    assert run.events.read_bytes() == b"one\ntwo\n"
    assert (run.path / "events.lost.jsonl").read_bytes() == b"three\nunfinis\n"
    run.events.write_bytes(b"one\ntwo\nagain\n")
    checkpoints.rewind(run)
    assert (run.path / "events.lost.jsonl").read_bytes() == b"three\nunfinis\nagain\n"


def test_without_a_state_all_events_are_moved(run: RunDir) -> None:
    assert checkpoints.rewind(run) == 0 and not run.events.exists()
    run.events.write_bytes(b"one\n")
    assert checkpoints.rewind(run) == 0
    assert run.events.read_bytes() == b"" and (run.path / "events.lost.jsonl").read_bytes() == b"one\n"


def test_the_latest_step_counts_not_the_latest_file(run: RunDir) -> None:
    state(run, 100, 5)
    state(run, 20, 3)
    found = checkpoints.newest(run)
    assert found is not None and (found.step, found.events_bytes) == (100, 5)


def test_events_that_a_power_cut_took_leave_their_place_empty(run: RunDir) -> None:
    run.events.write_bytes(b'{"kind":"noted","text":"a"}\n{"kind":"no')
    state(run, 2, 60)
    assert checkpoints.rewind(run) == checkpoints.rewind(run) == 2
    assert run.events.stat().st_size == 60
    writer = Writer(run.events)
    writer.write(Noted(text="b"))
    writer.close()
    assert [event.text for event in read(run.events) if isinstance(event, Noted)] == ["a", "b"]
    state(run, 3, 10**15)
    checkpoints.rewind(run)
    assert run.events.stat().st_size < 200
