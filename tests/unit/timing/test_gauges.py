"""Figures of the machine: NVML's by the device's UUID, and none where there is none. NVML is a stand-in here."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainer.timing.gauges import Gauges

CUDA = torch.device("cuda", 0)
UUID = "6f1e8d9a-0000-1111-2222-333344445555"


class NVMLError(Exception):
    """pynvml's."""


def sample(stamp: int, percent: int) -> Any:
    return SimpleNamespace(timeStamp=stamp, sampleValue=SimpleNamespace(dVal=0.0, uiVal=percent))


class Driver:
    """pynvml as far as it is used: two cards, of which the second is the one that torch sees."""

    NVMLError = NVMLError
    NVML_GPU_UTILIZATION_SAMPLES, NVML_VALUE_TYPE_DOUBLE = 1, 0

    def __init__(self) -> None:
        self.samples: list[Any] | None = [sample(1, 10), sample(2, 30)]
        self.lost = False

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in ("GPU-other", f"GPU-{UUID}"):
            raise NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        assert handle == f"GPU-{UUID}"
        if self.lost:
            raise NVMLError("GPU is lost")
        return SimpleNamespace(used=7_800_000_000, total=8_589_934_592)

    def nvmlDeviceGetSamples(self, handle: str, kind: int, since: int) -> tuple[int, list[Any]]:
        if self.samples is None:
            raise NVMLError("Not Supported")
        return 1, [one for one in self.samples if one.timeStamp >= since]

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        return SimpleNamespace(gpu=77)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    found = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", found)  # type: ignore[arg-type]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=UUID))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 4_000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5_000)
    return found


def test_the_device_is_found_by_its_uuid(driver: Driver) -> None:
    reading = Gauges(CUDA).read()
    assert reading.memory["device_used"] == 7.8e9 and reading.memory["device_total"] == 8_589_934_592
    assert (reading.memory["device_own"], reading.memory["device_peak"]) == (4_000, 5_000)
    assert 0 < reading.memory["host_used"] < reading.memory["host_total"]


def test_use_is_the_mean_since_the_last_look(driver: Driver) -> None:
    gauges = Gauges(CUDA)  # whatever the card did before is forgotten here
    driver.samples = [sample(2, 30), sample(3, 90), sample(4, 100)]
    assert gauges.read().use == pytest.approx(0.95)
    driver.samples = [sample(4, 100), sample(5, 10), sample(6, 30)]
    assert gauges.read().use == pytest.approx(0.2)
    driver.samples = None
    assert gauges.read().use == pytest.approx(0.77), "a card that keeps no samples"


def test_what_is_not_there_is_missing(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    gauges = Gauges(CUDA)
    driver.lost = True
    reading = gauges.read()
    assert "device_total" not in reading.memory and reading.use is None and reading.memory["device_own"] == 4_000
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="a slice"))
    assert "device_total" not in Gauges(CUDA).read().memory
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "host_used" in Gauges(CUDA).read().memory


def test_a_cpu_has_main_memory_only() -> None:
    reading = Gauges(torch.device("cpu")).read()
    assert set(reading.memory) == {"host_used", "host_total"} and reading.use is None
