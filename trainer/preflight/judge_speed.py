"""Speed and memory judged: the recipe's "a batch under a second", with the reason where it cannot be."""

from __future__ import annotations

from trainer.contract.settings import Preset
from trainer.plan.advice import memory_relief
from trainer.report.preflight import Rung
from trainer.report.verdicts import WORDS, in_a_line, verdict
from trainer.report.words import duration, size

from .speed import SpeedFigures
from .verdict import NAMES, Finding, worst_of

BATCH_S = 1.0
"""The recipe's goal for a batch, seconds."""

LARGE_PX = 768
"""A resolution from which it is a reason."""

FULL = 0.92
"""Share of the device's memory from which samples, checks or another program may not fit beside the training."""


def speed(figures: SpeedFigures, preset: Preset, steps: int) -> Rung:
    """Seconds, bytes, hours of a run of `steps` steps on this one device."""
    split, memory = figures.split, figures.split.memory
    whole = figures.training_s + figures.sampling_s + figures.validation_s
    numbers = {
        "seconds_per_step": figures.step_s,
        "seconds_per_batch": figures.batch_s,
        **{f"share_{part}": split.share(part) for part in WORDS if split.seconds[part] > 0},
        "images_per_second": split.images_per_second or 0.0,
        "peak_bytes": figures.peak_bytes,
        **({"device_total_bytes": memory["device_total"]} if "device_total" in memory else {}),
        "run_training_s": figures.training_s,
        "run_sampling_s": figures.sampling_s,
        "run_validation_s": figures.validation_s,
        "run_s": whole,
    }
    total = f" of {size(int(memory['device_total']))}" if "device_total" in memory else ""
    where = "on the device" if figures.gpu else "of main memory, by this process"
    extras = [
        f"{duration(seconds)} {what}"
        for seconds, what in ((figures.sampling_s, "samples"), (figures.validation_s, "checks"))
        if seconds
    ]
    rest = f", with about {' and '.join(extras)}" if extras else ""
    details = [
        f"A step takes {figures.step_s:.3g} s: {in_a_line(split)}.",
        f"All {steps:,} steps: about {duration(whole)}{rest}.",
        f"At most {size(int(figures.peak_bytes))}{total} {where}.",
    ]
    said = verdict(split, preset)
    if said.text:
        details.append(said.text)
    found = worst_of([_pace(figures, preset), _room(figures, preset)])
    fixes = [*found.fixes, *([said.text] if said.setting and found.verdict != "green" else [])]
    return Rung(5, NAMES[5], found.verdict, found.sentence, details, found.link, fixes, numbers)


def _pace(figures: SpeedFigures, preset: Preset) -> Finding:
    if figures.batch_s < BATCH_S:
        return Finding("green", f"A batch takes {figures.batch_s:.2g} s: under a second, as it should be.")
    rows = reasons(figures, preset)
    why = " and ".join(reason for reason, _ in rows) or "the device is slow for this model"
    sentence = f"A batch takes {figures.batch_s:.2g} s, not under a second: {why}."
    return Finding("yellow", sentence, "", [fix for _, fix in rows if fix])


def reasons(figures: SpeedFigures, preset: Preset) -> list[tuple[str, str]]:
    """Why a batch takes longer than a second: the reason, and what to change ("" where nothing can be)."""
    side, batch = int(preset.dataset.resolution), int(preset.training.batch_size)  # type: ignore[arg-type]
    found = [
        (not figures.gpu, "a CPU computes", "use a computer with a GPU; lower dataset.resolution to try things out"),
        (figures.split.share("data") > 0.3, "it waits for data", "turn memory.cache_latents on"),
        (side >= LARGE_PX, f"images have {side} x {side} pixels", "lower dataset.resolution"),
        (bool(preset.memory.gradient_checkpointing), "gradient checkpointing computes all twice",
         "turn memory.gradient_checkpointing off, if the memory allows it"),
        (batch > 1, f"it holds {batch} images", "lower training.batch_size, and raise training.accumulate instead"),
        (figures.gpu and preset.precision.compute == "float", "it computes in float",
         'set precision.compute to "bf16" ("fp16" before RTX 30xx)'),
    ]  # fmt: skip
    return [(reason, fix) for true, reason, fix in found if true]


def _room(figures: SpeedFigures, preset: Preset) -> Finding:
    total = figures.split.memory.get("device_total", 0.0)
    if not total or figures.peak_bytes < FULL * total:
        return Finding("green", "")
    fixes = [f"{relief.setting}: {relief.text}" for relief in memory_relief(preset)[:3]]
    sentence = f"The device's memory is nearly full ({size(int(figures.peak_bytes))} of {size(int(total))})."
    return Finding("yellow", sentence, "out of memory", fixes)
