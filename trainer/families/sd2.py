"""Stable Diffusion 2.x: as 1.x, but with OpenCLIP-H's text, whose last layer but one is the last that its model has.
The models for 512 px predict the noise, those for 768 px v."""

from __future__ import annotations

from trainer.contract.families.sd2 import SD2

from .files import Encoder, Layout
from .loading import CONFIGS
from .sd1 import StableDiffusion1

LAYOUT = Layout(
    "SD 2.x",
    CONFIGS / "sd2",
    (Encoder("te1", "text_encoder", "tokenizer", "cond_stage_model.model.", open_clip=True),),
)


class StableDiffusion2(StableDiffusion1):
    """The tensor half of Stable Diffusion 2.x; see `parts.Family`."""

    facts = SD2
    layout = LAYOUT
    pad = 0
    """OpenCLIP fills with zeros, which its vocabulary reads as "!"."""
