"""A full state save against plainly writing as many bytes; and what saving costs a run.

    python -m benchmarks.state [--pairs 15] [--out benchmarks/results/state.json]

The state is that of a real size: Stable Diffusion 1.5's layers at rank 32, convolutions too, in float32 with AdamW's
two averages. `write_state` and a plain write of the same number of bytes, both with fsync, take turns on one disk; the
figure is the ratio of their medians (goal: at most 2). Then the demo trains 60 steps with a state every 20: the share
of `Timing`'s part "saving" in its wall time, adapter files included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.soak import machine_words
from gui import jobs
from trainer.__main__ import main as train
from trainer.contract import preset as presets
from trainer.contract.events import StepDone, Timing, read
from trainer.contract.rundir import RunDir, write_whole
from trainer.saving.state import Held, write_state
from trainer.validation.stopping import EarlyStopping

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "trainer" / "families" / "configs" / "sd1" / "unet"
RANK = 32
GOAL = 2.0


def layers() -> nn.ModuleDict:
    """Down and up matrices for each layer of the U-Net's attention and residual blocks."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(CONFIG))
    made = nn.ModuleDict()
    for path, layer in unet.named_modules():
        if not any(block in path for block in ("attentions", "resnets", "samplers")):
            continue
        if isinstance(layer, nn.Linear):
            down: nn.Module = nn.Linear(layer.in_features, RANK, bias=False)
            up: nn.Module = nn.Linear(RANK, layer.out_features, bias=False)
        elif isinstance(layer, nn.Conv2d):
            down = nn.Conv2d(layer.in_channels, RANK, layer.kernel_size, bias=False)
            up = nn.Conv2d(RANK, layer.out_channels, 1, bias=False)
        else:
            continue
        made[path.replace(".", "_")] = nn.Sequential(down, up)
    return made


def held() -> Held:
    """An adapter of that size after its first AdamW update."""
    modules = layers()
    optimizer = torch.optim.AdamW(modules.parameters(), lr=1e-4)
    for value in modules.parameters():
        value.grad = torch.randn_like(value)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return Held(dict(modules), optimizer, None, EarlyStopping(3))


def plainly(path: Path, data: bytes) -> None:
    """What cannot be undercut: the bytes, and the disk's word that it has them."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def save_times(folder: Path, pairs: int) -> tuple[int, list[float], list[float]]:
    """Bytes of a state, and seconds of each save and each plain write; the two take turns, the first pair is left out.

    Both write over files of which two are kept."""
    run, state = RunDir.create(folder, "state"), held()
    data = os.urandom(write_state(run, 1, state, {}).stat().st_size)
    saves, plain = [], []
    for number in range(2, pairs + 3):
        began = time.perf_counter()
        write_state(run, number, state, {})
        between = time.perf_counter()
        plainly(folder / f"plain{number % 2}", data)
        saves.append(between - began)
        plain.append(time.perf_counter() - between)
    return len(data), saves[1:], plain[1:]


def share_in_the_demo(folder: Path) -> dict[str, float]:
    """Of a run of 60 steps with three states: share of its wall time, and seconds of saving in all."""
    changes = {
        "training.length": "60 steps",
        "saving.state_every": "20 steps",
        "sampling.every": "never",
        "sampling.at_start": False,
        "hardware.gpus": "cpu",
    }
    demo = presets.with_values(presets.load(ROOT / "presets" / "demo.toml"), changes)
    run = RunDir.create(folder, "share")
    write_whole(run.preset, presets.dumps(jobs.resolve(demo)))
    train(["trainer", str(run.path)])
    told = read(run.events)
    timings = [event for event in told if isinstance(event, Timing)]
    saving, wall = sum(event.seconds.get("saving", 0.0) for event in timings), sum(event.wall_s for event in timings)
    steps = [event.seconds for event in told if isinstance(event, StepDone)]
    return {"saving_s": saving, "wall_s": wall, "share": saving / wall, "step_s": statistics.median(steps)}


def main() -> int:
    """Print the figures; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="a folder on the disk to be measured")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        machine = Path(name) / "machine.toml"
        machine.write_text(f"runs = '{name}/runs'\ncache = '{name}/cache'\n", encoding="utf-8")
        os.environ["LORATORY_MACHINE"] = str(machine)
        size, saves, plain = save_times(Path(name), options.pairs)
        demo = share_in_the_demo(Path(name))
    save_s, plain_s = statistics.median(saves), statistics.median(plain)
    ratio = save_s / plain_s
    print(
        f"state of {size / 1e6:.0f} MB: {save_s:.3f} s, plainly written {plain_s:.3f} s (medians of {len(saves)} pairs)"
    )
    print(f"ratio {ratio:.2f} (goal {GOAL:g}); every 10 minutes it takes {save_s / 600:.2%} of the time")
    print(f"demo, a state every 20 steps: saving {demo['share']:.1%} of {demo['wall_s']:.1f} s")
    if options.out:
        where = {"date": date.today().isoformat(), "machine": machine_words(), "torch": torch.__version__}
        figures = {"bytes": size, "save_s": saves, "plain_s": plain, "ratio_of_medians": ratio, "demo": demo}
        write_whole(options.out, json.dumps({**where, **figures}, indent=1) + "\n")
    return int(ratio > GOAL)


if __name__ == "__main__":
    sys.exit(main())
