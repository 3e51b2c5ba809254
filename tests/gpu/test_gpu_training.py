"""Whole runs on a real GPU: loss scaling, half precisions, equal bits. Skipped where there is none."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from gui import jobs
from trainer.__main__ import main
from trainer.contract import preset as presets
from trainer.contract.events import StepDone, read
from trainer.contract.rundir import RunDir, write_whole

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

DEMO = Path(__file__).resolve().parents[2] / "presets" / "demo.toml"
SMALL = {
    "training.length": "20 steps",
    "sampling.every": "never",
    "sampling.at_start": False,
    "precision.save": "float",
    "logging.tensorboard": False,
}
Train = Callable[..., RunDir]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    machine = tmp_path / "machine.toml"
    machine.write_text(f"runs = '{tmp_path / 'runs'}'\ncache = '{tmp_path / 'cache'}'\n", encoding="utf-8")
    monkeypatch.setenv("LORATORY_MACHINE", str(machine))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(changes: dict[str, Any] | None = None) -> RunDir:
        preset = jobs.resolve(presets.with_values(presets.load(DEMO), {**SMALL, **(changes or {})}))
        folder = RunDir.create(tmp_path / "runs", "gpu")
        write_whole(folder.preset, presets.dumps(preset))
        main(["trainer", str(folder.path)])
        assert folder.read_state().exit_code == 0, folder.read_state().cause
        return folder

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def losses(run: RunDir) -> list[float]:
    return [event.loss for event in read(run.events) if isinstance(event, StepDone)]


def test_the_first_gpu_is_taken(train: Train) -> None:
    assert train().read_state().device == torch.cuda.get_device_name(0)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precisions_learn_what_float_learns(train: Train, precision: str) -> None:
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU has no bf16")
    assert losses(train({"precision.compute": precision})) == pytest.approx(losses(train()), rel=0.1)


@pytest.mark.parametrize("precision", ["float", "fp16"])
def test_equal_runs_give_equal_bits(train: Train, precision: str) -> None:
    first, second = (train({"precision.compute": precision}) for _ in range(2))
    assert losses(first) == losses(second)
    a, b = (load_file(run.path / "zorb.safetensors") for run in (first, second))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_the_gpu_learns_what_the_cpu_learns(train: Train) -> None:
    assert losses(train({"hardware.gpus": "cpu"})) == pytest.approx(losses(train()), rel=0.01)
