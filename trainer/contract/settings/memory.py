"""What is kept where, to fit and to be fast."""

from typing import Annotated, Literal

from pydantic import Field

from .base import ByFamily, Needs, Section, Setting


class Memory(Section):
    gradient_checkpointing: Annotated[
        bool | ByFamily, Setting("Gradient checkpointing", kohya="gradient_checkpointing", tier="advanced")
    ] = ByFamily()
    """Computes activations again in the backward pass instead of keeping them: a third to a half more time per step for
    much less memory. The result is the same. Turn it on when the card is full."""

    attention: Annotated[Literal["sdpa", "xformers"], Setting("Attention", kohya="sdpa, xformers", tier="expert")] = (
        "sdpa"
    )
    """Which code computes attention. sdpa is torch's own, is there always and is as fast as xformers on current cards;
    xformers is offered only where it loads."""

    cache_latents: Annotated[bool, Setting("Cache latents", kohya="cache_latents, cache_latents_to_disk")] = True
    """Encodes each image by the VAE once, keeps the result in our cache folder for all later runs, and drops the VAE
    from memory where no samples are drawn. Much faster; the cache is keyed by content, so it is never stale. It cannot
    hold random crops, random rotation or colour jitter."""

    cache_text: Annotated[bool, Setting("Cache captions", kohya="cache_text_encoder_outputs", tier="advanced")] = True
    """Encodes each caption once and drops the text encoder from memory, unless a prompt file may bring new samples.
    Where captions vary at each look, the encoder stays loaded unless you set a number of variants below; it is never
    cached while it is trained."""

    caption_variants: Annotated[
        int,
        Field(ge=0, le=1000),
        Setting(
            "Caption variants", tier="expert", needs=Needs("memory.cache_text", (True,), "captions are not cached")
        ),
    ] = 0
    """Where captions vary (shuffle, dropout, wildcards): this many variants of each image's caption are drawn and
    encoded beforehand and shown in turn, so that the text encoder can leave memory. 0 draws anew at each look and keeps
    the encoder loaded."""

    vae_batch_size: Annotated[
        int,
        Field(ge=1, le=64),
        Setting(
            "VAE batch size",
            kohya="vae_batch_size",
            tier="expert",
            needs=Needs("memory.cache_latents", (True,), "latents are not cached"),
        ),
    ] = 1
    """Images that the VAE encodes at once while the cache is built. Larger is faster on a big card; the last bits of a
    latent then depend on which images were encoded together."""
