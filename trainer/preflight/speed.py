"""Speed and memory: some steps of the run as it is going to be, its own pictures and captions, timed by the run's own
stopwatch."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from trainer.contract.events import Event, StepDone, Timing
from trainer.plan.plan import Plan
from trainer.report.verdicts import Split
from trainer.timing.gauges import Gauges
from trainer.timing.timekeeper import Timekeeper

from .stand import Fresh, Stand

WARM_UP, MOST, ENOUGH_S = 2, 20, 8.0
"""Steps that are not counted (the first ones are slow), most that are, and seconds after which it is enough."""

FEWEST = 5
"""Steps that are counted however long they take."""


@dataclass(frozen=True)
class SpeedFigures:
    """`split`: where the time of the counted steps went, and memory. `batches`: forward passes of a step. Extrapolated:
    `training_s` of all steps, `sampling_s`, `validation_s`. `gpu`: whether a GPU computes."""

    split: Split
    batches: int
    training_s: float
    sampling_s: float
    validation_s: float
    gpu: bool
    peak_bytes: float

    @property
    def step_s(self) -> float:
        """Seconds of a step."""
        return self.split.wall_s / max(self.split.steps, 1)

    @property
    def batch_s(self) -> float:
        """Seconds of a batch: forward, backward and its share of the update."""
        return self.step_s / max(self.batches, 1)


def measure(stand: Stand) -> SpeedFigures:
    """Time steps on the run's own looks and extrapolate them to all of it."""
    heard: list[Event] = []
    device, gpu = stand.bench.device, stand.bench.device.type == "cuda"
    keeper = Timekeeper(stand.bench.watch, Gauges(device).read, stand.own.preset, heard.append)
    if gpu:
        torch.cuda.reset_peak_memory_stats(device)
    with stand.fresh() as fresh:
        _steps(stand, fresh, range(1, WARM_UP + 1))
        stand.bench.watch.start()
        stand.bench.watch.take(wait=True)
        for step in _steps(stand, fresh, range(WARM_UP + 1, WARM_UP + MOST + 1), ENOUGH_S):
            keeper(StepDone(step=step, epoch=0, loss=0, learning_rate={}, images=stand.own_loader.looks(step)))
        keeper.tell(0, wait=True)
    split = Split()
    for event in heard:
        if isinstance(event, Timing):
            split.add(event)
    training_s = split.wall_s / split.steps * stand.own.steps.total
    look_s = split.seconds["forward"] / max(split.images, 1)
    return SpeedFigures(
        split=split,
        batches=len(stand.own_loader.micro_batches(WARM_UP + 1)),
        training_s=training_s,
        sampling_s=_sampling_s(stand.own, look_s),
        validation_s=_validation_s(stand.own, look_s, training_s),
        gpu=gpu,
        peak_bytes=float(torch.cuda.max_memory_reserved(device)) if gpu else _host_peak(split),
    )


def _steps(stand: Stand, fresh: Fresh, steps: range, enough_s: float = float("inf")) -> list[int]:
    """Do steps with the run's own pictures, until there are enough; returns those that were done."""
    began, done = time.monotonic(), list[int]()
    for step in steps:
        stand.progress("speed and memory", step, WARM_UP + MOST)
        fresh.update(step, stand.own_loader.micro_batches(step), stand.own_loader.looks(step))
        done.append(step)
        if len(done) >= FEWEST and time.monotonic() - began > enough_s:
            break
    return done


def _host_peak(split: Split) -> float:
    """Most main memory of this process so far, as far as the system says; else what it uses now."""
    try:
        import resource
        import sys

        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
    except ImportError:
        return split.memory.get("host_used", 0.0)


def _sampling_s(plan: Plan, look_s: float) -> float:
    """All samples of the run: two forward passes a step (with and without the prompt), in proportion to the pixels. The
    VAE's decoding is left out."""
    sampling = plan.preset.sampling
    if not plan.samples:
        return 0.0
    trained_px = sum(size.area * looks for size, looks in plan.buckets.items()) / sum(plan.buckets.values())
    passes = 2 if float(sampling.guidance) != 1 else 1  # type: ignore[arg-type]
    pictures = len(plan.samples) * max(len(sampling.prompts), 1)  # type: ignore[arg-type]
    drawn_px = int(sampling.width) * int(sampling.height)  # type: ignore[arg-type]
    return pictures * int(sampling.steps) * passes * look_s * drawn_px / trained_px  # type: ignore[arg-type]


def _validation_s(plan: Plan, look_s: float, training_s: float) -> float:
    """All checks of the run: within their budget where that decides how many there are."""
    chosen = plan.preset.validation
    if not plan.validations:
        return 0.0
    looks = (len(plan.held_out) + len(plan.train_probe)) * chosen.timesteps
    fixed = len(plan.validations) * looks * look_s
    budget = float(chosen.budget) / 100
    return max(fixed, training_s * budget / (1 - budget)) if chosen.every == "auto" else fixed
