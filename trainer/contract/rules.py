"""Checks of settings against each other and against the model's family, on a resolved preset: no torch, no disk.

Each rule is a function that returns what it finds; `check` runs them all. `notes` tells what does not stop a run.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

from . import catalog, optimizer_table
from .families import Family, Recognised, untrained
from .parse import parse_gpus, parse_split
from .preset import value_at
from .problems import Problem
from .rundir import slug
from .settings import BY_PATH, Preset, Rule

PresetRule = Callable[[Preset], list[Problem]]
FamilyRule = Callable[[Preset, Family], list[Problem]]

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".heic", ".heif")


def check(preset: Preset, family: Family) -> list[Problem]:
    """Everything that is wrong with a resolved preset, in the order of the rules below."""
    found = [problem for rule in (*FOR_THE_PLAN, *SETTINGS) for problem in rule(preset)]
    return found + [problem for rule in FAMILY for problem in rule(preset, family)]


def check_model(preset: Preset, recognised: Recognised) -> list[Problem]:
    """Whether the base model is one that we train, and the one that `model.family` insists on."""
    path, wanted = preset.model.path, preset.model.family
    if not recognised.trained:
        return [untrained(path, recognised)]
    if wanted.strip().lower() not in ("auto", recognised.family.lower()):
        why = f"the base model is {recognised.family}, not {wanted}"
        return [Problem("model.family", why, 'set it to "auto" or choose another model', "model")]
    return []


def notes(preset: Preset) -> list[Problem]:
    """What a user should know of a resolved preset but may want: told, never stopping."""
    return [problem for note in NOTES for problem in note(preset)]


def closest(name: str, known: Iterable[str], otherwise: str) -> str:
    """`"did you mean X?"`, letter case aside, or else `otherwise`."""
    by_lower = {option.lower(): option for option in known}
    close = difflib.get_close_matches(name.strip().lower(), list(by_lower), 1, 0.6)
    return f"did you mean {by_lower[close[0]]}?" if close else otherwise


def _resolved(preset: Preset) -> list[Problem]:
    """Rules left over mean that the caller forgot to resolve the preset: a fault of the program, not of the user."""
    left = [path for path in BY_PATH if isinstance(value_at(preset, path), Rule)]
    if left:
        raise ValueError(f"the preset is not resolved: {', '.join(left)}")
    return []


def _split(preset: Preset) -> list[Problem]:
    try:
        parse_split(preset.validation.split)
    except ValueError as error:
        return [Problem("validation.split", f"{preset.validation.split!r} is not understood", str(error))]
    return []


def _gpus(preset: Preset) -> list[Problem]:
    try:
        parse_gpus(preset.hardware.gpus)
    except ValueError as error:
        return [Problem("hardware.gpus", f"{preset.hardware.gpus!r} is not understood", str(error))]
    return []


def _separators(preset: Preset) -> list[Problem]:
    captions = preset.captions
    if not captions.separator:
        return [Problem("captions.separator", "tags cannot be separated by nothing", 'set it to ","')]
    marks = {"keep_separator": captions.keep_separator, "secondary_separator": captions.secondary_separator}
    same = [
        Problem(f"captions.{n}", "it is the tag separator too", "use ||| or ;;;")
        for n, m in marks.items()
        if m == captions.separator
    ]
    if captions.keep_separator and captions.keep_separator == captions.secondary_separator:
        same.append(Problem("captions.secondary_separator", "it is the keep separator too", "use another mark"))
    return same


def _extension(preset: Preset) -> list[Problem]:
    extension = preset.captions.extension
    if not re.fullmatch(r"\.[\w.-]*\w", extension):
        return [Problem("captions.extension", f"{extension!r} is no file ending", 'write it as ".txt"')]
    if extension.lower() in IMAGE_ENDINGS:
        return [Problem("captions.extension", f"{extension} is an image", 'write it as ".txt"')]
    return []


def _bucket_limits(preset: Preset) -> list[Problem]:
    dataset = preset.dataset
    side, low, high, step = (
        int(value)  # type: ignore[arg-type]
        for value in (dataset.resolution, dataset.bucket_min, dataset.bucket_max, dataset.bucket_step)
    )
    if not dataset.buckets:
        return []
    if step > side:
        return [Problem("dataset.bucket_step", f"{step} is larger than the resolution {side}", f"at most {side}")]
    if not dataset.enlarge:
        return []
    problems = []
    if low > side // step * step:
        fix = f"at most {side // step * step}"
        problems.append(Problem("dataset.bucket_min", f"{low} is above the resolution {side}", fix))
    if high < side:
        problems.append(Problem("dataset.bucket_max", f"{high} is below the resolution {side}", f"at least {side}"))
    return problems


def _tag_warmup(preset: Preset) -> list[Problem]:
    if preset.captions.tag_warmup > 0 and preset.memory.caption_variants > 0 and preset.memory.cache_text:
        why = "captions prepared beforehand cannot grow with the tag warmup"
        return [Problem("memory.caption_variants", why, "set it or captions.tag_warmup to 0")]
    return []


def _something_trained(preset: Preset) -> list[Problem]:
    network, optimizer = preset.network, preset.optimizer
    if not network.unet and not network.text_encoder:
        return [Problem("network.unet", "nothing is trained: U-Net and text encoder are both off", "turn one on")]
    rates = [(network.unet, "unet_learning_rate"), (network.text_encoder, "text_encoder_learning_rate")]
    still = [name for on, name in rates if on and getattr(optimizer, name) == 0]
    if len(still) == network.unet + network.text_encoder:
        return [Problem(f"optimizer.{still[0]}", "nothing is learnt at rate 0", "raise it, or leave it empty")]
    return []


def _conv_alpha(preset: Preset) -> list[Problem]:
    if preset.network.conv_rank and not preset.network.conv_alpha:
        why = "the convolutions' update would be multiplied by 0"
        return [Problem("network.conv_alpha", why, f"set it to {preset.network.conv_rank}, or network.conv_rank to 0")]
    return []


def _catalog_names(preset: Preset) -> list[Problem]:
    problems = []
    for path, item in BY_PATH.items():
        table, name = item.setting.choices, str(value_at(preset, path))
        if table in ("", "optimizers") or (table == "families" and name.strip().lower() == "auto"):
            continue
        if catalog.find(table, name) is None:
            names = catalog.names(table)
            fix = closest(name, names, f"one of {', '.join(names)}")
            problems.append(Problem(path, f"there is no {item.setting.label.lower()} called {name!r}", fix))
    return problems


def _optimizer_name(preset: Preset) -> list[Problem]:
    name = preset.optimizer.name
    if optimizer_table.find(name):
        return []
    fix = closest(name, optimizer_table.table(), f"one of {', '.join(catalog.names('optimizers'))}")
    return [Problem("optimizer.name", f"there is no optimizer called {name!r}", fix)]


_OWN_SETTING = {
    "lr": "set optimizer.learning_rate",
    "learning_rate": "set optimizer.learning_rate",
    "weight_decay": "set optimizer.weight_decay",
    "params": "it is what is trained",
}


def _optimizer_args(preset: Preset) -> list[Problem]:
    name, known = preset.optimizer.name, optimizer_table.arguments(preset.optimizer.name)
    problems = []
    for argument in preset.optimizer.args if known else ():
        if argument in _OWN_SETTING:
            problems.append(Problem("optimizer.args", f"{argument} is not set here", _OWN_SETTING[argument]))
        elif argument not in known:
            fix = closest(argument, known, f"it has {', '.join(known)}")
            problems.append(Problem("optimizer.args", f"{name} has no argument {argument!r}", fix))
    return problems


def _one_rate(preset: Preset) -> list[Problem]:
    optimizer, network = preset.optimizer, preset.network
    both = network.unet and network.text_encoder
    same = optimizer.unet_learning_rate == optimizer.text_encoder_learning_rate
    if not both or same or not catalog.optimizer(optimizer.name).finds_rate:
        return []
    why = f"{optimizer.name} finds one rate for everything and cannot apply two"
    return [Problem("optimizer.text_encoder_learning_rate", why, "leave the separate learning rates empty")]


def _schedule_shares(preset: Preset) -> list[Problem]:
    schedule = preset.schedule
    entry = catalog.find("schedules", schedule.name)
    if entry and entry.name == "warmup stable decay" and schedule.warmup + schedule.decay > 100:
        why = f"warmup {schedule.warmup:g} % and decay {schedule.decay:g} % are more than the whole run"
        return [Problem("schedule.decay", why, f"at most {100 - schedule.warmup:g}")]
    return []


def _file_name(preset: Preset) -> list[Problem]:
    name = str(preset.saving.name)
    if name.lower().endswith((".safetensors", ".ckpt", ".pt")):
        return [Problem("saving.name", "the ending is added by itself", f"write {name.rsplit('.', 1)[0]}")]
    reserved = slug(name).startswith("_") and not name.startswith("_")
    if re.search(r'[<>:"/\\|?*\x00-\x1f]', name) or name != name.strip(" .") or len(name) > 100 or reserved:
        return [Problem("saving.name", f"{name!r} cannot be a file name everywhere", f"try {slug(name)}")]
    return []


def _size_multiple(preset: Preset, family: Family) -> list[Problem]:
    dataset, multiple = preset.dataset, family.size_multiple
    path = "dataset.bucket_step" if dataset.buckets else "dataset.resolution"
    return _not_multiple(path, int(value_at(preset, path)), multiple, f"{family.name} needs")


def _sample_size(preset: Preset, family: Family) -> list[Problem]:
    sides = [("sampling.width", preset.sampling.width), ("sampling.height", preset.sampling.height)]
    return [
        problem
        for path, side in sides
        if preset.dataset.buckets or side != preset.dataset.resolution  # else the resolution itself is named
        for problem in _not_multiple(path, int(side), family.latent_factor, "pictures need")  # type: ignore[arg-type]
    ]


def _not_multiple(path: str, value: int, multiple: int, who: str) -> list[Problem]:
    if value % multiple == 0:
        return []
    near = max(multiple, round(value / multiple) * multiple)
    return [Problem(path, f"{value} is not a multiple of {multiple}, which {who}", f"try {near}")]


FOR_THE_PLAN: tuple[PresetRule, ...] = (_resolved, _split, _gpus, _separators, _extension, _bucket_limits)
"""What the plan cannot be computed without."""

SETTINGS: tuple[PresetRule, ...] = (
    _something_trained,
    _conv_alpha,
    _catalog_names,
    _optimizer_name,
    _optimizer_args,
    _one_rate,
    _schedule_shares,
    _tag_warmup,
    _file_name,
)

FAMILY: tuple[FamilyRule, ...] = (_size_multiple, _sample_size)


def _unusual_rate(preset: Preset) -> list[Problem]:
    """Not told of a preset that a real run has proved with this rate."""
    optimizer = preset.optimizer
    row = catalog.find("optimizers", optimizer.name)
    if preset.about.tested != Preset().about.tested:
        return []
    if not isinstance(row, catalog.Optimizer) or row.low / 3 <= optimizer.learning_rate <= row.high * 3:
        return []
    why = f"{optimizer.learning_rate:g} is far from what is usual with {row.name}, {row.low:g} to {row.high:g}"
    return [Problem("optimizer.learning_rate", why, f"start at {row.rate:g}")]


def _rate_finder_warmup(preset: Preset) -> list[Problem]:
    row = catalog.optimizer(preset.optimizer.name)
    if row.finds_rate and preset.schedule.warmup > 0 and not preset.optimizer.args.get("safeguard_warmup"):
        return [Problem("schedule.warmup", f"{row.name} misjudges the rate during a warmup", "set it to 0")]
    return []


def _schedule_free(preset: Preset) -> list[Problem]:
    entry = catalog.find("schedules", preset.schedule.name)
    if catalog.optimizer(preset.optimizer.name).eval_mode and entry and entry.name != "constant":
        why = f"{preset.optimizer.name} replaces a schedule; a falling rate slows it twice"
        return [Problem("schedule.name", why, "set it to constant")]
    return []


def _cpu_precision(preset: Preset) -> list[Problem]:
    if preset.hardware.gpus.strip().lower().startswith("cpu") and preset.precision.compute == "fp16":
        return [Problem("precision.compute", "fp16 is several times slower than float on a CPU", "set it to float")]
    return []


def _nothing_held_out(preset: Preset) -> bool:
    return preset.validation.split.strip().lower() == "off" and not preset.validation.folder


def _stops_without_checks(preset: Preset) -> list[Problem]:
    validation = preset.validation
    if validation.stop != "report only" and (validation.every == "never" or _nothing_held_out(preset)):
        return [Problem("validation.stop", "nothing is measured, so it never stops early", "set validation.every")]
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
    return [Problem("validation.likeness_model", "no sample pictures are drawn to be compared", "set sampling.every")]


def _no_buckets_enlarge(preset: Preset) -> list[Problem]:
    if not preset.dataset.buckets and not preset.dataset.enlarge:
        return [Problem("dataset.enlarge", "without buckets small images are enlarged anyway", "turn buckets on")]
    return []


def _unused_trigger(preset: Preset) -> list[Problem]:
    if preset.captions.mode == "none" and preset.captions.trigger:
        return [Problem("captions.trigger", "captions are off, so the trigger word is not used", "remove it")]
    return []


NOTES: tuple[PresetRule, ...] = (
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
