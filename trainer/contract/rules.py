"""Checks of settings against each other and against the model's family, on a resolved preset: no torch, no disk.

Each rule is a function that returns what it finds; `check` runs them all. What stops no run is told by `advice`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

from . import catalog, noise_rules, optimizer_table, rules_network
from .families import Family
from .model_rules import check_model
from .parse import parse_gpus, parse_split
from .preset import value_at
from .problems import Problem, to
from .rundir import slug
from .settings import BY_PATH, Preset, Rule

__all__ = ["FAMILY", "FOR_THE_PLAN", "IMAGE_ENDINGS", "SETTINGS", "check", "check_model", "closest", "closeto"]

PresetRule = Callable[[Preset], list[Problem]]
FamilyRule = Callable[[Preset, Family], list[Problem]]

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".heic", ".heif")


def check(preset: Preset, family: Family) -> list[Problem]:
    """Everything that is wrong with a resolved preset, in the order of the rules below."""
    found = [problem for rule in (*FOR_THE_PLAN, *SETTINGS) for problem in rule(preset)]
    return found + [problem for rule in FAMILY for problem in rule(preset, family)]


def closest(name: str, known: Iterable[str], otherwise: str) -> str:
    """`"did you mean X?"`, letter case aside, or else `otherwise`."""
    close = closeto(name, known)
    return f"did you mean {close}?" if close else otherwise


def closeto(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`, letter case aside; "" where none is."""
    by_lower = {option.lower(): option for option in known}
    close = difflib.get_close_matches(name.strip().lower(), list(by_lower), 1, 0.6)
    return by_lower[close[0]] if close else ""


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
        change = to("captions.separator", ",")
        return [Problem("captions.separator", "tags cannot be separated by nothing", 'set it to ","', change=change)]
    marks = {"keep_separator": captions.keep_separator, "secondary_separator": captions.secondary_separator}
    free = [mark for mark in ("|||", ";;;", "###") if mark not in (captions.separator, *marks.values())]
    same = [
        Problem(f"captions.{n}", "it is the tag separator too", f"use {free[0]}", change=to(f"captions.{n}", free[0]))
        for n, m in marks.items()
        if m == captions.separator
    ]
    if captions.keep_separator and captions.keep_separator == captions.secondary_separator:
        path, why = "captions.secondary_separator", "it is the keep separator too"
        same.append(Problem(path, why, f"use {free[0]}", change=to(path, free[0])))
    return same


def _extension(preset: Preset) -> list[Problem]:
    extension = preset.captions.extension
    if not re.fullmatch(r"\.[\w.-]*\w", extension):
        why = f"{extension!r} is no file ending"
    elif extension.lower() in IMAGE_ENDINGS:
        why = f"{extension} is an image"
    else:
        return []
    return [Problem("captions.extension", why, 'write it as ".txt"', change=to("captions.extension", ".txt"))]


def _bucket_limits(preset: Preset) -> list[Problem]:
    dataset = preset.dataset
    side, low, high, step = (
        int(value)  # type: ignore[arg-type]
        for value in (dataset.resolution, dataset.bucket_min, dataset.bucket_max, dataset.bucket_step)
    )
    if not dataset.buckets:
        return []
    if step > side:
        why, change = f"{step} is larger than the resolution {side}", to("dataset.bucket_step", side)
        return [Problem("dataset.bucket_step", why, f"at most {side}", change=change)]
    if not dataset.enlarge:
        return []
    problems = []
    if low > side // step * step:
        most = side // step * step
        why, change = f"{low} is above the resolution {side}", to("dataset.bucket_min", most)
        problems.append(Problem("dataset.bucket_min", why, f"at most {most}", change=change))
    if high < side:
        why, change = f"{high} is below the resolution {side}", to("dataset.bucket_max", -(-side // step) * step)
        problems.append(Problem("dataset.bucket_max", why, f"at least {side}", change=change))
    return problems


def _masks(preset: Preset) -> list[Problem]:
    dataset = preset.dataset
    if dataset.masks != "folders" or not dataset.folders or any(row.mask.strip() for row in dataset.folders):
        return []
    why = "masks are to be taken from folders, and no row of images names one"
    return [Problem("dataset.masks", why, "name it in the row, or use no masks", change=to("dataset.masks", "none"))]


def _tag_warmup(preset: Preset) -> list[Problem]:
    if preset.captions.tag_warmup > 0 and preset.memory.caption_variants > 0 and preset.memory.cache_text:
        why = "captions prepared beforehand cannot grow with the tag warmup"
        fix, change = "set it or captions.tag_warmup to 0", to("memory.caption_variants", 0)
        return [Problem("memory.caption_variants", why, fix, change=change)]
    return []


def _something_trained(preset: Preset) -> list[Problem]:
    network, optimizer = preset.network, preset.optimizer
    if not network.unet and not network.text_encoder:
        why = "nothing is trained: U-Net and text encoder are both off"
        return [Problem("network.unet", why, "turn one on", change=to("network.unet", True))]
    rates = [(network.unet, "unet_learning_rate"), (network.text_encoder, "text_encoder_learning_rate")]
    still = [name for on, name in rates if on and getattr(optimizer, name) == 0]
    if len(still) == network.unet + network.text_encoder:
        path, fix = f"optimizer.{still[0]}", "raise it, or leave it empty"
        return [Problem(path, "nothing is learnt at rate 0", fix, change=to(path, BY_PATH[path].default))]
    return []


def _conv_alpha(preset: Preset) -> list[Problem]:
    if preset.network.conv_rank and not preset.network.conv_alpha:
        why = "the convolutions' update would be multiplied by 0"
        fix = f"set it to {preset.network.conv_rank}, or network.conv_rank to 0"
        change = to("network.conv_alpha", BY_PATH["network.conv_alpha"].default)
        return [Problem("network.conv_alpha", why, fix, change=change)]
    return []


def _catalog_names(preset: Preset) -> list[Problem]:
    problems = []
    for path, item in BY_PATH.items():
        table, name = item.setting.choices, str(value_at(preset, path))
        if table in ("", "optimizers") or (table == "families" and name.strip().lower() == "auto"):
            continue
        if catalog.find(table, name) is None:
            names = catalog.names(table)
            fix, close = closest(name, names, f"one of {', '.join(names)}"), closeto(name, names)
            why = f"there is no {item.setting.label.lower()} called {name!r}"
            problems.append(Problem(path, why, fix, change=to(path, close) if close else ()))
    return problems


def _optimizer_name(preset: Preset) -> list[Problem]:
    name = preset.optimizer.name
    if optimizer_table.find(name):
        return []
    fix = closest(name, optimizer_table.table(), f"one of {', '.join(catalog.names('optimizers'))}")
    change = to("optimizer.name", close) if (close := closeto(name, optimizer_table.table())) else ()
    return [Problem("optimizer.name", f"there is no optimizer called {name!r}", fix, change=change)]


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
            change = _renamed(preset, argument, "")
            problems.append(
                Problem("optimizer.args", f"{argument} is not set here", _OWN_SETTING[argument], change=change)
            )
        elif argument not in known:
            fix, close = closest(argument, known, f"it has {', '.join(known)}"), closeto(argument, known)
            change = _renamed(preset, argument, close) if close and close not in preset.optimizer.args else ()
            problems.append(Problem("optimizer.args", f"{name} has no argument {argument!r}", fix, change=change))
    return problems


def _renamed(preset: Preset, argument: str, name: str) -> tuple[tuple[str, object], ...]:
    """The optimizer's arguments with one called otherwise, or left out."""
    named = {name if key == argument else key: value for key, value in preset.optimizer.args.items()}
    return to("optimizer.args", {key: value for key, value in named.items() if key})


def _one_rate(preset: Preset) -> list[Problem]:
    optimizer, network = preset.optimizer, preset.network
    both = network.unet and network.text_encoder
    same = optimizer.unet_learning_rate == optimizer.text_encoder_learning_rate
    if not both or same or not catalog.optimizer(optimizer.name).finds_rate:
        return []
    why = f"{optimizer.name} finds one rate for everything and cannot apply two"
    paths = ("optimizer.unet_learning_rate", "optimizer.text_encoder_learning_rate")
    change = tuple((path, BY_PATH[path].default) for path in paths)
    fix = "leave the separate learning rates empty"
    return [Problem("optimizer.text_encoder_learning_rate", why, fix, change=change)]


def _schedule_shares(preset: Preset) -> list[Problem]:
    schedule = preset.schedule
    entry = catalog.find("schedules", schedule.name)
    if entry and entry.name == "warmup stable decay" and schedule.warmup + schedule.decay > 100:
        why = f"warmup {schedule.warmup:g} % and decay {schedule.decay:g} % are more than the whole run"
        most = 100 - schedule.warmup
        return [Problem("schedule.decay", why, f"at most {most:g}", change=to("schedule.decay", most))]
    return []


def _file_name(preset: Preset) -> list[Problem]:
    name = str(preset.saving.name)
    if name.lower().endswith((".safetensors", ".ckpt", ".pt")):
        bare = name.rsplit(".", 1)[0]
        return [
            Problem("saving.name", "the ending is added by itself", f"write {bare}", change=to("saving.name", bare))
        ]
    reserved = slug(name).startswith("_") and not name.startswith("_")
    if re.search(r'[<>:"/\\|?*\x00-\x1f]', name) or name != name.strip(" .") or len(name) > 100 or reserved:
        why, change = f"{name!r} cannot be a file name everywhere", to("saving.name", slug(name))
        return [Problem("saving.name", why, f"try {slug(name)}", change=change)]
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
    why = f"{value} is not a multiple of {multiple}, which {who}"
    return [Problem(path, why, f"try {near}", change=to(path, near))]


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
    _masks,
    _tag_warmup,
    *noise_rules.NOISE,
    _file_name,
    *rules_network.SETTINGS,
)

FAMILY: tuple[FamilyRule, ...] = (_size_multiple, _sample_size, *rules_network.FAMILY)
