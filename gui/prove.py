"""`launch.py --prove-resume`: exact resume, shown on the user's own machine, with the user's own model and images.

A short version of the preset is trained twice: left alone, and paused in the middle of it and resumed by a new process.
Both adapters are then compared value by value, and the figures of every step beside them.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.contract import preset as presets
from trainer.contract.events import StepDone, read
from trainer.contract.rundir import EXIT_CRASHED, EXIT_DONE, EXIT_STOPPED, RunDir
from trainer.contract.settings import Preset
from trainer.plan.names import final_file

from . import jobs
from .console import tell
from .follow import POLL_S, QUIET_S

STEPS, PAUSED_AFTER = 8, 3

SHORT: Mapping[str, Any] = {
    "training.length": f"{STEPS} steps",
    "precision.save": "float",  # the file then holds every bit of what was trained
    "validation.every": "never",
    "validation.each_step": False,
    "validation.stop": "report only",
    "sampling.every": "never",
    "sampling.at_start": False,
    "saving.every": "never",
    "logging.tensorboard": False,
    "logging.wandb": False,
}
"""What makes a preset short. Nothing of it changes how a step is computed."""


@dataclass(frozen=True)
class Difference:
    """Between two files or lists of figures: how many values there are, how many differ, by how much at most and where.
    `where`: "" for none."""

    values: int
    unequal: int = 0
    largest: float = 0.0
    where: str = ""

    @property
    def text(self) -> str:
        """For people."""
        if not self.unequal:
            return f"{self.values:,} values, all equal in every bit"
        return f"{self.unequal:,} of {self.values:,} values differ, by {self.largest:.3g} at most ({self.where})"


def prove(preset: Preset, runs: Path | None) -> int:
    """Train twice, compare, say what came out; 0 where everything is equal, else 1. `preset`: a checked one."""
    short, name = presets.with_values(preset, SHORT), str(preset.saving.name)
    tell(f"{STEPS} steps are trained twice: left alone, and paused after step {PAUSED_AFTER} and resumed.")
    whole = jobs.start(short, f"prove-{name}-whole", runs)
    code = _wait(whole, "left alone", "done")
    if code is not None:
        return code
    resumed = jobs.start(short, f"prove-{name}-resumed", runs, asked={"pause": str(PAUSED_AFTER)})
    code = _wait(resumed, "to be paused", "paused")
    if code is not None:
        return code
    first, step = resumed.read_state().pid, jobs.resume(resumed)
    code = _wait(resumed, f"going on after step {step}", "done")
    if code is not None:
        return code
    tell(f"Paused after step {step}; another process went on ({first}, then {resumed.read_state().pid}).")
    return judge(whole, resumed)


def _wait(run: RunDir, what: str, state: str) -> int | None:
    """Until the run has come to that state; the exit code where it came to another one. Ctrl-C ends it at once."""
    tell(f"  {what}: {run.path}")
    last_life = time.monotonic()
    try:
        while run.read_state().exit_code is None and time.monotonic() - last_life < QUIET_S:
            last_life = time.monotonic() if jobs.alive(run) else last_life
            time.sleep(POLL_S)
        while jobs.alive(run):
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        jobs.kill(run)
        return EXIT_STOPPED
    now = run.current_state()
    if now.state == state:
        return None
    tell(f"{run.id} is {now.state}: {now.cause}. The whole story is in {run.console}", sys.stderr)
    return now.exit_code or EXIT_CRASHED


def judge(whole: RunDir, resumed: RunDir) -> int:
    """What the comparison says, and the exit code."""
    paths = [run.path / final_file(str(presets.load(run.preset).saving.name)) for run in (whole, resumed)]
    adapters = compare(tensors(paths[0]), tensors(paths[1]))
    figures = compare(_figures(whole), _figures(resumed))
    state = whole.read_state()
    tell(f"LoRA: {adapters.text}.\nLoss, learning rate and gradient norm of each step: {figures.text}.")
    where = f"{state.device}, {state.threads} CPU threads, torch {state.versions.get('torch', '?')}"
    if adapters.unequal or figures.unequal:
        tell(f"Not bit-equal on this machine ({where}): some operation here gives other last bits each time.")
        return EXIT_CRASHED
    tell(f"Bit-equal: a run of this preset that is interrupted and resumed loses nothing on this machine ({where}).")
    return EXIT_DONE


def compare(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> Difference:
    """Two sets of arrays, by their bits. A name or shape that only one has counts as infinitely far."""
    values = sum(array.size for array in first.values())
    unequal, largest, where = 0, 0.0, ""
    for name in {**first, **second}:
        a, b = first.get(name), second.get(name)
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            return Difference(values, values, math.inf, name)
        other = a.view(f"u{a.itemsize}") != b.view(f"u{b.itemsize}")
        unequal += int(other.sum())
        if other.any():
            by = float(np.nanmax(np.abs(_wide(a) - _wide(b))[other]))
            largest, where = (by, name) if not where or by > largest else (largest, where)
    return Difference(values, unequal, largest, where)


def _wide(array: np.ndarray) -> np.ndarray:
    """As float64; 16-bit integers hold the bits of bfloat16, the upper half of a float32."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return array.astype(np.float64)


TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of an adapter file, without torch; those in bfloat16, which numpy lacks, as 16-bit integers."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8:start])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            found[name] = np.frombuffer(data[start + begin : start + end], TYPES[entry["dtype"]]).reshape(
                entry["shape"]
            )
    return found


def _figures(run: RunDir) -> dict[str, np.ndarray]:
    """What every step measured, by name; the clock left out."""
    steps = [event for event in read(run.events) if isinstance(event, StepDone)]
    rows = {
        "step": [event.step for event in steps],
        "epoch": [event.epoch for event in steps],
        "loss": [event.loss for event in steps],
        "gradient norm": [event.grad_norm for event in steps],
        **{
            f"learning rate of {group}": [event.learning_rate[group] for event in steps]
            for group in (steps[0].learning_rate if steps else {})
        },
    }
    return {name: np.array(row, dtype=np.float64) for name, row in rows.items()}
