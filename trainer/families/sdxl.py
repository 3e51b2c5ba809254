"""Stable Diffusion XL: a U-Net on 4-channel latents that is told two texts and the picture's sizes.

Names carry shapes: B batch, C channels, H height, W width, T tokens, D width of a token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.contract.families.sdxl import SDXL
from trainer.parts import BatchFacts, Conditioning

from . import clip
from .files import Encoder, Layout
from .loading import CONFIGS
from .unet_family import UNetFamily

LAYOUT = Layout(
    "SDXL",
    CONFIGS / "sdxl",
    (
        Encoder("te1", "text_encoder", "tokenizer", "conditioner.embedders.0.transformer."),
        Encoder(
            "te2",
            "text_encoder_2",
            "tokenizer_2",
            "conditioner.embedders.1.model.",
            open_clip=True,
            projection=True,
        ),
    ),
)
_OPEN_CLIP_PAD = 0


class StableDiffusionXL(UNetFamily):
    """The tensor half of Stable Diffusion XL; see `parts.Family`."""

    facts = SDXL
    layout = LAYOUT

    @staticmethod
    def _without_negative(index: Mapping[str, Any]) -> bool:
        """The pipeline's `force_zeros_for_empty_prompt`, which is on unless a folder says otherwise."""
        return bool(index.get("force_zeros_for_empty_prompt", True))

    def encode_captions(self, captions: Sequence[str], train: bool = False) -> Conditioning:
        """{"text": what leaves both encoders' last layer but one, side by side [B, T, 768 + 1280], "pooled": the whole
        text [B, 1280] as the second encoder's projection has it}, T = 77, 152 or 227.

        As in diffusers' pipeline and sd-scripts (`library/strategy_sdxl.py`): no final norm on the hidden states, the
        second text is filled with token 0, the pooled one is that of a long caption's first piece. Gradients flow where
        `train`, except within `torch.no_grad()`."""
        first_ids, second_ids = self._ids("te1", captions, None), self._ids("te2", captions, _OPEN_CLIP_PAD)
        first: Any = self.parts["te1"]
        second: Any = self.parts["te2"]
        end = self._tokenizers["te2"].eos_token_id
        with torch.set_grad_enabled(train and torch.is_grad_enabled()), self._computing():
            narrow = first(first_ids.flatten(0, 1), output_hidden_states=True).hidden_states[-2]
            states = second.text_model(second_ids.flatten(0, 1), output_hidden_states=True)
            texts = [clip.joined(narrow, first_ids), clip.joined(states.hidden_states[-2], second_ids)]
            whole = clip.pooled(states.last_hidden_state, second_ids, end)
            return {"text": torch.cat(texts, dim=-1), "pooled": second.text_projection(whole)}

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning, facts: BatchFacts) -> Tensor:
        """The U-Net's answer (noise, or v), float32.

        It is told six numbers in pixels (arXiv 2307.01952, section 2.2), height before width: the picture's size before
        any change, how much was cut off at its top and left, and the size that it is seen at."""
        rows = (facts.original_B2, facts.crop_B2, facts.target_B2)
        times_B6 = torch.cat([row.flip(1) for row in rows], dim=1).to(noisy_BCHW.device, torch.float32)
        pooled = conditioning["pooled"].to(self.plan.base_dtype)
        added = {"text_embeds": pooled, "time_ids": times_B6}
        return self._ask(noisy_BCHW, timesteps_B, conditioning, added_cond_kwargs=added)
