"""Checks of the loss and the noise: what cannot go together, and what the model's prediction makes no sense of."""

from __future__ import annotations

from .families import Recognised
from .problems import Problem, to
from .settings import BY_PATH, Preset


def two_noises(preset: Preset) -> list[Problem]:
    """Noise offset and multi-resolution noise are two ways to the same end."""
    noise = preset.noise
    if not (noise.noise_offset and noise.multires_iterations):
        return []
    why, fix = "noise offset does the same, and the two add up", "set one of the two to 0"
    return [Problem("noise.multires_iterations", why, fix, change=to("noise.multires_iterations", 0))]


def two_weights(preset: Preset) -> list[Problem]:
    """Min-SNR and debiased estimation weigh the same timesteps against each other."""
    if not (preset.noise.min_snr_gamma and preset.noise.debiased):
        return []
    why, fix = "min-SNR weighs the timesteps already, the other way", "turn it off, or set noise.min_snr_gamma to 0"
    return [Problem("noise.debiased", why, fix, change=to("noise.debiased", False))]


def adaptive_alone(preset: Preset) -> list[Problem]:
    """The adaptive scale is a part of the noise offset."""
    if not preset.noise.adaptive_noise_scale or preset.noise.noise_offset:
        return []
    why, fix = "it is added to the noise offset, which is 0", "set it to 0, or noise.noise_offset to 0.03-0.1"
    return [Problem("noise.adaptive_noise_scale", why, fix, change=to("noise.adaptive_noise_scale", 0.0))]


def timestep_range(preset: Preset) -> list[Problem]:
    """At least one timestep is trained."""
    low, high = preset.noise.timestep_min, preset.noise.timestep_max
    if low < high:
        return []
    why = f"no timestep is left from {low} to below {high}"
    change = (*to("noise.timestep_min", 0), *to("noise.timestep_max", BY_PATH["noise.timestep_max"].default))
    return [Problem("noise.timestep_min", why, "set it below noise.timestep_max; 0 and 1000 train all", change=change)]


def fits_prediction(preset: Preset, recognised: Recognised) -> list[Problem]:
    """Weights that are meant for models of the other prediction type."""
    told = preset.model.prediction
    prediction = recognised.prediction if told == "auto" else told
    problems = []
    if preset.noise.scale_v_like_noise and prediction == "epsilon":
        path = "noise.scale_v_like_noise"
        why = "it is for models that predict v, and this one predicts the noise"
        problems.append(Problem(path, why, "turn it off", change=to(path, False)))
    if preset.noise.v_like and prediction == "v":
        path = "noise.v_like"
        why = "it is for models that predict the noise, and this one predicts v"
        problems.append(Problem(path, why, "set it to 0", change=to(path, 0.0)))
    return problems


NOISE = (two_noises, two_weights, adaptive_alone, timestep_range)
"""Rules on the preset alone; `fits_prediction` needs the model."""
