"""Runs go to the trash and come back; those at work do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gui.runs import trash
from gui.runs.watch import Watcher
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir, process_start


def test_there_and_back(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "badge")
    run.update_state(state="done")
    (run.path / "badge.safetensors").write_bytes(b"x" * 1000)
    name = trash.throw_away(run)
    assert not run.path.exists() and Watcher(tmp_path).rows() == [] and Watcher(tmp_path).run(name) is None
    assert trash.bytes_of(trash.thrown(tmp_path)) >= 1000
    back = trash.put_back(tmp_path, name)
    assert back.path == run.path and (run.path / "badge.safetensors").stat().st_size == 1000
    assert trash.thrown(tmp_path) == []


def test_what_is_at_work_stays(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "badge")
    run.update_state(state="running", pid=os.getpid(), process_started=process_start(os.getpid()))
    with pytest.raises(Problems, match="is at work"):
        trash.throw_away(run)
    assert run.path.is_dir()


@pytest.mark.parametrize("name", ["", "..", "../badge", "none"])
def test_only_what_is_in_the_trash_comes_back(tmp_path: Path, name: str) -> None:
    RunDir.create(tmp_path, "badge")
    with pytest.raises(Problems, match="no longer in the trash"):
        trash.put_back(tmp_path, name)


def test_two_of_one_name_and_emptying(tmp_path: Path) -> None:
    for _ in range(2):
        run = RunDir(tmp_path / "same")
        run.path.mkdir()
        run.state_file.write_text("{}")
        trash.throw_away(run)
    assert sorted(path.name for path in trash.thrown(tmp_path)) == ["same", "same-2"]
    assert trash.empty(tmp_path) == 2 and trash.thrown(tmp_path) == []
