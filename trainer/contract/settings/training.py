"""How long, how much at once, from which seed."""

from typing import Annotated

from pydantic import Field

from .base import ByFamily, Length, Section, Setting


class Training(Section):
    length: Annotated[Length, Setting("Length", kohya="max_train_steps, max_train_epochs", tier="basic")] = "1500 steps"
    """How long to train, as "1500 steps" (updates) or "10 epochs" (every image once, times its repeats). Watch the
    looks per image beside it: 40-100 suit a subject; few images need fewer steps, not more repeats. Longer is not
    better: samples and validation show when it turns."""

    batch_size: Annotated[
        int | ByFamily, Field(ge=1, le=256), Setting("Batch size", kohya="train_batch_size", tier="basic")
    ] = ByFamily()
    """Images per forward pass on each GPU. Larger is steadier and faster per image but needs memory in proportion; if
    you double it, halve the steps or raise the rate a little. One batch comes from one bucket, so a small set with
    many shapes wastes part of it."""

    accumulate: Annotated[
        int, Field(ge=1, le=1024), Setting("Gradient accumulation", kohya="gradient_accumulation_steps")
    ] = 1
    """Passes whose gradients are averaged before one update: N makes the batch N times larger at the memory of one, at
    N times the time per update and with N times fewer updates per epoch. It is no more accurate than a real batch of
    that size: prefer the real one if it fits. 1 is off."""

    seed: Annotated[int, Field(ge=0, lt=2**32), Setting("Seed", kohya="seed", tier="expert")] = 42
    """Start of every random draw: order, crops, noise, first weights. The same seed, settings, images and machine give
    the same LoRA bit for bit; another seed shows how much of a result is luck."""
