"""What is in use: memory of the device and of the computer, and how busy the device was. Figures that a machine does
not give are missing, never an error."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch

_UTILIZATION = 0.01
"""NVML counts in per cent."""


class Nvml:
    """One NVIDIA device by its UUID, which holds whatever CUDA_VISIBLE_DEVICES hides or reorders."""

    def __init__(self, uuid: str) -> None:
        """Raises whatever is wrong: no package, no driver, no such device (a slice of one, in a cloud)."""
        import pynvml

        pynvml.nvmlInit()
        self._nvml: Any = pynvml
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
        self._seen = 0  # microseconds, the driver's
        with contextlib.suppress(pynvml.NVMLError):
            self.use()  # what went before belongs to no reading

    def memory(self) -> dict[str, float]:
        """Bytes in use by all programs, and all there are."""
        found = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
        return {"device_used": float(found.used), "device_total": float(found.total)}

    def use(self) -> float:
        """Share of the time since the last call in which something ran on the device, from the driver's own samples;
        of the last moment alone where it keeps none."""
        try:
            kind, samples = self._nvml.nvmlDeviceGetSamples(
                self._handle, self._nvml.NVML_GPU_UTILIZATION_SAMPLES, self._seen
            )
            new = [sample for sample in samples if sample.timeStamp > self._seen]
            if new:
                self._seen = max(sample.timeStamp for sample in new)
                return sum(_value(self._nvml, kind, sample) for sample in new) / len(new) * _UTILIZATION
        except self._nvml.NVMLError:
            pass
        return float(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu) * _UTILIZATION


def _value(nvml: Any, kind: int, sample: Any) -> float:
    value = sample.sampleValue
    return float(value.dVal if kind == nvml.NVML_VALUE_TYPE_DOUBLE else value.uiVal)


@dataclass(frozen=True)
class Reading:
    """`memory` as in `Timing.memory`; `use` None where it cannot be had."""

    memory: dict[str, float] = field(default_factory=dict)
    use: float | None = None


class Gauges:
    """Reads what is in use by this process and on its device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._nvml: Nvml | None = None
        if device.type == "cuda":
            with contextlib.suppress(Exception):  # whatever is missing, so are the figures
                self._nvml = Nvml(str(torch.cuda.get_device_properties(device).uuid))

    def read(self) -> Reading:
        """All figures that can be had now. Nothing waits for the device."""
        memory: dict[str, float] = {}
        use: float | None = None
        with contextlib.suppress(psutil.Error, OSError):
            memory["host_used"] = float(self._process.memory_info().rss)
            memory["host_total"] = float(psutil.virtual_memory().total)
        if self._device.type == "cuda":
            memory["device_own"] = float(torch.cuda.memory_allocated(self._device))
            memory["device_peak"] = float(torch.cuda.max_memory_allocated(self._device))
        if self._nvml:
            with contextlib.suppress(Exception):  # a driver that was updated under the run, a lost device
                memory |= self._nvml.memory()
                use = self._nvml.use()
        return Reading(memory, use)
