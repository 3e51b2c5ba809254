"""What a user should know of a resolved preset but may want: told beside its field and in the plan, stopping no run."""

from __future__ import annotations

from collections.abc import Callable

from . import catalog
from .problems import Problem, to
from .settings import BY_PATH, Preset


def notes(preset: Preset) -> list[Problem]:
    """All advice on a resolved preset, in the order of the table below."""
    return [problem for note in NOTES for problem in note(preset)]


def _unusual_rate(preset: Preset) -> list[Problem]:
    """Not told of a preset that a real run has proved with this rate."""
    optimizer = preset.optimizer
    row = catalog.find("optimizers", optimizer.name)
    if preset.about.tested != Preset().about.tested:
        return []
    if not isinstance(row, catalog.Optimizer) or row.low / 3 <= optimizer.learning_rate <= row.high * 3:
        return []
    why = f"{optimizer.learning_rate:g} is far from what is usual with {row.name}, {row.low:g} to {row.high:g}"
    change = to("optimizer.learning_rate", row.rate)
    return [Problem("optimizer.learning_rate", why, f"start at {row.rate:g}", change=change)]


def _rate_finder_warmup(preset: Preset) -> list[Problem]:
    row = catalog.optimizer(preset.optimizer.name)
    if row.finds_rate and preset.schedule.warmup > 0 and not preset.optimizer.args.get("safeguard_warmup"):
        why = f"{row.name} misjudges the rate during a warmup"
        return [Problem("schedule.warmup", why, "set it to 0", change=to("schedule.warmup", 0.0))]
    return []


def _schedule_free(preset: Preset) -> list[Problem]:
    entry = catalog.find("schedules", preset.schedule.name)
    if catalog.optimizer(preset.optimizer.name).eval_mode and entry and entry.name != "constant":
        why = f"{preset.optimizer.name} replaces a schedule; a falling rate slows it twice"
        return [Problem("schedule.name", why, "set it to constant", change=to("schedule.name", "constant"))]
    return []


def _cpu_precision(preset: Preset) -> list[Problem]:
    if preset.hardware.gpus.strip().lower().startswith("cpu") and preset.precision.compute == "fp16":
        why, change = "fp16 is several times slower than float on a CPU", to("precision.compute", "float")
        return [Problem("precision.compute", why, "set it to float", change=change)]
    return []


def _nothing_held_out(preset: Preset) -> bool:
    return preset.validation.split.strip().lower() == "off" and not preset.validation.folder


def _stops_without_checks(preset: Preset) -> list[Problem]:
    validation = preset.validation
    if validation.stop != "report only" and (validation.every == "never" or _nothing_held_out(preset)):
        fix, change = ("hold images out", to("validation.split", "10 %"))
        if not _nothing_held_out(preset):
            fix, change = 'set validation.every to "auto"', to("validation.every", "auto")
        why = "nothing is measured, so it never stops early"
        return [Problem("validation.stop", why, fix, change=change)]
    return []


def _stops_by_the_clock(preset: Preset) -> list[Problem]:
    validation = preset.validation
    if validation.stop == "report only" or validation.every != "auto" or _nothing_held_out(preset):
        return []
    why = "which steps are checked depends on the machine's pace, so two runs may stop at different steps"
    fix = "set validation.every to a number of steps where stopping must be exactly repeatable"
    return [Problem("validation.stop", why, fix)]


def _likeness_without_samples(preset: Preset) -> list[Problem]:
    sampling, model = preset.sampling, preset.validation.likeness_model
    drawn = (sampling.prompts or sampling.prompts_file) and (sampling.every != "never" or sampling.at_start)
    if not model or drawn:
        return []
    path = "sampling.every"
    has_prompts = preset.sampling.prompts or preset.sampling.prompts_file
    change = to(path, BY_PATH[path].default) if has_prompts else ()
    why = "no sample pictures are drawn to be compared"
    return [Problem("validation.likeness_model", why, f"set {path}", change=change)]


def _no_buckets_enlarge(preset: Preset) -> list[Problem]:
    if not preset.dataset.buckets and not preset.dataset.enlarge:
        why, change = "without buckets small images are enlarged anyway", to("dataset.buckets", True)
        return [Problem("dataset.enlarge", why, "turn buckets on", change=change)]
    return []


def _unused_trigger(preset: Preset) -> list[Problem]:
    if preset.captions.mode == "none" and preset.captions.trigger:
        why = "captions are off, so the trigger word is not used"
        return [Problem("captions.trigger", why, "remove it", change=to("captions.trigger", ""))]
    return []


NOTES: tuple[Callable[[Preset], list[Problem]], ...] = (
    _unusual_rate,
    _rate_finder_warmup,
    _schedule_free,
    _cpu_precision,
    _stops_without_checks,
    _stops_by_the_clock,
    _likeness_without_samples,
    _no_buckets_enlarge,
    _unused_trigger,
)
