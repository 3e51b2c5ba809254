"""Climb the ladder: rung after rung, each told as an event, all of them written into the run folder."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from trainer import device as machines
from trainer.contract import catalog
from trainer.contract.events import Noted, Warned
from trainer.contract.rundir import RunDir, Whole
from trainer.contract.settings import Preset
from trainer.plan.advice import memory_relief
from trainer.report.causes import first_line, ran_out
from trainer.report.preflight import HTML_FILE, JSON_FILE, Preflight, Rung, dumps
from trainer.report.preflight_page import page
from trainer.sinks.fan import Fan

from . import base, overfit, speed, sweep
from .judge_base import base_model
from .judge_fit import few_images, one_image
from .judge_rate import learning_rate
from .judge_speed import speed as speed_and_memory
from .stand import Stand, build
from .verdict import NAMES

Climb = Callable[[], Rung]


def climb(run: RunDir, emit: Fan) -> Preflight:
    """A whole preflight of a run folder's preset; leaves `preflight.json` and `preflight.html`, and no adapter.

    Problems before anything is measured; KeyboardInterrupt where the run is asked to stop."""
    began = time.time()
    stand = build(run, emit)
    preset = stand.bench.preset
    report = Preflight(
        run=run.id,
        preset=str(preset.about.title or preset.saving.name),
        device=machines.device_name(stand.bench.device, stand.bench.ranks),
        created=began,
        rungs=rungs(stand, emit),
        seconds=time.time() - began,
    )
    run.put(run.path / JSON_FILE, Whole(dumps(report).encode()))
    run.put(run.path / HTML_FILE, Whole(page(report).encode()))
    return report


def rungs(stand: Stand, emit: Fan) -> list[Rung]:
    """All rungs in order. The base model comes first in time, before any update; what it shows explains the others.
    Where nothing can be trained, the rungs that train are not tried."""
    steps, preset = stand.own.steps.total, stand.bench.preset
    mode, row = preset.captions.mode, catalog.optimizer(preset.optimizer.name)
    finds_rate = row is not None and row.finds_rate
    first: dict[int, Climb] = {
        3: lambda: base_model(base.measure(stand)),
        1: lambda: one_image(overfit.measure_one(stand), steps, finds_rate),
    }
    rest: dict[int, Climb] = {
        2: lambda: few_images(overfit.measure_few(stand), base.measure_text(stand), mode),
        4: lambda: learning_rate(sweep.measure(stand)),
        5: lambda: speed_and_memory(speed.measure(stand), stand.own.preset, steps),
    }
    done = {number: _tell(emit, _guarded(preset, number, climb_it)) for number, climb_it in first.items()}
    trains = bool(done[1].figures.get("steps"))
    for number, climb_it in rest.items():
        done[number] = _tell(emit, _guarded(preset, number, climb_it) if trains else _not_tried(number))
    return [done[number] for number in sorted(done)]


def _guarded(preset: Preset, number: int, climb_it: Climb) -> Rung:
    """A rung; one that the device's memory does not allow is red, and the next is tried."""
    try:
        return climb_it()
    except Exception as error:
        if not (memory := ran_out(error)):
            raise
        fixes = [f"{relief.setting}: {relief.text}" for relief in memory_relief(preset)]
        where = {"device": "the device's memory", "main": "main memory"}[memory]
        sentence, said = f"It does not fit into {where}.", [first_line(error)]
    if torch.cuda.is_available():  # the error and what it held are gone by now
        torch.cuda.empty_cache()
    return Rung(number, NAMES[number], "red", sentence, said, "out of memory", fixes)


def _not_tried(number: int) -> Rung:
    return Rung(number, NAMES[number], "yellow", "Not tried: nothing can be trained before rung 1 is put right.")


def _tell(emit: Fan, rung: Rung) -> Rung:
    text = f"Preflight, {rung.name.lower()}: {rung.verdict}. {rung.sentence}"
    emit(Noted(text=text) if rung.verdict == "green" else Warned(text=text))
    return rung
