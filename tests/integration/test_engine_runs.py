"""Another trainer, played by a stand-in that prints what the real one printed, as a run of ours: real launches of
`launch.py`, of accelerate and of our runner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import sd_scripts_stand_in
from whole_runs import DEMO, ROOT, of_kind, wait_until

from trainer.contract.events import Failed, Finished, Noted, RunStarted, Sampled, Saved, StepDone
from trainer.contract.machine import ENVIRONMENT
from trainer.contract.rundir import RunDir, find_runs

PLAIN = (
    "dataset.resolution=128", "captions.dropout=0", "network.conv_rank=0", "training.length=2 epochs",
    "saving.every=1 epoch", "saving.state_every=never", "sampling.every=8 steps", "hardware.gpus=cpu",
    "hardware.threads=1", "hardware.keep_awake=false", "precision.compute=float", "training.accumulate=2",
    "training.batch_size=2",
)  # fmt: skip


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {ENVIRONMENT: str(sd_scripts_stand_in.machine_file(tmp_path))}


def begin(folder: Path, environ: dict[str, str], name: str, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, str(ROOT / "launch.py"), "--preset", str(DEMO), "--engine", "sd-scripts", "--leave-out"]
    argv += [f"--name={name}", "--runs", str(folder / "runs"), "--set", *PLAIN, *words]
    return subprocess.Popen(
        argv,
        cwd=folder,
        env={**os.environ, "LORATORY_BOOTSTRAPPED": "1", "PYTHONUTF8": "1", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def the_run(folder: Path) -> RunDir:
    [run] = find_runs(folder / "runs")
    return run


def test_a_run_of_the_other_trainer_is_a_run_like_any_other(tmp_path: Path, environ: dict[str, str]) -> None:
    process = begin(tmp_path, environ, "zorb")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    run = the_run(tmp_path)
    state = run.read_state()
    assert (state.state, state.engine, state.step, state.total_steps) == ("done", "sd-scripts", 8, 8), said
    assert state.adapter == "zorb.safetensors" and state.versions == {"sd-scripts": "v0.10.1"}
    [started] = of_kind(run, RunStarted)
    assert (started.total_steps, started.steps_per_epoch, started.images, started.device) == (8, 4, 16, "cpu")
    steps = of_kind(run, StepDone)
    assert [event.step for event in steps] == list(range(1, 9))
    assert steps[0].loss == pytest.approx((0.0046335808 + 0.0549468472) / 2)
    assert steps[0].learning_rate == pytest.approx({"unet": 1e-3, "text_encoder": 1e-3})
    assert [event.file for event in of_kind(run, Saved)] == ["zorb-000001.safetensors", "zorb.safetensors"]
    assert [event.step for event in of_kind(run, Sampled)] == [0, 8]
    assert all((run.path / file).is_file() for event in of_kind(run, Sampled) for file in event.files)
    assert of_kind(run, Finished)[0].how == "done" and run.report.is_file()
    assert "sd-scripts v0.10.1" in of_kind(run, Noted)[0].text
    assert "LoRA: " in said and "\x1b" not in said


def test_an_error_of_the_other_trainer_is_the_cause(tmp_path: Path, environ: dict[str, str]) -> None:
    process = begin(tmp_path, environ, "fails")
    said, _ = process.communicate(timeout=120)
    run = the_run(tmp_path)
    assert process.returncode == 1 and "RuntimeError: the stand-in fails on purpose" in said
    assert run.read_state().cause == of_kind(run, Failed)[0].cause == "RuntimeError: the stand-in fails on purpose"


def test_a_stop_ends_every_process_and_keeps_what_was_saved(tmp_path: Path, environ: dict[str, str]) -> None:
    process = begin(tmp_path, environ, "slow")
    run = wait_until(lambda: next(iter(find_runs(tmp_path / "runs")), None))
    wait_until(lambda: of_kind(run, StepDone)[-1:] and of_kind(run, Saved))
    family = psutil.Process(run.read_state().pid).children(recursive=True)
    assert family
    done: Any = subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), "--stop", "latest", "--runs", str(tmp_path / "runs")],
        env={**os.environ, "LORATORY_BOOTSTRAPPED": "1", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "what it has saved stays" in done.stdout, done.stderr
    said, _ = process.communicate(timeout=60)
    state = run.read_state()
    assert process.returncode == 130 and (state.state, state.adapter) == ("stopped", "slow-000001.safetensors"), said
    assert "slow-000001.safetensors (the last that sd-scripts saved)" in said
    assert not psutil.wait_procs(family, timeout=10)[1]
    again = begin(tmp_path, environ, "slow", "--check")
    assert again.communicate(timeout=60) and again.returncode == 2
