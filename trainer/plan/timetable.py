"""What happens when, which files come out, and what is encoded beforehand, by the settings and the number of steps."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.contract.settings import Preset

from . import names
from .captions import varies
from .steps import Steps, due_steps


def checkpoint_steps(preset: Preset, steps: Steps) -> tuple[int, ...]:
    """Steps after which the adapter is saved in between; the last one has the final file."""
    return tuple(step for step in due_steps(preset.saving.every, steps) if step < steps.total)


def draws_samples(preset: Preset) -> bool:
    """Whether a run draws samples at all; one that does not lets go of what would draw them."""
    sampling = preset.sampling
    return bool(sampling.prompts or sampling.prompts_file) and (sampling.at_start or sampling.every != "never")


def sample_steps(preset: Preset, steps: Steps) -> tuple[int, ...]:
    """Before the first step where asked for, when due, and after the last: an "after" to the "before"."""
    if not draws_samples(preset):
        return ()
    start = (0,) if preset.sampling.at_start else ()
    return tuple(sorted({*start, *due_steps(preset.sampling.every, steps), steps.total}))


def validation_steps(preset: Preset, steps: Steps, held_out: Sequence[int]) -> tuple[int, ...]:
    """Before the first step, when due, and after the last; those in between are not known where the clock decides."""
    every = preset.validation.every
    if not held_out or every == "never":
        return ()
    between = () if every == "auto" else due_steps(every, steps)
    return tuple(sorted({0, *between, steps.total}))


def files(preset: Preset, steps: Steps, checkpoints: Sequence[int], validates: bool) -> tuple[str, ...]:
    """Names of the adapter files that are there at the end, older ones having made room where `keep_last` says so;
    where the run `validates`, the one with the lowest loss is among them."""
    saving = preset.saving
    kept = checkpoints[-saving.keep_last :] if saving.keep_last else checkpoints
    between = [names.checkpoint_file(str(saving.name), saving.every, step, steps) for step in kept]
    lowest = (names.lowest_file(str(saving.name)),) if validates else ()
    return (*between, *lowest, names.final_file(str(saving.name)))


def fixed_pictures(preset: Preset) -> bool:
    """Whether each image has one picture (two with flips), so that its latents can be kept."""
    dataset = preset.dataset
    return dataset.rotate == 0 and dataset.jitter == 0 and dataset.crop == "centre"


def latents_cached(preset: Preset) -> bool:
    """Whether latents are kept: that is asked for, and it can be done."""
    return preset.memory.cache_latents and fixed_pictures(preset)


def text_mode(preset: Preset) -> str:
    """ "cached", "variants" or "live"; see `Plan`."""
    if not preset.memory.cache_text or preset.network.text_encoder:
        return "live"
    if not varies(preset.captions):
        return "cached"
    return "variants" if preset.memory.caption_variants else "live"
