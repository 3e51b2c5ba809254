"""The noise of a look: plain, or with what is added so that brightness or the model's own errors can be learnt.

Names carry shapes: B looks, C channels, H height, W width; 1 where a side has one value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from trainer.contract.settings import Noise

from .draws import draw_layers, draw_noise, draw_strengths


@dataclass(frozen=True)
class Drawn:
    """The random numbers of a batch's looks. `shifts`: of the noise offset; `layers`: of multi-resolution noise, a list
    of [C, h, w] a look; `second`: of input perturbation. Empty where the settings do not want them."""

    noise_BCHW: Tensor
    layers: Sequence[Sequence[Tensor]] = ()
    shifts_BC11: Tensor | None = None
    shift_strengths_B111: Tensor | None = None
    second_BCHW: Tensor | None = None
    second_strengths_B111: Tensor | None = None


@dataclass(frozen=True)
class Noises:
    """`wanted`: what the target is made of; `seen`: what the latents are hidden in. One and the same but for input
    perturbation."""

    wanted_BCHW: Tensor
    seen_BCHW: Tensor


def make_noise(chosen: Noise, latents_BCHW: Tensor, seeds: Sequence[int]) -> Noises:
    """The noise of each look as the settings want it, on the latents' device: a function of each look's seed (and
    latents, where the offset adapts to them) and of nothing else in the batch."""
    return combine(chosen, latents_BCHW, draw(chosen, latents_BCHW.shape[1:], seeds, latents_BCHW.device))


def draw(chosen: Noise, shape_CHW: Sequence[int], seeds: Sequence[int], device: torch.device | str = "cpu") -> Drawn:
    """All that the settings want drawn, each from the looks' seeds."""
    offset, perturbation = chosen.noise_offset, chosen.perturbation
    drawn = Drawn(draw_noise(shape_CHW, seeds, device=device))
    if chosen.multires_iterations:
        layers = [draw_layers(shape_CHW, seed, chosen.multires_iterations, device) for seed in seeds]
        drawn = replace(drawn, layers=layers)
    if offset:
        strengths = draw_strengths(offset, chosen.noise_offset_random, seeds, "offset strength", device)
        shifts = draw_noise((shape_CHW[0], 1, 1), seeds, "offset", device)
        drawn = replace(drawn, shifts_BC11=shifts, shift_strengths_B111=strengths)
    if perturbation:
        strengths = draw_strengths(perturbation, chosen.perturbation_random, seeds, "perturbation strength", device)
        second = draw_noise(shape_CHW, seeds, "perturbation", device)
        drawn = replace(drawn, second_BCHW=second, second_strengths_B111=strengths)
    return drawn


def combine(chosen: Noise, latents_BCHW: Tensor, drawn: Drawn) -> Noises:
    """The noise that these numbers make."""
    wanted_BCHW = drawn.noise_BCHW
    if drawn.shifts_BC11 is not None and drawn.shift_strengths_B111 is not None:
        strengths = drawn.shift_strengths_B111
        if chosen.adaptive_noise_scale:
            strengths = adapt(strengths, latents_BCHW, chosen.adaptive_noise_scale)
        wanted_BCHW = wanted_BCHW + strengths * drawn.shifts_BC11
    if drawn.layers:
        looks = zip(wanted_BCHW, drawn.layers)
        wanted_BCHW = torch.stack([add_layers(noise, layers, chosen.multires_discount) for noise, layers in looks])
    if drawn.second_BCHW is None or drawn.second_strengths_B111 is None:
        return Noises(wanted_BCHW, wanted_BCHW)
    # From arXiv 2301.11706: the target stays the first noise.
    return Noises(wanted_BCHW, wanted_BCHW + drawn.second_strengths_B111 * drawn.second_BCHW)


def adapt(strengths_B111: Tensor, latents_BCHW: Tensor, scale: float) -> Tensor:
    """Strengths of the noise offset with `scale` times each channel's mean added, regardless of its sign; never below
    0. [B, C, 1, 1]. From sd-scripts (`apply_noise_offset`); the offset itself is that of
    https://www.crosslabs.org/blog/diffusion-with-offset-noise: one normal value a channel, added to all its pixels."""
    means_BC11 = latents_BCHW.mean(dim=(2, 3), keepdim=True).abs()
    return (strengths_B111 + scale * means_BC11).clamp(min=0.0)


def add_layers(noise_CHW: Tensor, layers: Sequence[Tensor], discount: float) -> Tensor:
    """Multi-resolution noise: layers of coarser noise, each `discount` times as strong as the one before, enlarged to
    the noise's size (bilinear) and added; then all of it brought back to deviation 1.

    From J. Whitaker's report "Multi-Resolution Noise for Diffusion Model Training" (Weights & Biases, 2023), by way of
    sd-scripts, which divides by the deviation of the whole batch: here each look is divided by its own, so that it does
    not depend on its neighbours."""
    total_CHW = noise_CHW.clone()
    for place, layer_Chw in enumerate(layers):
        larger = interpolate(layer_Chw[None], size=noise_CHW.shape[1:], mode="bilinear", align_corners=False)
        total_CHW += larger[0] * discount**place
    return total_CHW / total_CHW.std()
