"""What OneTrainer's keys say of loss, timesteps, images and captions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import loose
from .flags import Flags
from .links import Values


def word(flags: Flags, key: str) -> str:
    """A value that is a name, in capitals as OneTrainer writes it."""
    return loose.text(flags[key]).upper()


def loss(flags: Flags) -> Values:
    strengths = {name: loose.number(flags[f"{key}_strength"]) or 0.0 for name, key in _LOSSES}
    loss = max(strengths, key=lambda name: strengths[name])
    if sum(strength > 0 for strength in strengths.values()) > 1:
        flags.change("mse_strength", f"losses are not mixed here: the strongest, {loss}, is taken")
    values: Values = {"noise.loss": loss if strengths[loss] > 0 else "l2"}
    if loss == "huber":
        values |= {"noise.huber_c": loose.number(flags["huber_delta"]) or 1.0, "noise.huber_schedule": "constant"}
    weight = word(flags, "loss_weight_fn")
    if weight in ("P2", "SIGMA"):
        flags.change("loss_weight_fn", f"{weight} is not offered here: all timesteps count alike")
    gamma = loose.number(flags["loss_weight_strength"]) or 5.0
    return values | {
        "noise.min_snr_gamma": gamma if weight == "MIN_SNR_GAMMA" else 0.0,
        "noise.debiased": weight == "DEBIASED_ESTIMATION",
    }


_LOSSES = (("l2", "mse"), ("l1", "mae"), ("huber", "huber"))


def timesteps(flags: Flags) -> Values:
    low, high = loose.number(flags["min_noising_strength"]) or 0.0, loose.number(flags["max_noising_strength"])
    kind = word(flags, "timestep_distribution")
    ours = {"UNIFORM": "uniform", "LOGIT_NORMAL": "logit normal", "COS_MAP": "cosmap"}.get(kind)
    if ours is None:
        flags.change("timestep_distribution", f"{kind[:30]} is not offered here: uniform is put there")
    values: Values = {
        "noise.timestep_min": min(max(round(1000 * low), 0), 999),
        "noise.timestep_max": min(max(round(1000 * (1.0 if high is None else high)), 1), 1000),
        "noise.timesteps": ours or "uniform",
    }
    if ours == "logit normal":
        values["noise.timestep_mean"] = loose.number(flags["noising_bias"]) or 0.0
        values["noise.timestep_spread"] = (loose.number(flags["noising_weight"]) or 0.0) + 1.0
    return values


def resolution(flags: Flags) -> Values:
    found = [int(side) for side in re.findall(r"\d{2,5}", loose.text(flags["resolution"]))]
    if not found:
        raise ValueError("it is no size")
    if "x" in loose.text(flags["resolution"]).lower() and len(found) > 1:
        side = max(8, round((found[0] * found[1]) ** 0.5 / 8) * 8)
        flags.change("resolution", f"here a square says the area: {side} is put there")
        return {"dataset.resolution": side}
    if len(found) > 1:
        flags.change("resolution", f"images have one resolution here: the first, {found[0]}, is taken")
    return {"dataset.resolution": found[0]}


def masks(flags: Flags) -> Values:
    if not loose.flag(flags["masked_training"]):
        return {"dataset.masks": "none"}
    why = "its masks lie beside the images as name-masklabel.png: put them in a folder of masks, named like the images"
    flags.change("masked_training", why)
    return {
        "dataset.masks": "none",
        "dataset.mask_outside": loose.number(flags["unmasked_weight"]),
        "dataset.mask_normalise": "area" if loose.flag(flags["normalize_masked_area_loss"]) else "none",
    }


def concepts(flags: Flags) -> Values:
    rows, first = [], None
    values: Values = {}
    for concept in flags["concepts"] or []:
        path = loose.text(concept.get("path")) if isinstance(concept, Mapping) else ""
        if not path or not loose.flag(concept.get("enabled", True)):
            continue
        kind = loose.text(concept.get("type")).upper()
        if kind == "VALIDATION":
            values["validation.folder"] = path
            continue
        repeats = loose.number(concept.get("balancing", 1)) or 1.0
        if loose.text(concept.get("balancing_strategy")).upper() == "SAMPLES" or not float(repeats).is_integer():
            flags.change("concepts", "images are balanced by whole repeats here: look at them")
            repeats = max(round(repeats), 1) if repeats < 100 else 1
        row: Values = {"path": path, "repeats": min(max(int(repeats), 1), 10000)}
        if kind == "PRIOR_PREDICTION":
            row["regularisation"] = True
        rows.append(row)
        first = first if first is not None else concept
    values["dataset.folders"] = rows
    return values | (_of_concept(first) if first is not None else {})


def _part(concept: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = concept.get(name)
    return found if isinstance(found, Mapping) else {}


def _of_concept(concept: Mapping[str, Any]) -> Values:
    """What a concept says of its images and captions; the first one's counts for all."""
    image, text = _part(concept, "image"), _part(concept, "text")
    source = loose.text(text.get("prompt_source")) or "sample"
    values: Values = {
        "dataset.flip": loose.flag(image.get("enable_random_flip")),
        "captions.mode": {"sample": "files", "concept": "files"}.get(source, "folder name"),
        "captions.shuffle": loose.flag(text.get("enable_tag_shuffling")),
        "captions.separator": loose.text(text.get("tag_delimiter")) or ",",
        "captions.keep_tokens": loose.whole(text.get("keep_tags_count", 1)) or 0,
    }
    if loose.flag(image.get("enable_random_rotate")):
        values["dataset.rotate"] = loose.number(image.get("random_rotate_max_angle")) or 0.0
    jitters = [
        loose.number(image.get(f"random_{name}_max_strength")) or 0.0
        for name in ("brightness", "contrast", "saturation")
        if loose.flag(image.get(f"enable_random_{name}"))
    ]
    if jitters:
        values["dataset.jitter"] = min(max(jitters), 1.0)
    if loose.flag(text.get("tag_dropout_enable")):
        chance = loose.number(text.get("tag_dropout_probability")) or 0.0
        whole = loose.text(text.get("tag_dropout_mode")).upper() in ("FULL", "")
        values["captions.dropout" if whole else "captions.tag_dropout"] = chance
    return values


def samples(flags: Flags) -> Values:
    lines = []
    for sample in flags["samples"] or []:
        if not isinstance(sample, Mapping) or not loose.flag(sample.get("enabled", True)):
            continue
        text = " ".join(loose.text(sample.get("prompt")).split())
        words = (("n", "negative_prompt"), ("w", "width"), ("h", "height"), ("d", "seed"), ("s", "diffusion_steps"))
        parts = [
            f"--{flag} {sample[key]}" for flag, key in (*words, ("l", "cfg_scale")) if sample.get(key) not in (None, "")
        ]
        if text:
            lines.append(" ".join([text, *parts]))
    return {"sampling.prompts": lines} if lines else {}
