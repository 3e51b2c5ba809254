"""What is started for a run: the argument list, and the environment with its devices and threads."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from trainer.contract.parse import parse_gpus
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset

LAUNCHER = "accelerate.commands.launch"
"""The module that starts the trainer's processes."""

ROOT = Path(__file__).resolve().parents[1]
"""The checkout: the folder of launch.py."""


@dataclass(frozen=True)
class Devices:
    """What `hardware.gpus` means: `kind` "auto", "cpu" or "gpu"; `ids` of the GPUs; `processes` to start."""

    kind: str
    processes: int = 1
    ids: tuple[str, ...] = ()


def devices(gpus: str) -> Devices:
    """Read `hardware.gpus`. Problems where it says nothing that can be started."""
    try:
        names = parse_gpus(gpus)
    except ValueError as error:
        raise Problems([Problem("hardware.gpus", f"{gpus!r} is no choice of GPUs", str(error))]) from None
    kind = names[0] if names[0] in ("auto", "cpu") else "gpu"
    return Devices(kind, len(names), names if kind == "gpu" else ())


def threads(preset: Preset, chosen: Devices) -> int:
    """CPU threads of one trainer process: the setting, else OMP_NUM_THREADS as the user set it, else the cores that
    there are, shared by the processes where they compute on the CPU."""
    if preset.hardware.threads:
        return preset.hardware.threads
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return max(1, cores() // chosen.processes)


def cores() -> int:
    """Physical cores that this process may use."""
    physical = psutil.cpu_count(logical=False) or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else physical
    return max(1, min(physical, usable))


def command(run: RunDir, chosen: Devices, threads: int) -> list[str]:
    """The argument list. Every option that accelerate would otherwise guess or warn about is given, and a configuration
    of our own, so that none of the computer's counts."""
    return [*launcher(Path(sys.executable), chosen, threads), "-m", "trainer", str(run.path)]


def launcher(python: Path, chosen: Devices, threads: int) -> list[str]:
    """The beginning of an argument list: accelerate's launcher in the environment of this Python."""
    options = {
        "--config_file": str(ROOT / "trainer" / "accelerate.yaml"),
        "--num_processes": str(chosen.processes),
        "--num_machines": "1",
        "--num_cpu_threads_per_process": str(threads),
        "--mixed_precision": "no",
        "--dynamo_backend": "no",
    }
    if chosen.processes > 1:
        options["--main_process_port"] = "0"
    words = [word for option in options.items() for word in option]
    if chosen.processes > 1:
        words.append("--multi_gpu")
    elif chosen.kind == "cpu":
        words.append("--cpu")
    return [str(python), "-m", LAUNCHER, "--quiet", *words]


def environment(preset: Preset, chosen: Devices, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The trainer's environment: which GPUs it sees, how many threads, UTF-8 everywhere."""
    changed = dict(environ)
    changed["OMP_NUM_THREADS"] = str(threads(preset, chosen))
    changed["PYTHONUTF8"] = "1"
    changed["PYTHONUNBUFFERED"] = "1"
    changed["TOKENIZERS_PARALLELISM"] = "false"
    if chosen.kind == "cpu":
        changed["ACCELERATE_USE_CPU"] = "true"
    if chosen.kind == "gpu":
        changed.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        changed["CUDA_VISIBLE_DEVICES"] = ",".join(chosen.ids)
    return changed
