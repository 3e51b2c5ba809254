"""What this computer is: versions, devices, drivers, space. Read without torch. No Gradio in here."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tomllib
from pathlib import Path

import psutil

from gui.context import Context
from trainer import install
from trainer.report.words import size

LIBRARIES = (
    "torch", "diffusers", "transformers", "accelerate", "bitsandbytes", "xformers", "onnxruntime", "gradio",
)  # fmt: skip
Facts = list[tuple[str, str]]


def facts(context: Context) -> dict[str, Facts]:
    """Heading -> lines of (name, what it is)."""
    return {
        "Devices": devices(),
        "Software": [("Loratory", own_version(context.root)), ("Python", python()), *libraries()],
        "Space": space(context),
    }


def own_version(root: Path) -> str:
    """The version that pyproject.toml states."""
    try:
        return str(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
    except (OSError, ValueError, KeyError):
        return "unknown"


def python() -> str:
    """Python and the system."""
    return f"{platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}"


def libraries() -> Facts:
    """The libraries that training stands on, with torch's build."""
    found = []
    for name in LIBRARIES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        build = install.torch_build(sys.path) if name == "torch" else ""
        found.append((name, f"{version.partition('+')[0]}, build {build}" if build else version))
    return found


def devices() -> Facts:
    """GPUs with memory and driver, the processor, the main memory."""
    memory, cores = psutil.virtual_memory(), psutil.cpu_count(logical=False) or os.cpu_count() or 1
    rest = [("Processor", f"{cores} cores"), ("Main memory", f"{size(memory.total)}, {size(memory.available)} free")]
    try:
        return _gpus() + rest
    except Exception:  # no driver, no library, no permission: all mean that there is no NVIDIA GPU to tell of
        return [("GPU", "no NVIDIA GPU found: training on the processor unless torch finds another device"), *rest]


def _gpus() -> Facts:
    import pynvml

    pynvml.nvmlInit()
    found, driver = [], pynvml.nvmlSystemGetDriverVersion()
    for number in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        memory, name = pynvml.nvmlDeviceGetMemoryInfo(handle), pynvml.nvmlDeviceGetName(handle)
        found.append((f"GPU {number}", f"{name}, {size(int(memory.total))}, {size(int(memory.free))} free"))
    if not found:
        raise LookupError
    cuda = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
    return [*found, ("Driver", f"{driver}, for CUDA up to {cuda // 1000}.{cuda % 1000 // 10}")]


def space(context: Context) -> Facts:
    """Free space of the disks that are written to, each disk once."""
    machine, disks = context.machine, dict[int, tuple[list[str], Path]]()
    for name, path in (("Runs", context.runs), ("Cache", machine.cache), ("Uploaded images", machine.datasets)):
        there = next((folder for folder in (path, *path.parents) if folder.exists()), None)
        if there is not None:
            disks.setdefault(there.stat().st_dev, ([], there))[0].append(name)
    rows = []
    for names, path in disks.values():
        usage = shutil.disk_usage(path)
        rows.append((", ".join(names), f"{size(usage.free)} free of {size(usage.total)}"))
    return rows


COMMANDS: tuple[tuple[str, str], ...] = (
    ("Update Loratory and its packages; presets and runs stay", "python launch.py --update"),
    ("Another build of PyTorch than the one chosen for this computer", "python launch.py --torch cu130"),
)
