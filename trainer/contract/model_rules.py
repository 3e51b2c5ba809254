"""Whether the base model is what the settings say, read from its header before anything is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable

from . import noise_rules
from .families import Recognised, by_name, untrained
from .problems import Problem
from .settings import Preset

ModelRule = Callable[[Preset, Recognised], list[Problem]]

_FOLDERS = {"te1": "text_encoder", "te2": "text_encoder_2"}


def check_model(preset: Preset, recognised: Recognised) -> list[Problem]:
    """Whether the base model is one that we train, whole, and what the model's settings insist on. What a model does
    not say itself, the settings may say; a model of the hub that is not here yet (no header) says nothing."""
    if not recognised.trained:
        return [untrained(preset.model.path, recognised)]
    if not recognised.header:
        return []
    return [problem for rule in MODEL for problem in rule(preset, recognised)]


def _model_family(preset: Preset, recognised: Recognised) -> list[Problem]:
    wanted = preset.model.family
    if wanted.strip().lower() in ("auto", recognised.family.lower()):
        return []
    why = f"the base model is {recognised.family}, not {wanted}"
    fix, change = 'set it to "auto" or choose another model', (("model.family", "auto"),)
    return [Problem("model.family", why, fix, "model", change)]


_PREDICTS = {"epsilon": "the noise (epsilon)", "v": "the velocity (v)"}


def _model_prediction(preset: Preset, recognised: Recognised) -> list[Problem]:
    wanted = preset.model.prediction
    if wanted in ("auto", recognised.prediction) or not recognised.certain:
        return []
    why = f"the base model says that it predicts {_PREDICTS[recognised.prediction]}"
    fix, change = 'set it to "auto", or choose another model', (("model.prediction", "auto"),)
    return [Problem("model.prediction", why, fix, "model", change)]


def _zero_snr(preset: Preset, recognised: Recognised) -> list[Problem]:
    wanted, insisted = preset.model.zero_snr, preset.model.prediction
    predicted = recognised.prediction if insisted == "auto" else insisted
    if predicted != "epsilon" or wanted == "off" or (wanted == "auto" and not recognised.zero_snr):
        return []
    why = "a model that predicts the noise learns nothing from pure noise"
    fix, change = 'set it to "off", or model.prediction to "v" if the model does', (("model.zero_snr", "off"),)
    return [Problem("model.zero_snr", why, fix, "model", change)]


def _model_parts(preset: Preset, recognised: Recognised) -> list[Problem]:
    """Parts that neither the model nor a setting brings: one problem for all of the model's own."""
    name, needed = os.path.basename(preset.model.path), by_name(recognised.family).parts
    missing = [part for part in needed if part not in recognised.contents]
    problems = []
    if encoders := [part for part in missing if part.startswith("te")]:
        what = "no text encoder" if len(encoders) == len(needed) - 2 else "only one of its two text encoders"
        beside = f"put a diffusers folder of the same model with {_FOLDERS[encoders[0]]} beside it, of the same name"
        fix = f"choose a complete checkpoint, or {beside}"
        problems.append(Problem("model.path", f"{name} holds {what}", fix, "model"))
    if "vae" in missing and not preset.model.vae:
        fix = f"choose one here: a .safetensors file or a diffusers folder made for {recognised.family}"
        problems.append(Problem("model.vae", f"{name} holds no VAE", fix, "model"))
    return problems


MODEL: tuple[ModelRule, ...] = (
    _model_family,
    _model_parts,
    _model_prediction,
    _zero_snr,
    noise_rules.fits_prediction,
)
