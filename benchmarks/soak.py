"""Kill and resume, at random: many runs of the demo, each ended by SIGKILL up to three times and gone on with.

    python -m benchmarks.soak [--runs 200] [--launched 10] [--seed 0] [--out benchmarks/results/soak.json]

Each run's adapter is compared in every bit, and its events of steps and checks in every figure, with the run of the
same preset that was left alone. Printed: runs, kills, steps lost beyond the last full state (should be 0), mismatches
(should be 0).

Most of a trainer's start is imports. So all runs but `--launched` are forked off this process, which has imported all
by then (POSIX only): real processes that really train, ended by a real signal. The launched ones are started, killed
and resumed through `gui.jobs`, as from the page.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from gui import jobs
from trainer.__main__ import main as train
from trainer.contract import checkpoints
from trainer.contract import preset as presets
from trainer.contract.events import Event, Resumed, Saved, StepDone, Validated, read
from trainer.contract.rundir import RunDir, write_whole
from trainer.contract.settings import Preset

ROOT = Path(__file__).resolve().parents[1]
STEPS = 24
SMALL: dict[str, Any] = {
    "dataset.resolution": 64,
    "dataset.bucket_min": 64,
    "dataset.bucket_max": 64,
    "training.length": f"{STEPS} steps",
    "training.batch_size": 1,
    "network.rank": 4,
    "network.conv_rank": 0,
    "sampling.every": "never",
    "sampling.at_start": False,
    "precision.save": "float",
    "hardware.gpus": "cpu",
    "hardware.threads": 1,
    "logging.tensorboard": False,
    "validation.split": "2 images",
    "validation.every": "never",
    "validation.timesteps": 1,
}
VARIANTS: tuple[dict[str, Any], ...] = (
    {"saving.state_every": "1 step"},
    {"saving.state_every": "5 steps", "saving.every": "3 steps", "saving.keep_last": 2},
    {"saving.state_every": "3 steps", "optimizer.name": "Prodigy", "optimizer.learning_rate": 1.0},
    {"saving.state_every": "2 steps", "optimizer.name": "AdamW8bit", "training.accumulate": 2},
    {"saving.state_every": "4 steps", "validation.every": "6 steps", "network.dropout": 0.1},
    {"saving.state_every": "7 steps", "sampling.every": "8 steps", "sampling.steps": 2, "sampling.at_start": True},
)
PATIENCE_S = 300.0


@dataclass
class Tally:
    """What came out. `in_start_up`: kills before the first new step. `repeated`: steps done a second time."""

    runs: int = 0
    launched: int = 0
    kills: int = 0
    in_start_up: int = 0
    repeated: int = 0
    lost: int = 0
    mismatches: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass
class Whole:
    """A run that was left alone, and how long it took."""

    run: RunDir
    seconds: float


def prepared(runs: Path, preset: Preset) -> RunDir:
    """A run folder that waits for its trainer."""
    run = RunDir.create(runs, "soak")
    write_whole(run.preset, presets.dumps(jobs.resolve(preset)))
    return run


def forked(run: RunDir) -> int:
    """Train in a child of this process, which has imported everything; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        log = os.open(run.console, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = train(["trainer", str(run.path)])
    finally:
        os._exit(code)


def ended(pid: int, within_s: float) -> bool:
    """Whether a child ends by itself within a time; else it is killed."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def over(run: RunDir, within_s: float) -> bool:
    """Whether a launched run ends by itself within a time; else it is killed."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if run.read_state().exit_code is not None and not jobs.alive(run):
            return True
        time.sleep(0.05)
    jobs.kill(run)
    return False


def last_step(run: RunDir) -> int:
    return max((event.step for event in read(run.events) if isinstance(event, StepDone)), default=0)


def figures(run: RunDir) -> list[Event]:
    """What steps and checks measured, and what was saved, each once; clocks left out."""
    kept = [event for event in read(run.events) if isinstance(event, (StepDone, Validated, Saved))]
    plain = [replace(event, time=0.0, seconds=0.0) for event in kept]
    return [replace(event, bytes=0) if isinstance(event, Saved) else event for event in plain]  # dates in the file


def same(run: RunDir, whole: RunDir) -> str:
    """What differs, "" where nothing does."""
    name = f"{presets.load(run.preset).saving.name}.safetensors"
    if run.read_state().exit_code != 0:
        return f"ended with {run.read_state().exit_code}: {run.read_state().cause}"
    a, b = load_file(run.path / name), load_file(whole.path / name)
    if a.keys() != b.keys() or not all(torch.equal(a[key], b[key]) for key in a):
        return "other bits in the adapter"
    ours, theirs = figures(run), figures(whole)
    if ours != theirs:
        return f"other events: {[(a, b) for a, b in zip(ours, theirs) if a != b][:1]}, {len(ours)} for {len(theirs)}"
    return "half-written files lie about" if list(run.path.rglob(".*.tmp")) else ""


def kept_every(run: RunDir) -> int:
    """Steps between two full states."""
    return int(presets.load(run.preset).saving.state_every.split()[0])


def after_kill(run: RunDir, began_after: int, tally: Tally) -> None:
    """Count what the kill cost. A state follows the event of its step, so the one of the last step may be missing."""
    tally.kills += 1
    done, found = last_step(run), checkpoints.newest(run)
    kept = found.step if found else 0
    due = max(0, done - 1) // kept_every(run) * kept_every(run)
    tally.in_start_up += done <= began_after
    tally.repeated += max(0, done - kept)
    if due > kept:
        tally.lost += due - kept
        tally.notes.append(f"{run.id}: step {done} done, state of {due} missing, newest {kept}")


def forked_run(run: RunDir, whole: Whole, kills: int, rng: random.Random, tally: Tally) -> None:
    """One run to its end, with up to so many kills on the way: at a moment between its start and the time that the
    quickest run of its kind took so far, or what is left of that."""
    left = kills
    while True:
        before, start = checkpoints.newest(run), time.monotonic()
        began_after = before.step if before else 0
        moment_s = rng.uniform(0, whole.seconds * (1 - began_after / STEPS / 2))
        if ended(forked(run), moment_s if left else PATIENCE_S):
            if not began_after:
                whole.seconds = min(whole.seconds, time.monotonic() - start)
            return
        if not left:
            tally.notes.append(f"{run.id}: hangs")
            return
        left -= 1
        after_kill(run, began_after, tally)


def launched_run(run: RunDir, preset: Preset, whole: Whole, kills: int, rng: random.Random, tally: Tally) -> None:
    """The same through the launcher, whose imports take longer: half of the kills come after the first steps."""
    chosen = jobs.devices(preset.hardware.gpus)
    jobs.launch(run, jobs.command(run, chosen, 1), jobs.environment(preset, chosen))
    for _ in range(kills):
        before = checkpoints.newest(run)
        began_after = before.step if before else 0
        if rng.random() < 0.5:
            until = time.monotonic() + 60
            while last_step(run) <= began_after and time.monotonic() < until:
                time.sleep(0.02)
            wait_s = rng.uniform(0, whole.seconds / 2)
        else:
            wait_s = rng.uniform(0, 10)
        if over(run, wait_s):
            return
        after_kill(run, began_after, tally)
        if jobs.resume(run) != (newest.step if (newest := checkpoints.newest(run)) else 0):
            tally.notes.append(f"{run.id}: goes on from another step than that of its newest state")
    over(run, PATIENCE_S)


def soak(runs: int, launched: int, seed: int, folder: Path) -> Tally:
    """All runs, one process at a time."""
    demo = presets.load(ROOT / "presets" / "demo.toml")
    kinds = [presets.with_values(demo, {**SMALL, **changes}) for changes in VARIANTS]
    train(["trainer", str(prepared(folder / "warm", kinds[0]).path)])  # everything imported, caches filled
    wholes, tally, rng, began = [], Tally(), random.Random(seed), time.monotonic()
    for preset in kinds:
        run, start = prepared(folder / "whole", preset), time.monotonic()
        if not ended(forked(run), PATIENCE_S) or run.read_state().exit_code != 0:
            raise RuntimeError(f"the run that is left alone failed: {run.read_state().cause}, see {run.console}")
        wholes.append(Whole(run, time.monotonic() - start))
    for number in range(runs):
        kind, kills = number % len(kinds), rng.randint(1, 3)
        kills_before = tally.kills
        while tally.kills == kills_before:  # one that ended before it could be killed says nothing
            run = prepared(folder / "runs", kinds[kind])
            if number < launched:
                launched_run(run, kinds[kind], wholes[kind], kills, rng, tally)
            else:
                forked_run(run, wholes[kind], kills, rng, tally)
        tally.runs, tally.launched = number + 1, min(number + 1, launched)
        if wrong := same(run, wholes[kind].run):
            tally.mismatches += 1
            tally.notes.append(f"{run.id} ({VARIANTS[kind]}): {wrong}")
        steps = [event.step for event in read(run.events) if isinstance(event, StepDone)]
        if steps != list(range(1, STEPS + 1)):
            tally.notes.append(
                f"{run.id}: steps {steps}, resumed {[e.step for e in read(run.events) if isinstance(e, Resumed)]}"
            )
        tally.seconds = time.monotonic() - began
        if (number + 1) % 10 == 0:
            print(line(tally), flush=True)
    return tally


def line(tally: Tally) -> str:
    """All figures in one line."""
    return (
        f"{tally.runs} runs ({tally.launched} through the launcher), {tally.kills} kills ({tally.in_start_up} before a "
        f"new step), {tally.repeated} steps repeated, {tally.lost} lost beyond the last state, "
        f"{tally.mismatches} mismatches, {tally.seconds:.0f} s"
    )


def main() -> int:
    """Print the figures; 1 where anything was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--launched", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        machine = Path(name) / "machine.toml"
        machine.write_text(f"runs = '{name}/runs'\ncache = '{name}/cache'\n", encoding="utf-8")
        os.environ.update({"LORATORY_MACHINE": str(machine), "OMP_NUM_THREADS": "1"})
        torch.set_num_threads(1)
        tally = soak(options.runs, options.launched, options.seed, Path(name))
    print(line(tally), *tally.notes, sep="\n")
    if options.out:
        where = {"date": date.today().isoformat(), "machine": machine_words(), "torch": torch.__version__}
        write_whole(options.out, json.dumps({**where, "seed": options.seed, **asdict(tally)}, indent=1) + "\n")
    return int(bool(tally.lost or tally.mismatches or tally.notes))


def machine_words() -> str:
    """The processor's kind, its cores, the system and how busy it was."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores{load}, {platform.system()}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    sys.exit(main())
