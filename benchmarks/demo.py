"""How long `launch.py --preset presets/demo.toml` takes: to the first optimizer step, and in all.

    python -m benchmarks.demo

The samples drawn before the first step are not counted into the first figure. Nothing is cached beforehand: runs and
caches are in a temporary folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trainer.contract.events import Event, Sampled, StepDone, read
from trainer.contract.rundir import find_runs

ROOT = Path(__file__).resolve().parents[1]


def measure(folder: Path) -> tuple[float, float, list[Event]]:
    """Unix time of the start, seconds in all, the run's events."""
    machine = folder / "machine.toml"
    machine.write_text(f"cache = '{folder / 'cache'}'\n", encoding="utf-8")
    environ = {**os.environ, "LORATORY_MACHINE": str(machine), "LORATORY_BOOTSTRAPPED": "1"}
    argv = [sys.executable, str(ROOT / "launch.py"), "--preset", str(ROOT / "presets" / "demo.toml")]
    began = time.time()
    subprocess.run(
        [*argv, "--runs", str(folder / "runs")], env=environ, cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    return began, time.time() - began, read(find_runs(folder / "runs")[0].events)


def main() -> int:
    """Print both figures."""
    with tempfile.TemporaryDirectory() as folder:
        began, whole_s, events = measure(Path(folder))
    first = next(event for event in events if isinstance(event, StepDone))
    before_s = sum(event.seconds for event in events if isinstance(event, Sampled) and event.step == 0)
    steps = [event.seconds for event in events if isinstance(event, StepDone)]
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(
        f"first optimizer step after {first.time - began - before_s:.1f} s (goal 12), in all {whole_s:.1f} s (goal 60)"
    )
    print(f"{len(steps)} steps of {sorted(steps)[len(steps) // 2] * 1e3:.0f} ms (median), {os.cpu_count()} cores{load}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
