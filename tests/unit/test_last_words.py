"""Runs on several devices: what one process that fails leaves for the one that tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer import __main__ as trainer
from trainer.contract.problems import RunEnded
from trainer.contract.rundir import EXIT_CRASHED, RunDir
from trainer.report.causes import ANOTHER, cause_of


def test_the_cause_is_that_of_the_process_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir.create(tmp_path, "two")
    monkeypatch.setenv("RANK", "1")

    def train(*given: object) -> None:
        raise RunEnded("the device ran out of memory", ["lower the batch size"])

    monkeypatch.setattr("trainer.run.train", train)
    assert trainer._other_process(run) == EXIT_CRASHED
    gone = RunEnded(cause_of(RuntimeError("Connection closed by peer [127.0.0.1]")), ["After step 2: kept"])
    end = trainer.of_another(run, trainer.how_it_failed(gone))
    assert end.cause == "process 1: the device ran out of memory" and end.problems == ("After step 2: kept",)


def test_own_causes_stay(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "two")
    own, gone = trainer.End("failed", 1, "the disk is full"), trainer.End("failed", 1, ANOTHER)
    assert trainer.of_another(run, gone) == gone
    (run.control / trainer.LAST_WORD).write_text(f"process 1: {ANOTHER}", encoding="utf-8")
    assert trainer.of_another(run, own) == own and trainer.of_another(run, gone) == gone
