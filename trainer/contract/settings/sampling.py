"""Pictures drawn while training."""

from typing import Annotated

from pydantic import Field

from .base import ByFamily, Every, PathText, SameAs, Section, Setting, UsualPrompts


class Sampling(Section):
    prompts: Annotated[
        list[str] | UsualPrompts, Setting("Sample prompts", kohya="sample_prompts", tier="basic", widget="lines")
    ] = UsualPrompts()
    """Pictures drawn before the first step and during training with fixed seeds, so that you see what changes; one
    prompt a line; {trigger} stands for the trigger word. Keep one prompt without it: if that changes too, the style is
    bleeding. Kohya's --n (negative) --w --h (size) --d (seed) --s (steps) --l (guidance) are understood. A failing
    sample never stops the run."""

    prompts_file: Annotated[PathText, Setting("Prompt file", kohya="sample_prompts", tier="expert", widget="path")] = ""
    """A text file with a prompt a line, used instead of the prompts above; it is read anew each time, so you can edit
    it while the run goes on. Lines that start with # are skipped."""

    every: Annotated[
        Every, Setting("Sample every", kohya="sample_every_n_steps, sample_every_n_epochs", tier="advanced")
    ] = "250 steps"
    """How often sample pictures are drawn: "250 steps", "1 epoch", "10 minutes" or "never"."""

    at_start: Annotated[bool, Setting("Sample before training", kohya="sample_at_first", tier="advanced")] = True
    """Draws the samples once before the first step: the "before" of before and after."""

    sampler: Annotated[
        str | ByFamily, Setting("Sampler", kohya="sample_sampler", tier="advanced", choices="samplers")
    ] = ByFamily()
    """Which sampler draws the pictures. Compare with the same one in your generator."""

    steps: Annotated[
        int | ByFamily, Field(ge=1, le=500), Setting("Sampling steps", kohya="--s in a prompt", tier="advanced")
    ] = ByFamily()
    """Denoising steps per picture; 20-30 is usual. The time grows in proportion."""

    guidance: Annotated[
        float | ByFamily,
        Field(ge=0, le=50),
        Setting("Guidance (CFG)", kohya="--l in a prompt", tier="advanced"),
    ] = ByFamily()
    """How strongly the picture follows the prompt against the negative prompt. 1 turns it off; 5-8 is usual."""

    negative: Annotated[str, Setting("Negative prompt", kohya="--n in a prompt", tier="advanced")] = ""
    """What the pictures should not show; used for prompts that bring none of their own."""

    width: Annotated[
        int | SameAs,
        Field(ge=64, le=4096),
        Setting("Sample width", kohya="--w in a prompt", tier="advanced", unit="px"),
    ] = SameAs("dataset.resolution")
    """Width of the pictures, a multiple of 8. Empty: the training resolution."""

    height: Annotated[
        int | SameAs,
        Field(ge=64, le=4096),
        Setting("Sample height", kohya="--h in a prompt", tier="advanced", unit="px"),
    ] = SameAs("dataset.resolution")
    """Height of the pictures, a multiple of 8. Empty: the training resolution."""

    seed: Annotated[int, Field(ge=0, lt=2**32), Setting("Sample seed", kohya="--d in a prompt", tier="advanced")] = 42
    """Seed of the first prompt's picture; the next prompts count up from it. Fixed, so that only training changes the
    pictures."""
