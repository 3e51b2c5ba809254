"""What tests of whole runs look at, and how they start `launch.py` as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    "optimizer.learning_rate": 3e-3,
    "sampling.every": "never",
    "sampling.at_start": False,
    "sampling.steps": 2,
    "precision.save": "float",
    "hardware.gpus": "cpu",
    "hardware.threads": 1,
    "logging.tensorboard": False,
}
"""What makes the demo preset small; the saved file keeps every bit."""


def trained(runs: Path, preset: Preset, before: Callable[[RunDir], None] | None = None) -> RunDir:
    """A whole run in this process. `before`: something done to its folder before the trainer sees it."""
    from gui import jobs
    from trainer.__main__ import main

    run = RunDir.create(runs, "test")
    write_whole(run.preset, presets.dumps(jobs.resolve(preset)))
    if before:
        before(run)
    main(["trainer", str(run.path)])
    return run


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
