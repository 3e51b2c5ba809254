"""Whole runs on the demo model, small enough for a test each: 64 px, a few steps, one thread."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trainer.contract import events
from trainer.contract import preset as presets
from trainer.contract.rundir import RunDir, write_whole
from trainer.contract.settings import Preset

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "presets" / "demo.toml"

SMALL = {
    "dataset.resolution": 64,
    "dataset.bucket_min": 64,
    "dataset.bucket_max": 64,
    "captions.dropout": 0.0,
    "training.length": "3 steps",
    "training.batch_size": 2,
    "network.rank": 4,
    "network.conv_rank": 0,
    "sampling.every": "never",
    "sampling.at_start": False,
    "sampling.steps": 2,
    "precision.save": "float",
    "hardware.gpus": "cpu",
    "hardware.threads": 1,
    "logging.tensorboard": False,
}
"""What makes the demo preset small; the saved file keeps every bit."""


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs and caches of the tests, away from the user's."""
    folder = tmp_path_factory.mktemp("machine")
    file = folder / "machine.toml"
    file.write_text(f"runs = '{folder / 'runs'}'\ncache = '{folder / 'cache'}'\n", encoding="utf-8")
    before = {name: os.environ.get(name) for name in ("LORATORY_MACHINE", "OMP_NUM_THREADS")}
    os.environ.update({"LORATORY_MACHINE": str(file), "OMP_NUM_THREADS": "1"})
    yield folder
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def small() -> Callable[..., Preset]:
    """`small(**{"network.rank": 8})`: the small demo preset with changes."""
    demo = presets.load(DEMO)

    def make(changes: dict[str, Any] | None = None) -> Preset:
        return presets.with_values(demo, {**SMALL, **(changes or {})})

    return make


@pytest.fixture
def train_here(tmp_path: Path, small: Callable[..., Preset]) -> Iterator[Callable[..., RunDir]]:
    """`train_here({...})`: a whole run in this process; the run folder is what a launched trainer leaves."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run(changes: dict[str, Any] | None = None, before: Callable[[RunDir], None] | None = None) -> RunDir:
        from gui import jobs
        from trainer.__main__ import main

        preset = jobs.resolve(small(changes))
        folder = RunDir.create(tmp_path / "runs", "test")
        write_whole(folder.preset, presets.dumps(preset))
        if before:
            before(folder)
        main(["trainer", str(folder.path)])
        return folder

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def tensors(run: RunDir, name: str = "zorb.safetensors") -> dict[str, Any]:
    """The adapter's tensors."""
    from safetensors.torch import load_file

    return load_file(run.path / name)


def same_bits(first: RunDir, second: RunDir) -> bool:
    """Whether the final adapters agree in every bit."""
    a, b = tensors(first), tensors(second)
    return a.keys() == b.keys() and all(bool((a[key] == b[key]).all()) for key in a)


def largest_difference(first: RunDir, second: RunDir) -> float:
    """Of any value, relative to the largest value of the first adapter's trained "up" matrices."""
    a, b = tensors(first), tensors(second)
    assert a.keys() == b.keys()
    scale = max(float(value.abs().max()) for key, value in a.items() if "lora_up" in key)
    return max(float((a[key] - b[key]).abs().max()) for key in a) / scale


def of_kind(run: RunDir, kind: type[events.Event]) -> list[Any]:
    """The run's events of one kind, in order."""
    return [event for event in events.read(run.events) if isinstance(event, kind)]


def assert_no_half_files(run: RunDir) -> None:
    """Every JSON and safetensors file of a run folder can be read to its end; only whole event lines are there."""
    from safetensors import safe_open

    for path in run.path.rglob("*.safetensors"):
        if not path.name.startswith("."):
            with safe_open(path, "pt") as file:
                for key in file.keys():  # noqa: SIM118 - not a dict
                    file.get_tensor(key)
    json.loads(run.state_file.read_text(encoding="utf-8"))
    whole = run.events.read_bytes().split(b"\n")[:-1]
    assert all(events.from_line(line.decode()) is not None for line in whole)


def launch(*arguments: str, cwd: Path = ROOT) -> subprocess.Popen[str]:
    """`python launch.py …` as a user starts it, in the environment that runs the tests."""
    environ = {**os.environ, "LORATORY_BOOTSTRAPPED": "1", "PYTHONUTF8": "1"}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "launch.py"), *arguments],
        cwd=cwd,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def set_options(changes: dict[str, Any]) -> list[str]:
    """Changes as `--set` takes them."""
    shown = {True: "true", False: "false"}
    texts = [
        f"{path}={shown.get(value, value) if isinstance(value, bool) else value}" for path, value in changes.items()
    ]
    return ["--set", *texts]


def wait_until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    """The first truthy answer; AssertionError when the time is up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = true()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {true}")
