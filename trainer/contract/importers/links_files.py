"""Links of several flags with several settings: memory, noise, checks, pictures, files and logs."""

from __future__ import annotations

from typing import Any

from ..parse import parse_split
from ..settings import Preset, parse_interval
from . import loose
from .flags import Flags, interval
from .links import Link, Values

# ---- memory, noise in several resolutions ---------------------------------------------------------------------------


def _attention(flags: Flags) -> Values:
    frugal = loose.flag(flags["mem_eff_attn"])
    if frugal:
        flags.change("mem_eff_attn", "torch's own attention is used here, which is as frugal")
    wanted = loose.flag(flags["xformers"]) and not frugal
    return {"memory.attention": "xformers" if wanted else "sdpa"}


def _cache(flags: Flags) -> Values:
    latents = loose.flag(flags["cache_latents"]) or loose.flag(flags["cache_latents_to_disk"])
    text = loose.flag(flags["cache_text_encoder_outputs"]) or loose.flag(flags["cache_text_encoder_outputs_to_disk"])
    return {"memory.cache_latents": latents, "memory.cache_text": text}


def _write_cache(preset: Preset) -> Values:
    kept = preset.memory.cache_latents and preset.dataset.crop == "centre" and preset.dataset.jitter == 0
    return {"cache_latents": kept, "cache_latents_to_disk": kept}


def _multires(flags: Flags) -> Values:
    layers = loose.whole(flags["multires_noise_iterations"]) or 0
    discount = loose.number(flags["multires_noise_discount"])
    if not discount:  # each layer is multiplied with it: nothing is added
        return {"noise.multires_iterations": 0}
    return {"noise.multires_iterations": layers, "noise.multires_discount": discount}


def _timesteps(flags: Flags) -> Values:
    words = {"logit_normal": "logit normal", "mode": "mode", "cosmap": "cosmap"}
    values: Values = {"noise.timesteps": words.get(loose.text(flags["weighting_scheme"]), "uniform")}
    for flag, path in (("logit_mean", "mean"), ("logit_std", "spread"), ("mode_scale", "mode")):
        value = loose.number(flags[flag])
        if value is not None:
            values[f"noise.timestep_{path}"] = value
    return values


MEMORY = (
    Link(
        ("xformers", "sdpa", "mem_eff_attn"),
        ("memory.attention",),
        _attention,
        lambda preset: {preset.memory.attention: True},
    ),
    Link(
        (
            "cache_latents",
            "cache_latents_to_disk",
            "cache_text_encoder_outputs",
            "cache_text_encoder_outputs_to_disk",
        ),
        ("memory.cache_latents", "memory.cache_text"),
        _cache,
        _write_cache,
        exact=False,
    ),
    Link(
        ("multires_noise_iterations", "multires_noise_discount"),
        ("noise.multires_iterations", "noise.multires_discount"),
        _multires,
        lambda preset: {
            "multires_noise_iterations": preset.noise.multires_iterations or None,
            "multires_noise_discount": preset.noise.multires_discount if preset.noise.multires_iterations else None,
        },
    ),
    Link(
        ("weighting_scheme", "logit_mean", "logit_std", "mode_scale"),
        ("noise.timesteps", "noise.timestep_mean", "noise.timestep_spread", "noise.timestep_mode"),
        _timesteps,
        lambda preset: {},
        exact=False,
    ),
)

# ---- checks, pictures, files, logs ----------------------------------------------------------------------------------


def _validation(flags: Flags) -> Values:
    share = loose.number(flags["validation_split"]) or 0.0
    if share <= 0:
        return {"validation.split": "off"}
    every = interval(flags["validate_every_n_steps"], flags["validate_every_n_epochs"]) or "1 epoch"
    return {"validation.split": f"{round(100 * min(share, 0.9), 6):g} %", "validation.every": every}


def _write_validation(preset: Preset) -> Values:
    split = parse_split(preset.validation.split)
    if split.kind != "percent":
        return {"validation_split": 0.0 if split.kind == "off" else None}
    return {"validation_split": round(split.amount / 100, 8), **_validating(preset.validation.every)}


def _validating(every: str) -> Values:
    if every == "auto":
        return {}
    return _every(every, "validate_every_n_steps", "validate_every_n_epochs")


def _every(text: str, steps: str, epochs: str) -> Values:
    """An interval as one of two flags; neither where it counts minutes or is "never"."""
    found = parse_interval(text)
    count: Any = found.count or None
    return {steps: count if found.unit == "step" else None, epochs: count if found.unit == "epoch" else None}


def _sampling(flags: Flags) -> Values:
    every = interval(flags["sample_every_n_steps"], flags["sample_every_n_epochs"], True) or "never"
    values: Values = {"sampling.every": every}
    prompts = flags["sample_prompts"]
    if isinstance(prompts, list):
        values["sampling.prompts"] = [line for line in map(loose.text, prompts) if line and not line.startswith("#")]
    elif loose.text(prompts):
        values["sampling.prompts_file"] = loose.text(prompts)
        if not loose.text(prompts).lower().endswith(".txt"):
            flags.change("sample_prompts", "prompts are read from text files here, one a line")
    return values


def _saving(flags: Flags) -> Values:
    steps, epochs = loose.whole(flags["save_every_n_steps"]), loose.whole(flags["save_every_n_epochs"])
    every = interval(steps, epochs) or "never"
    if steps and epochs:
        flags.change("save_every_n_epochs", f"files are saved at one interval here: every {every}")
    values: Values = {"saving.every": every, "saving.keep_last": 0}
    if steps and (last := loose.whole(flags["save_last_n_steps"])) is not None and last > 0:
        values["saving.keep_last"] = last // steps + 1
        if (last + 1) % steps:
            flags.change("save_last_n_steps", f"it counts steps: {last // steps + 1} files are kept")
    elif not steps and epochs and (last := loose.whole(flags["save_last_n_epochs"])):
        values["saving.keep_last"] = last
    if loose.text(flags["output_name"]):
        values["saving.name"] = loose.text(flags["output_name"])
    if loose.flag(flags["save_state"]) and every != "never":
        values["saving.state_every"] = every
    return values


def _write_saving(preset: Preset) -> Values:
    saving = preset.saving
    values = _every(saving.every, "save_every_n_steps", "save_every_n_epochs")
    every = parse_interval(saving.every)
    kept = saving.keep_last if every.count else 0
    values["save_last_n_steps"] = kept * every.count - 1 if kept and every.unit == "step" else None
    values["save_last_n_epochs"] = kept if kept and every.unit == "epoch" else None
    values["output_name"] = str(saving.name)
    values["save_state"] = saving.state_every != "never" and saving.state_every == saving.every
    return values


def _logging(flags: Flags) -> Values:
    kind = loose.text(flags["log_with"]).lower()
    folder = loose.text(flags["logging_dir"])
    return {
        "logging.tensorboard": kind in ("tensorboard", "all") or (not kind and bool(folder)),
        "logging.wandb": kind in ("wandb", "all"),
        "logging.project": loose.text(flags["log_tracker_name"]) or "network_train",
    }


def _write_logging(preset: Preset) -> Values:
    kinds = {(True, True): "all", (True, False): "tensorboard", (False, True): "wandb", (False, False): None}
    logging = preset.logging
    return {
        "log_with": kinds[logging.tensorboard, logging.wandb],
        "log_tracker_name": logging.project if logging.wandb else None,
    }


FILES = (
    Link(
        ("validation_split", "validate_every_n_steps", "validate_every_n_epochs"),
        ("validation.split", "validation.every"),
        _validation,
        _write_validation,
    ),
    Link(
        ("sample_every_n_steps", "sample_every_n_epochs", "sample_prompts"),
        ("sampling.every", "sampling.prompts", "sampling.prompts_file"),
        _sampling,
        lambda preset: _every(preset.sampling.every, "sample_every_n_steps", "sample_every_n_epochs"),
    ),
    Link(
        (
            "save_every_n_epochs",
            "save_every_n_steps",
            "save_last_n_epochs",
            "save_last_n_steps",
            "output_name",
            "save_state",
        ),
        ("saving.every", "saving.keep_last", "saving.name", "saving.state_every"),
        _saving,
        _write_saving,
    ),
    Link(
        ("log_with", "log_tracker_name", "logging_dir"),
        ("logging.tensorboard", "logging.wandb", "logging.project"),
        _logging,
        _write_logging,
    ),
)
