"""The denoising loop: noise from a seed, a diffusers scheduler, classifier-free guidance, pixels out.

Names carry shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainer.parts import BatchFacts, Conditioning, Family

from .prompts import Prompt


def start_noise(prompt: Prompt, channels: int, factor: int) -> Tensor:
    """(1, C, H, W) noise of the prompt's seed, drawn on the CPU so that every device starts from the same."""
    generator = torch.Generator().manual_seed(prompt.seed)
    return torch.randn((1, channels, prompt.height // factor, prompt.width // factor), generator=generator)


def same_size(prompt: Prompt, count: int, device: torch.device) -> BatchFacts:
    """Facts of pictures that were never scaled nor cropped."""
    size = torch.tensor([[prompt.width, prompt.height]] * count, device=device)
    return BatchFacts(original_B2=size, crop_B2=torch.zeros_like(size), target_B2=size)


def together(first: Conditioning, second: Conditioning) -> Conditioning:
    """Two conditionings of one caption each as a batch of two."""
    return {name: torch.cat([first[name], second[name]]) for name in first}


@torch.no_grad()
def draw(
    family: Family,
    scheduler: Any,
    prompt: Prompt,
    positive: Conditioning,
    negative: Conditioning,
    device: torch.device,
    factor: int = 8,
    before_step: Callable[[int], None] = lambda number: None,
) -> Tensor:
    """One picture, (3, H, W) in [0, 1] on the CPU. `scheduler`: a diffusers scheduler of this prompt's own; `factor`:
    pixels of a latent's side. `before_step` hears of each step of the sampler, from 0, and may end it by raising.

    Without a negative prompt, some families guide away from zeros. Guidance 1 leaves the negative prompt out, and with
    it half of the work (arXiv 2207.12598 with w = guidance - 1)."""
    scheduler.set_timesteps(prompt.steps, device=device)
    latents_BCHW = start_noise(prompt, family.latent_channels, factor).to(device) * scheduler.init_noise_sigma
    guided = prompt.guidance != 1.0
    if family.sampling.zero_negative and not prompt.negative:
        negative = {name: torch.zeros_like(values) for name, values in positive.items()}
    conditioning = together(negative, positive) if guided else positive
    facts = same_size(prompt, 2 if guided else 1, device)
    more = _generator_for(scheduler, prompt.seed)
    for number, timestep in enumerate(scheduler.timesteps):
        before_step(number)
        scaled_BCHW = scheduler.scale_model_input(latents_BCHW, timestep)
        if guided:
            scaled_BCHW = scaled_BCHW.expand(2, -1, -1, -1)
        timesteps_B = timestep.to(device).expand(len(scaled_BCHW))
        answer_BCHW = family.predict(scaled_BCHW, timesteps_B, conditioning, facts).float()
        if guided:
            without, with_ = answer_BCHW.chunk(2)
            answer_BCHW = without + prompt.guidance * (with_ - without)
        latents_BCHW = scheduler.step(answer_BCHW, timestep, latents_BCHW, **more).prev_sample
    return family.decode(latents_BCHW)[0]


def _generator_for(scheduler: Any, seed: int) -> dict[str, torch.Generator]:
    """A seeded generator for samplers that add noise on their way: without one they would draw from the global one."""
    if "generator" not in inspect.signature(scheduler.step).parameters:
        return {}
    return {"generator": torch.Generator().manual_seed(seed ^ 0x5EED)}
