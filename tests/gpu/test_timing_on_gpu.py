"""The stopwatch on a real device: its own time, no wait added, nothing changed. Skipped where there is none."""

from __future__ import annotations

import time

import pytest
import torch

from trainer.timing.gauges import Gauges
from trainer.timing.stopwatch import stopwatch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def test_parts_are_the_devices_time_and_nothing_waits() -> None:
    device = torch.device("cuda", 0)
    a = torch.randn(4096, 4096, device=device)
    a @ a
    torch.cuda.synchronize()
    watch = stopwatch(device)
    began = time.perf_counter()
    watch.start()
    torch.cuda.set_sync_debug_mode("error")  # torch raises at any operation that waits for the device
    try:
        for _ in range(50):
            with watch.part("forward"):
                a @ a
            with watch.part("optimizer"):
                a.mul_(1.0)
        submitted = time.perf_counter() - began
        early, _ = watch.take()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    with watch.part("data"):
        torch.cuda.synchronize()
        time.sleep(0.2)
    late, _ = watch.take(wait=True)
    whole = time.perf_counter() - began
    seconds = {part: early.get(part, 0.0) + late.get(part, 0.0) for part in {*early, *late}}
    assert sum(seconds.values()) == pytest.approx(whole, rel=0.05)
    assert seconds["forward"] > 5 * seconds["optimizer"] and seconds["data"] == pytest.approx(0.2, abs=0.05)
    assert sum(early.values()) < whole - submitted, "what the device has not done yet is not waited for"


def test_the_device_says_what_is_in_use() -> None:
    device = torch.device("cuda", 0)
    gauges = Gauges(device)
    gauges.read()
    held = torch.zeros(256 * 2**20, dtype=torch.uint8, device=device)
    reading = gauges.read()
    assert reading.memory["device_own"] >= held.numel() and reading.memory["device_used"] >= held.numel()
    assert reading.memory["device_total"] == pytest.approx(torch.cuda.get_device_properties(0).total_memory, rel=0.1)
    assert reading.use is not None and 0 <= reading.use <= 1
