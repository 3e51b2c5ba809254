"""What sd-scripts cannot do of a preset (a problem each, with what to set instead), and what it does otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..importers.flags import BUCKET_STEPS, LARGE
from ..importers.links_course import SCHEDULES
from ..importers.links_network import needs_lycoris
from ..importers.optimizers import theirs_of
from ..parse import parse_split
from ..preset import value_at, why_off
from ..problems import Problem, to
from ..settings import BY_PATH, Preset, parse_interval

_THERE = "sd-scripts"


def problems(preset: Preset, script: str, lycoris: bool) -> list[Problem]:
    """Everything that would train otherwise, or not at all. Settings that have no effect anyway are not looked at."""
    found = [problem for rule in _RULES for problem in rule(preset)]
    found += _program(preset, script, lycoris)
    return [problem for problem in found if problem.path not in BY_PATH or not why_off(preset, BY_PATH[problem.path])]


def _cannot(path: str, why: str, fix: str, value: Any = None) -> Problem:
    return Problem(path, f"{_THERE} {why}", fix, change=() if value is None else to(path, value))


def _program(preset: Preset, script: str, lycoris: bool) -> list[Problem]:
    found = []
    if script not in BUCKET_STEPS:
        found.append(_cannot("model.family", f"would need {script}.py for it, which is not driven from here", ""))
    step = BUCKET_STEPS.get(script, 64)
    if preset.dataset.buckets and preset.dataset.bucket_step % step:
        why, nearest = f"wants a multiple of {step}", max(step, round(preset.dataset.bucket_step / step) * step)
        found.append(_cannot("dataset.bucket_step", why, f"try {nearest}", nearest))
    rates = preset.optimizer
    if script == LARGE and rates.text_encoder_2_learning_rate != rates.text_encoder_learning_rate:
        why, fix = "has one rate for both text encoders", "give both the same"
        found.append(_cannot("optimizer.text_encoder_2_learning_rate", why, fix, rates.text_encoder_learning_rate))
    if needs_lycoris(preset) and not lycoris:
        path = "network.dora" if preset.network.dora else "network.type"
        why = "does it with the LyCORIS library only, which is not installed beside it"
        found.append(_cannot(path, why, "install lycoris-lora there, or choose a plain LoRA"))
    return found


def _network(preset: Preset) -> list[Problem]:
    network = preset.network
    found = []
    if network.ema > 0:
        found.append(_cannot("network.ema", "keeps no moving average", "set it to 0", 0.0))
    if network.layers:
        found.append(_cannot("network.layers", "has no rules of layers by name", "remove them, or use blocks", []))
    blocks = ("block_ranks", "block_conv_ranks", "down_rates", "mid_rates", "up_rates")
    for name in blocks:
        if needs_lycoris(preset) and getattr(network, name):
            why = "has values of blocks for plain LoRA only"
            found.append(_cannot(f"network.{name}", why, "empty it", type(getattr(network, name))()))
    stops = ("optimizer.text_encoder_stop", "optimizer.text_encoder_2_stop")
    early = [path for path in stops if value_at(preset, path) != 100]
    if early:
        why, all_on = f"{_THERE} trains text encoders to the end", tuple((path, 100.0) for path in early)
        found.append(Problem(early[0], why, "set it to 100", change=all_on))
    return found


def _course(preset: Preset) -> list[Problem]:
    found = []
    if not theirs_of(preset.optimizer.name):
        found.append(_cannot("optimizer.name", f"has no optimizer {preset.optimizer.name}", "try AdamW", "AdamW"))
    schedule = preset.schedule
    if schedule.name not in SCHEDULES.values():
        found.append(_cannot("schedule.name", f"has no schedule {schedule.name}", "try cosine", "cosine"))
    if theirs_of(preset.optimizer.name).lower().endswith("schedulefree") and schedule.name != "constant":
        why = "runs schedule-free optimizers at a constant rate"
        found.append(_cannot("schedule.name", why, "choose constant", "constant"))
    if schedule.minimum > 0 and schedule.name not in ("cosine", "warmup stable decay", "constant"):
        why = f"knows a minimum for cosine and warmup stable decay only, not for {schedule.name}"
        found.append(_cannot("schedule.minimum", why, "set it to 0", 0.0))
    if preset.noise.timesteps != "uniform":
        found.append(_cannot("noise.timesteps", "draws timesteps of these models uniformly", "set it so", "uniform"))
    for path, every in (("sampling.every", preset.sampling.every), ("saving.every", preset.saving.every)):
        if parse_interval(every).unit == "minute":
            found.append(_cannot(path, "counts steps or epochs, no minutes", 'write it as "500 steps"', "500 steps"))
    return found


def _data(preset: Preset) -> list[Problem]:
    dataset, captions = preset.dataset, preset.captions
    found = []
    if dataset.balance == "weights":
        found.append(_cannot("dataset.balance", "balances folders by repeats only", "choose repeats", "repeats"))
    if dataset.mask_outside > 0:
        why = "gives no weight to what a black mask covers"
        found.append(_cannot("dataset.mask_outside", why, "set it to 0", 0.0))
    if dataset.mask_normalise == "area":
        found.append(_cannot("dataset.mask_normalise", "does not divide by the mask's area", "set it so", "none"))
    if dataset.masks == "folders" and any(row.regularisation for row in dataset.folders):
        why = "takes no regularisation images beside masks from folders"
        found.append(_cannot("dataset.masks", why, "use one of the two", "none"))
    if dataset.rotate > 0:
        found.append(_cannot("dataset.rotate", "turns no images", "set it to 0", 0.0))
    if captions.lines != ("one at random" if captions.wildcards else "first"):
        why = "draws one of a file's lines together with wildcards, and else takes the first"
        fitting = "one at random" if captions.wildcards else "first"
        found.append(_cannot("captions.lines", why, f"choose {fitting}", fitting))
    return found


def _checks(preset: Preset) -> list[Problem]:
    validation = preset.validation
    found = []
    if validation.folder:
        why = "has no folder of held-out images"
        found.append(_cannot("validation.folder", why, "hold out a share of the others", ""))
    if parse_split(validation.split).kind == "images" and not validation.folder:
        found.append(_cannot("validation.split", "holds out a share, no number of images", 'write "10 %"', "10 %"))
    if validation.each_step:
        found.append(_cannot("validation.each_step", "checks nothing at each step", "turn it off", False))
    if validation.stop != "report only":
        found.append(_cannot("validation.stop", "stops no run by itself", "only report", "report only"))
    return found


_RULES: tuple[Callable[[Preset], list[Problem]], ...] = (_network, _course, _data, _checks)


def caches_text(preset: Preset) -> bool:
    """Whether sd-scripts can cache the text encoders' outputs: they are not trained and each image has one caption."""
    captions = preset.captions
    varied = captions.shuffle or captions.dropout or captions.tag_dropout or captions.tag_warmup or captions.wildcards
    plain = captions.mode == "files" and not (captions.prefix or captions.suffix or captions.trigger)
    return preset.memory.cache_text and not preset.network.text_encoder and not varied and plain


def notes(preset: Preset, script: str) -> list[str]:
    """What is done otherwise there, without harm to the result or in ways that nothing can be set against."""
    dataset, captions, validation = preset.dataset, preset.captions, preset.validation
    shuffled = captions.shuffle or captions.tag_dropout or captions.tag_warmup
    said = [
        (needs_lycoris(preset), "This network needs lycoris-lora in the environment of sd-scripts."),
        (
            not validation.folder and parse_split(validation.split).kind == "auto",
            "No images are held out there: its share of held-out images has no automatic choice.",
        ),
        (
            parse_split(validation.split).kind == "percent" and validation.every == "auto",
            "Held-out images are checked after each epoch there, at four timesteps.",
        ),
        (
            preset.saving.state_every != "never" and preset.saving.state_every != preset.saving.every,
            "The full state is saved only together with files there: a run that breaks off begins anew.",
        ),
        (dataset.jitter > 0, "Colours are changed in a third of the looks there, by an amount of its own."),
        (
            any(row.regularisation for row in dataset.folders),
            "Regularisation images are repeated there until they are as many as the others.",
        ),
        (
            bool(shuffled and (captions.prefix or captions.suffix)),
            "Prefix and suffix are shuffled there with the tags, but for those that are kept at the beginning.",
        ),
        (captions.separator != "," and bool(shuffled), "Shuffled tags are joined by a comma there."),
        (
            preset.precision.base != preset.precision.compute,
            "The base model is kept in the format of the computation there.",
        ),
        (preset.memory.caption_variants > 0, "Captions are drawn anew at each look there."),
        (
            script == LARGE and preset.memory.cache_text and not caches_text(preset),
            "Captions are not cached there: it would leave out trigger, prefix and everything that varies.",
        ),
        (preset.saving.diffusers, "No copy for diffusers is written there."),
        (
            not preset.saving.publish,
            "Its files get next to no metadata, since sd-scripts would write tags and folders' names with the rest.",
        ),
    ]
    return [text for true, text in said if true]
