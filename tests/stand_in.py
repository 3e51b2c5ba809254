"""A stand-in for the accelerate package: it launches `browser/fake_trainer.py`, so that a queue of runs takes seconds.

Everything of ours stays real: the processes, their sessions, the run folders, the worker. What a run does is in its
name: "fails" fails after a few steps, "slow" takes half a second a step. `training.length` is its steps.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

LAUNCH = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
sys.path.insert(0, {str(ROOT / "tests" / "browser")!r})
from pathlib import Path
import fake_trainer
from trainer.contract.preset import load
run = Path(sys.argv[-1])
preset = load(run / "preset.toml")
name = preset.saving.name
steps = preset.training.length.split()[0]
sys.argv = ["fake", str(run), "--steps", steps, "--pause", "0.5" if "slow" in name else "0.01"]
sys.argv += ["--fail-at", "3"] if "fails" in name else []
fake_trainer.main()
"""


def install(folder: Path) -> dict[str, str]:
    """Write the stand-in; the environment in which it is found before the real one."""
    package = folder / "accelerate" / "commands"
    package.mkdir(parents=True)
    (folder / "accelerate" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "launch.py").write_text(LAUNCH, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))}
