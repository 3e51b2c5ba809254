"""The trainer's tax: our whole step against the bare model's forward, backward and optimizer with a textbook LoRA.

    python -m benchmarks.tax [steps]

Both take turns in one process on the demo model at batch 4: a real run of the demo preset, whose loop runs a bare step
before each of its own. Ours has everything: batches, noise, timesteps, loss, clipping, schedule, events, TensorBoard,
control files. The bare step has fixed inputs, no clipping and no schedule. The figure is the median of the paired
differences over the bare step's median, with a bootstrap interval (95 %). What measuring the time's parts costs, which
is in it, is told apart: the cuts of one step, without work between them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gui import jobs
from trainer import course
from trainer import run as composition
from trainer.bench import Trained
from trainer.contract import preset as presets
from trainer.contract.events import Writer
from trainer.contract.rundir import RunDir, write_whole
from trainer.optim.schedule import Scheduler
from trainer.sinks.fan import Fan
from trainer.timing.stopwatch import stopwatch

ROOT = Path(__file__).resolve().parents[1]
WARM_UP, STEPS, BATCH, RANK = 20, 300, 4, 8


class TextbookLoRA(nn.Module):
    """`base(x) + up(down(x)) * scale`, as the paper and most tutorials write it."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        self.base = base
        if isinstance(base, nn.Conv2d):
            self.down: nn.Module = nn.Conv2d(
                base.in_channels, RANK, base.kernel_size, base.stride, base.padding, bias=False
            )
            self.up: nn.Module = nn.Conv2d(RANK, base.out_channels, 1, bias=False)
        else:
            self.down = nn.Linear(base.in_features, RANK, bias=False)
            self.up = nn.Linear(RANK, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)  # type: ignore[arg-type]
        self.scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base(x) + self.up(self.down(x)) * self.scale
        return result


class BareStep:
    """Forward, backward and AdamW on the model alone, with fixed inputs."""

    def __init__(self, model: Path, targets: set[str]) -> None:
        from diffusers import UNet2DConditionModel

        self.unet: Any = UNet2DConditionModel.from_pretrained(model / "unet", torch_dtype=torch.float32)
        self.unet.requires_grad_(False)
        layers = []
        for path in targets:
            parent, _, name = path.rpartition(".")
            layer = TextbookLoRA(self.unet.get_submodule(path))
            setattr(self.unet.get_submodule(parent), name, layer)
            layers += [layer.down.weight, layer.up.weight]
        self.optimizer = torch.optim.AdamW(layers, lr=1e-4)
        width = self.unet.config.cross_attention_dim
        self.inputs = (torch.randn(BATCH, 4, 16, 16), torch.randint(0, 1000, (BATCH,)), torch.randn(BATCH, 77, width))
        self.wanted = torch.randn(BATCH, 4, 16, 16)

    def __call__(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        answer = self.unet(*self.inputs, return_dict=False)[0]
        F.mse_loss(answer, self.wanted).backward()
        self.optimizer.step()


def measure(steps: int) -> tuple[list[float], list[float]]:
    """Seconds of our steps and of the bare ones between them."""
    ours: list[float] = []
    bare: list[float] = []
    changes = {
        "training.length": f"{steps + WARM_UP + 1} steps",
        "training.batch_size": BATCH,
        "sampling.every": "never",
        "sampling.at_start": False,
        "hardware.gpus": "cpu",
    }
    preset = presets.with_values(presets.load(ROOT / "presets" / "demo.toml"), changes)
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir.create(Path(folder), "tax")
        write_whole(run.preset, presets.dumps(jobs.resolve(preset)))
        fan = Fan([Writer(run.events)])
        bench, sources = composition.with_sources(composition.set_up(run, fan))
        paths = {target.path for target in bench.family.targets(True, ("unet",))}
        step_alone = BareStep(Path(bench.preset.model.path), paths)
        network, optimizer = composition.make_network(bench)
        loader = composition.make_loader(bench, sources)

        class Alternating(Scheduler):
            """The first thing in each of our steps: the end of the one before, and the place for a bare one."""

            last = 0.0

            def set(self, step: int) -> None:
                began = time.perf_counter()
                if self.last:
                    ours.append(began - self.last)
                step_alone()
                self.last = time.perf_counter()
                bare.append(self.last - began)
                super().set(step)

        course.Scheduler = Alternating  # type: ignore[misc]
        trained = Trained(network, optimizer, composition.make_update(bench, optimizer, network))
        course.train_with(bench, trained, loader, None)
        fan.close()
    return ours[WARM_UP:][:steps], bare[WARM_UP:][:steps]


def cutting(steps: int = 2000) -> str:
    """What the stopwatch takes of a step of one batch from the caches: on the CPU, and on a GPU where there is one."""
    found = []
    for device in [torch.device("cpu")] + ([torch.device("cuda", 0)] if torch.cuda.is_available() else []):
        watch, costs = stopwatch(device), []
        watch.start()
        for _ in range(steps):
            began = time.perf_counter()
            with watch.part("data"):
                pass
            with watch.part("forward"):
                for part in ("data", "transfer", "data", "transfer", "transfer"):
                    with watch.part(part):
                        pass
            for part in ("backward", "transfer", "optimizer"):
                with watch.part(part):
                    pass
            costs.append(time.perf_counter() - began)
        found.append(f"{device.type} {1e6 * float(np.median(costs)):.0f} µs a step")
    return "stopwatch: " + ", ".join(found)


def report(ours: list[float], bare: list[float]) -> str:
    """The figure in a line, and what it is made of in another."""
    difference, base = np.array(ours) - np.array(bare), np.array(bare)
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(base), (2000, len(base)))
    taxes = np.median(difference[picks], axis=1) / np.median(base[picks], axis=1)
    low, high = np.percentile(taxes, [2.5, 97.5])
    tax = np.median(difference) / np.median(base)
    return (
        f"trainer tax: {tax:+.1%} (95 % interval {low:+.1%} to {high:+.1%}, {len(base)} pairs)\n"
        f"our step {np.median(ours) * 1e3:.1f} ms, bare step {np.median(base) * 1e3:.1f} ms (medians), "
        f"batch {BATCH}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )


def main() -> int:
    """Print the figure."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    print(report(*measure(steps)))
    print(cutting())
    return 0


if __name__ == "__main__":
    sys.exit(main())
