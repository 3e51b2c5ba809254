"""`--queue ... --engine sd-scripts`: what that trainer cannot do is told of all files before one is added."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import sd_scripts_stand_in

from gui import jobs
from gui.queue import follow, waiting
from trainer import commandline
from trainer.contract import preset as presets
from trainer.contract.machine import ENVIRONMENT

DEMO = presets.load(jobs.ROOT / "presets" / "demo.toml")
FITTING = {"sampling.every": "never", "saving.every": "1 epoch", "validation.split": "off", "network.conv_rank": 0}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs folder whose queue is held, so that nothing is started; the machine file names an sd-scripts."""
    monkeypatch.setenv(ENVIRONMENT, str(sd_scripts_stand_in.machine_file(tmp_path)))
    waiting.change(tmp_path / "runs", lambda queue: waiting.switch(queue, on=False))
    return tmp_path / "runs"


def write(folder: Path, name: str, **changes: object) -> str:
    folder.mkdir(exist_ok=True)
    file, values = folder / f"{name}.toml", {**FITTING, "saving.name": name, **changes}
    file.write_text(presets.dumps(presets.with_values(DEMO, values)), encoding="utf-8")
    return str(file)


def queue(runs: Path, *words: str) -> int:
    return follow.main(commandline.parse(["--queue", *words, "--engine", "sd-scripts", "--runs", str(runs)]))


def test_all_are_added_for_the_other_trainer_or_none(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "several"
    fits = write(folder, "fits")
    write(folder, "asks", **{"sampling.every": "8 steps", "saving.every": "30 minutes"})
    assert queue(runs, str(folder)) == 2 and not waiting.read(runs).entries
    said = capsys.readouterr().err
    assert "  asks.toml: saving.every: " in said and "fits.toml" not in said
    assert said.rstrip().splitlines()[-1].startswith("  --leave-out: goes on without these")
    worse = write(tmp_path, "worse", **{"saving.every": "30 minutes", "dataset.rotate": 5})
    assert queue(runs, fits, worse, "--leave-out") == 2 and not waiting.read(runs).entries
    said = capsys.readouterr().err
    assert (
        "  worse.toml: dataset.rotate: sd-scripts turns no images - set it to 0\n" in said and "--leave-out" not in said
    )
    assert queue(runs, str(folder), "--leave-out") == 130  # the queue is held
    asks, fitting = waiting.read(runs).entries
    assert (asks.name, asks.engine, fitting.name, fitting.engine) == ("asks", "sd-scripts", "fits", "sd-scripts")
    assert str(presets.load(waiting.preset_file(runs, asks)).saving.every) == "500 steps"
    assert "[1/2] asks: waiting, first device, trained by sd-scripts" in capsys.readouterr().out


def test_what_is_missing_of_the_other_trainer_is_told_once(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "none.toml"))
    bad = write(tmp_path, "bad", **{"model.path": "/no/such/model"})
    assert queue(runs, write(tmp_path, "a"), write(tmp_path, "b"), bad) == 2 and not waiting.read(runs).entries
    said = capsys.readouterr().err
    assert said.count("this computer's settings name no sd-scripts") == 1 and "bad.toml: model.path" in said
