"""What it costs to guard an update against gradients that are no numbers: the optimizer's step alone, and guarded.

`python benchmarks/guard.py [device]` builds as many trained values as a rank-16 adapter of a model with 722 adapted
layers of 640 to 1280 channels, and prints the median of a step, unguarded, decided by the host, and on the device.
"""

from __future__ import annotations

import statistics
import sys
import time
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from trainer.contract import catalog, settings
from trainer.optim.guard import Guard
from trainer.optim.optimizers import Group, make_optimizer

LAYERS, RANK, ROUNDS = 722, 16, 7


def timed(name: str, way: str, device: torch.device) -> float:
    """Median seconds of a step. The device is waited for after each."""
    entry = catalog.optimizer(name)
    module, kind = entry.target.split(":")
    sides = [640 if i % 2 else 1280 for i in range(LAYERS)]
    values = [torch.nn.Parameter(torch.randn(*shape, device=device) * 0.01)
              for side in sides for shape in ((RANK, side), (side, RANK))]  # fmt: skip
    chosen = settings.Optimizer(name=name, learning_rate=entry.rate)
    optimizer = make_optimizer(getattr(import_module(module), kind), entry, [Group("unet", values, entry.rate)], chosen)
    guard = Guard(optimizer, way == "device")
    for value in values:
        value.grad = torch.randn_like(value) * 1e-3
    fine, took = torch.tensor(True, device=device), []
    for number in range(ROUNDS):
        began = time.perf_counter()
        optimizer.step() if way == "none" else guard.step(number, fine)
        if device.type == "cuda":
            torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    return statistics.median(took[2:])


def main() -> None:
    """A table for the optimizers whose state is kept in float, and for a fused one."""
    device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
    print(f"{device}, {torch.get_num_threads()} threads; ms of a step: unguarded, decided by the host, on the device")
    for name in ("AdamW", "Lion", "ScheduleFreeAdamW", "Prodigy"):
        print(f"{name:18}", *(f"{1e3 * timed(name, way, device):8.1f}" for way in ("none", "host", "device")))


if __name__ == "__main__":
    main()
