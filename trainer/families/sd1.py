"""Stable Diffusion 1.x: a U-Net on 4-channel latents, CLIP-L text, 1000 steps of epsilon (or v) prediction.

Names carry shapes: B batch, C channels, H height, W width, T tokens, D width of a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from trainer.contract.families.sd1 import SD1
from trainer.parts import BatchFacts, Conditioning

from . import clip
from .files import Encoder, Layout
from .loading import CONFIGS
from .unet_family import UNetFamily

LAYOUT = Layout(
    "SD 1.x", CONFIGS / "sd1", (Encoder("te1", "text_encoder", "tokenizer", "cond_stage_model.transformer."),)
)


class StableDiffusion1(UNetFamily):
    """The tensor half of Stable Diffusion 1.x; see `parts.Family`."""

    facts = SD1
    layout = LAYOUT
    pad: ClassVar[int | None] = None
    """What fills a caption up: the tokenizer's own padding, CLIP-L's end mark."""

    def encode_captions(self, captions: Sequence[str], train: bool = False) -> Conditioning:
        """{"text": hidden states [B, T, D]}, T = 77, 152 or 227, as the U-Net's cross-attention takes them.

        Gradients flow where `train`, except within `torch.no_grad()`: validation keeps no activations."""
        ids = self._ids("te1", captions, self.pad)
        with torch.set_grad_enabled(train and torch.is_grad_enabled()), self._computing():
            return {"text": clip.encode(self.parts["te1"], ids, self.plan.clip_skip)}

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning, facts: BatchFacts) -> Tensor:
        """The U-Net's answer (noise, or v), float32. Stable Diffusion 1.x takes no sizes: `facts` is not used."""
        return self._ask(noisy_BCHW, timesteps_B, conditioning)
