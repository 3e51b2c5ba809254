"""What a device computes badly in a format is told before anything is loaded; memory's errors are known by text."""

from __future__ import annotations

import errno

import pytest
import torch

from trainer import device as machines
from trainer.contract import preset as presets
from trainer.report.causes import cause_of, ran_out


@pytest.mark.parametrize(
    ("name", "compute", "told"),
    [
        ("NVIDIA GeForce GTX 1660 SUPER", "fp16", True),
        ("NVIDIA GeForce GTX 1660 SUPER", "float", False),
        ("NVIDIA GeForce GTX 1080", "fp16", False),
        ("NVIDIA GeForce RTX 2060", "fp16", False),
    ],
)
def test_cards_that_fail_in_fp16(monkeypatch: pytest.MonkeyPatch, name: str, compute: str, told: bool) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    preset = presets.with_values(presets.build({}), {"precision.compute": compute})
    said = machines.doubts(preset, torch.device("cuda"))
    assert bool(said) == told and (not told or "precision.compute = float" in said[0])


@pytest.mark.parametrize("has", [True, False])
def test_processors_that_emulate_bf16(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr(machines, "_cpu_has_bf16", lambda: has)
    preset = presets.with_values(presets.build({}), {"precision.compute": "bf16"})
    assert bool(machines.doubts(preset, torch.device("cpu"))) != has


def test_a_card_that_emulates_bf16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA GeForce RTX 2060")
    preset = presets.with_values(presets.build({}), {"precision.compute": "bf16", "precision.base": "bf16"})
    problems = machines._format_problems(preset, torch.device("cuda"))
    assert [problem.path for problem in problems] == ["precision.compute", "precision.base"]
    assert "does not compute in bf16" in problems[0].why


@pytest.mark.parametrize(
    ("error", "which"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."), "device"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "device"),
        (MemoryError(), "main"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: not enough memory"), "main"),
        (RuntimeError("shape mismatch"), ""),
    ],
)
def test_memory_that_ran_out(error: Exception, which: str) -> None:
    assert ran_out(error) == which
    assert bool(which) == ("ran out of memory" in cause_of(error))


def test_a_full_disk_is_named() -> None:
    assert cause_of(OSError(errno.ENOSPC, "No space left on device")).startswith("the disk is full")
