"""The queue with real processes: a failed run stops nothing, and what is killed goes on where it was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import stand_in
from whole_runs import DEMO, SMALL, of_kind, wait_until

from gui.queue import waiting, worker
from trainer.contract import preset as presets
from trainer.contract.events import Resumed, StepDone
from trainer.contract.rundir import RunDir, find_runs

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills by POSIX signals")


def write(folder: Path, name: str, **changes: object) -> Path:
    values = {**SMALL, "saving.name": name, "saving.state_every": "never", "hardware.keep_awake": False, **changes}
    path = folder / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(presets.dumps(presets.with_values(presets.load(DEMO), values)), encoding="utf-8")
    return path


def launch(runs: Path, *words: object, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """`launch.py` in a terminal of its own: its Ctrl-C reaches nobody else."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "launch.py"), *map(str, words), "--runs", str(runs)],
        cwd=runs.parent,
        env={**os.environ, "LORATORY_BOOTSTRAPPED": "1", "PYTHONUTF8": "1", **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def worker_of(runs: Path) -> int:
    return int(json.loads((runs / ".queue" / "worker.json").read_text(encoding="utf-8"))["pid"])


def state_of(runs: Path) -> dict[str, str]:
    return {entry.name: entry.state for entry in waiting.read(runs).entries}


def run_of(runs: Path, name: str) -> RunDir | None:
    return next((run for run in find_runs(runs) if run.read_state().name == name), None)


def test_the_terminal_and_the_worker_may_go_the_queue_goes_on(tmp_path: Path) -> None:
    """Ctrl-C leaves the queue at work; a killed worker's run lives on and is found again by the next one."""
    runs, environ = tmp_path / "runs", stand_in.install(tmp_path / "stand-in")
    presets_of = tmp_path / "several"
    write(presets_of, "a-slow", **{"training.length": "16 steps"})
    write(presets_of, "b-fails", **{"training.length": "9 steps"})
    last = write(tmp_path, "last")
    first = launch(runs, "--queue", presets_of, last, "--set", "training.length=14 steps", environ=environ)
    run = wait_until(lambda: run_of(runs, "a-slow"))
    wait_until(lambda: run.read_state().state == "running")
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=20)
    assert first.returncode == 130 and "Nobody follows the queue here any more; it goes on" in said, said
    assert "[1/3] a-slow: started" in said and "--queue" in said
    pid = worker_of(runs)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not worker.lives(runs))
    trainer = run.read_state().pid
    assert run.current_state().state == "running", "it knows nothing of the worker"
    second = launch(runs, "--queue", environ=environ)
    said, _ = second.communicate(timeout=60)
    assert run.read_state().pid == trainer and run.read_state().state == "done", "the same process to its end"
    assert second.returncode == 1 and "b-fails: failed: out of memory on purpose" in said, said
    assert state_of(runs) == {"a-slow": "done", "b-fails": "failed", "last": "done"}
    assert len(find_runs(runs)) == 3 and len(of_kind(run_of(runs, "last"), StepDone)) == 14  # type: ignore[arg-type]
    wait_until(lambda: not worker.lives(runs))
    third = launch(runs, "--queue", environ=environ)
    assert "Nothing waits" in third.communicate(timeout=20)[0] and third.returncode == 0


def test_all_files_are_checked_before_any_is_added(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    good, bad = write(tmp_path, "good"), write(tmp_path, "bad", **{"model.path": "/no/such/model"})
    odd = tmp_path / "odd.toml"
    odd.write_text("[network]\nrnak = 3\n", encoding="utf-8")
    done = launch(runs, "--queue", good, bad, odd)
    said, _ = done.communicate(timeout=30)
    assert done.returncode == 2 and not (runs / ".queue").exists(), said
    assert "bad.toml: model.path" in said and "odd.toml: network.rnak" in said and "good.toml" not in said
    empty = launch(runs, "--queue", tmp_path / "..", "--name=two")
    assert empty.wait(30) == 2


def test_real_runs_go_on_after_the_computer_went_off(tmp_path: Path) -> None:
    """One whose images are gone when its turn comes fails alone. A real training behind it is killed together with the
    worker, as by a reboot: it goes on from its last full state by itself, and every step is there once."""
    runs, images = tmp_path / "runs", tmp_path / "images"
    shutil.copytree(DEMO.parent / "demo" / "images", images)
    files = [
        write(tmp_path, "gone", **{"dataset.folders": [{"path": str(images)}]}),
        write(tmp_path, "long", **{"training.length": "30 steps", "saving.state_every": "6 steps"}),
    ]
    hold = launch(runs, "--queue-hold")
    assert hold.wait(30) == 0
    added = launch(runs, "--queue", *files)
    said, _ = added.communicate(timeout=30)
    assert added.returncode == 130 and "The queue is held" in said, said
    shutil.rmtree(images)
    first = launch(runs, "--queue")
    run = wait_until(lambda: run_of(runs, "long"))
    wait_until(lambda: any((run.checkpoints).glob("state-*.safetensors")), 90)
    everything = [psutil.Process(worker_of(runs))]
    everything += everything[0].children(recursive=True)
    first.kill()
    for process in everything:
        process.kill()
    first.communicate()
    psutil.wait_procs(everything, timeout=10)
    assert run.current_state().state == "interrupted" and state_of(runs)["gone"] == "failed"
    again = launch(runs, "--queue")
    said, _ = again.communicate(timeout=120)
    assert state_of(runs) == {"gone": "failed", "long": "done"}, said
    assert "dataset.folders" in waiting.read(runs).entries[0].cause
    assert len(find_runs(runs)) == 1, "it goes on in its own folder; there is none for what never began"
    assert [event.step for event in of_kind(run, StepDone)] == list(range(1, 31))
    [resumed] = of_kind(run, Resumed)
    assert resumed.step >= 6
    assert again.returncode == 0, "of those that it followed, all are done"
