"""The base model's figures judged: prediction type, latent scale, whether it is trained at all."""

from __future__ import annotations

import math

from trainer.report.preflight import Chart, Curve, Rung

from .base import CLEAR, OTHER, BaseFigures
from .verdict import NAMES, Finding, worst_of

FITS, MIXED = 0.8, 1.25
"""Loss against the told target over loss against the other: below the first it is the right one, above the second the
wrong one. Measured: 0.06 for an epsilon model told epsilon, 16 told v; 0.5 for a v model told v, 2.1 told epsilon."""

UNTRAINED = 0.8
"""A mean loss above this, against both targets, is no trained model's: random answers give 1. Measured: 0.17, 0.41."""

WIDE = (0.4, 2.5)
"""Deviation of latents beyond which their scale is wrong, whatever the images. Measured on the demo: 1.02."""

MISFIT = 1.25
"""Within that, a loss this many times the one with latents of deviation 1 at equal noise says the same: the model knows
another scale. Measured at deviations of 0.1, 0.3, 0.5, 2, 3, 5.6: 6.3, 2.3, 1.4, 1.9, 2.2, 2.2 times."""


def base_model(figures: BaseFigures) -> Rung:
    """The base model per timestep, before any update."""
    told, untold = figures.told, OTHER[figures.told]
    mean = sum(figures.told_losses) / len(figures.told_losses)
    other = sum(figures.other_losses) / len(figures.other_losses)
    numbers = {
        "loss": mean,
        f"loss_as_{untold}": other,
        "told_over_other": figures.likeness,
        "latent_deviation": figures.deviation,
        **{f"loss_at_{t}": loss for t, loss in zip(figures.timesteps, figures.told_losses)},
    }
    if figures.matched is not None:
        numbers["loss_over_fitting_scale"] = figures.matched
    details = [
        f"Mean loss {mean:.3g} against the {told} target, {other:.3g} against the {untold} target: a trained model's "
        "is far lower against its own.",
        f"The latents' standard deviation is {figures.deviation:.3g}; models are trained on about 1.",
    ]
    at = [float(timestep) for timestep in figures.timesteps]
    curves = [
        Curve(f"as {told}, which is set", list(zip(at, figures.told_losses)), 1, dots=True),
        Curve(f"as {untold}", list(zip(at, figures.other_losses)), 2, dots=True),
    ]
    chart = Chart("Loss of the untouched base model by timestep", "timestep", curves, log_y=True)
    found = worst_of([_finite(mean), _scale(figures), _type(figures), _trained(min(mean, other))])
    return Rung(3, NAMES[3], found.verdict, found.sentence, details, found.link, found.fixes, numbers, [chart])


def _finite(mean: float) -> Finding:
    if math.isfinite(mean):
        return Finding("green", "The model predicts what it is told to, and the latents have the right scale.")
    fixes = ["set precision.compute to bf16 or float", "try another file of this model: this one may be damaged"]
    return Finding("red", "The base model's loss is no finite number before any training.", "not finite", fixes)


def _type(figures: BaseFigures) -> Finding:
    told, untold = figures.told, OTHER[figures.told]
    if figures.likeness > MIXED:
        fixes = [f'set model.prediction to "{untold}"', 'or to "auto", where the model\'s own files name it']
        sentence = f"The model predicts {untold}, but is set to be trained as {told}: wrong prediction type."
        return Finding("red", sentence, "prediction type", fixes)
    if figures.likeness > FITS:
        sentence = f"The model fits {told} hardly better than {untold}: the prediction type cannot be told."
        return Finding("yellow", sentence, "", ["look up whether it is an epsilon or a v model (model.prediction)"])
    return Finding("green", "")


def _scale(figures: BaseFigures) -> Finding:
    deviation, matched = figures.deviation, figures.matched
    if CLEAR[0] <= deviation <= CLEAR[1] or not math.isfinite(deviation):
        return Finding("green", "")
    proof = f" At equal noise the loss is {matched:.2g} times that of latents scaled to 1." if matched else ""
    fixes = ["leave model.vae empty, or use the VAE of this model", "check scaling_factor in the VAE's config.json"]
    if WIDE[0] <= deviation <= WIDE[1] and not (matched and matched > MISFIT):
        sentence = (
            f"The latents' standard deviation is {deviation:.3g}: unusual, though very plain images have it.{proof}"
        )
        return Finding("yellow", sentence, "", fixes)
    sentence = f"The latents' standard deviation is {deviation:.3g} instead of about 1: wrong latent scale.{proof}"
    return Finding("red", sentence, "latent scale", fixes)


def _trained(lower: float) -> Finding:
    if not lower > UNTRAINED:
        return Finding("green", "")
    sentence = f"The base model predicts hardly better than chance: its loss is {lower:.2g}."
    return Finding("yellow", sentence, "", ["check that model.path is a trained model"])
