"""The machine as a run uses it: processes, device, threads, number formats, what may differ between two runs."""

from __future__ import annotations

import gc
import os
import platform
import traceback
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import torch

from trainer.contract.parse import parse_gpus
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Preset
from trainer.report.remedies import small_fp16

from .parallel import Ranks

FORMATS = {"float": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

_PATIENCE = timedelta(hours=12)
"""How long the other processes wait while one draws samples or encodes."""

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "bitsandbytes", "pytorch-optimizer")


def join(preset: Preset) -> tuple[torch.device, Ranks]:
    """This process's device and place among the processes of the run.

    Problems where the machine cannot do what is asked: devices that are not there, formats that they lack."""
    asked = parse_gpus(preset.hardware.gpus)
    problems = _missing_gpus(asked) + _missing_packages(preset)
    if problems:
        raise Problems(problems)
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    handlers: list[Any] = [InitProcessGroupKwargs(timeout=_PATIENCE)]
    accelerator = Accelerator(cpu="cpu" in asked, mixed_precision="no", kwargs_handlers=handlers)
    if accelerator.num_processes != len(asked):
        why = f"{len(asked)} processes were asked for, {accelerator.num_processes} started"
        raise Problems([Problem("hardware.gpus", why, "start the run by launch.py or the page")])
    device = accelerator.device
    problems = _format_problems(preset, device)
    if problems:
        raise Problems(problems)
    return device, Ranks(accelerator.process_index, accelerator.num_processes, device)


def _missing_gpus(asked: tuple[str, ...]) -> list[Problem]:
    """`CUDA_VISIBLE_DEVICES` has hidden all other GPUs by now, so that those asked for must all be there."""
    wanted = [name for name in asked if name.isdecimal()]
    there = torch.cuda.device_count() if wanted else 0
    if there >= len(wanted):
        return []
    found = "there is no GPU that torch can use" if there == 0 else f"only {there} of {len(wanted)} GPUs can be used"
    hint = _cpu_build_hint()
    return [Problem("hardware.gpus", f"{', '.join(wanted)}: {found}{hint}", 'write "auto" or "cpu", or another id')]


def _missing_packages(preset: Preset) -> list[Problem]:
    if not preset.logging.wandb or find_spec("wandb") is not None:
        return []
    return [Problem("logging.wandb", "the package wandb is not installed", "install it, or turn this off")]


def _cpu_build_hint() -> str:
    return " (this torch is the build for the CPU)" if torch.version.cuda is None and torch.version.hip is None else ""


def _format_problems(preset: Preset, device: torch.device) -> list[Problem]:
    chosen = {"precision.compute": preset.precision.compute, "precision.base": preset.precision.base}
    if device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False):
        return []
    name = torch.cuda.get_device_name(device)
    return [
        Problem(path, f"{name} does not compute in bf16", "choose fp16, or float")
        for path, value in chosen.items()
        if value == "bf16"
    ]


def doubts(preset: Preset, device: torch.device) -> list[str]:
    """What this device computes slowly or wrongly in the chosen formats: told before anything is loaded."""
    compute = preset.precision.compute
    if device.type == "cuda" and compute == "fp16" and small_fp16(name := torch.cuda.get_device_name(device)):
        return [
            f"{name}: cards of this series are known to give values that are no numbers in fp16. If that happens the "
            "run stops by itself and keeps what was learnt; precision.compute = float then works."
        ]
    if device.type == "cpu" and compute == "bf16" and not _cpu_has_bf16():
        return ["This processor only emulates bf16: precision.compute = float is faster, and exact."]
    return []


def _cpu_has_bf16() -> bool:
    """torch tells by names that are not public: where they are gone, nothing is claimed."""
    known = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    found = [bool(ask()) for ask in known if ask is not None]
    return platform.machine() not in ("x86_64", "AMD64") or not found or any(found)


def free_memory(error: BaseException) -> None:
    """Let go of what the calls that `error` ended still hold, and give the device's memory back."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__context__
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def make_repeatable(device: torch.device, threads: int) -> int:
    """Let equal runs give equal bits: a fixed number of threads, and on GPUs the algorithms that do not race.

    Returns the number of threads in force. An operation without such an algorithm warns in the console log."""
    if threads:
        torch.set_num_threads(threads)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.get_num_threads()


def threads_wanted(preset: Preset) -> int:
    """The setting, else OMP_NUM_THREADS as the launcher or the user set it, else 0: torch's own choice."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return preset.hardware.threads or (int(given) if given.isdecimal() else 0)


def device_name(device: torch.device, ranks: Ranks) -> str:
    """The device for people: "NVIDIA GeForce RTX 3060", "CPU (AMD64)"; "2 x …" for several processes."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = {"cpu": f"CPU ({platform.machine()})"}.get(device.type, device.type)
    return f"{ranks.count} x {name}" if ranks.count > 1 else name


def versions() -> dict[str, str]:
    """What the result may depend on: Python and packages."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
