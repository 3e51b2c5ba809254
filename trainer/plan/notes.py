"""What people should know of a plan and might not expect, in plain words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from trainer.contract import advice
from trainer.contract.in_words import in_words, said
from trainer.contract.settings import Preset

from .captions import varies
from .counting import count_of, verb
from .heldout import notes as held_out

if TYPE_CHECKING:
    from .plan import Plan


def notes(plan: Plan) -> list[str]:
    """All notes on a plan, the most important first."""
    return [in_words(text) for note in _NOTES for text in note(plan)]


def _unreadable(plan: Plan) -> list[str]:
    bad = plan.unreadable
    if not bad:
        return []
    named = "; ".join(f"{file.path.name}: {file.why}" for file in bad[:10]) + ("; ..." if len(bad) > 10 else "")
    return [f"{count_of(len(bad), 'file')} cannot be used and {verb(bad, 'is', 'are')} skipped ({named})."]


def _missing_captions(plan: Plan) -> list[str]:
    missing, total = plan.captions.fallback, len(plan.images)
    if not missing:
        return []
    bare = sum(source.origin == "fallback" and not source.trigger for source in plan.sources)
    shown = "the trigger word is used" if not bare else "they are trained with no text, since no trigger word is set"
    if missing == total:
        extension = plan.preset.captions.extension
        return [f"None of the {count_of(total, 'image')} has a caption file ({extension}): {shown}."]
    return [f"{missing} of {total} images have no caption file: {shown}."]


def _empty_captions(plan: Plan) -> list[str]:
    if plan.preset.captions.mode == "none":
        return ["Captions are off: every image is trained with no text, and the trigger word is not used."]
    empty = plan.captions.empty - sum(s.origin == "fallback" and not s.trigger for s in plan.sources)
    return [f"{count_of(empty, 'image')} will be trained with an empty caption."] if empty > 0 else []


def _small_images(plan: Plan) -> list[str]:
    side = plan.preset.dataset.resolution
    grown = [i for i, place in zip(plan.images, plan.placed) if place.resized.width > i.size.width]
    if not grown:
        return []
    return [
        f"{count_of(len(grown), 'image')} {verb(grown, 'has', 'have')} less area than {side} x {side} px and "
        f"{verb(grown, 'is', 'are')} enlarged, which can teach softness."
    ]


def _cropped(plan: Plan) -> list[str]:
    lost = [1 - place.bucket.area / place.resized.area for place in plan.placed]
    much = [share for share in lost if share > 0.2]
    if not much:
        return []
    return [f"{count_of(len(much), 'image')} {verb(much, 'loses', 'lose')} over 20 % of the picture to the crop."]


def _latents(plan: Plan) -> list[str]:
    preset = plan.preset
    if plan.latents_cached or not preset.memory.cache_latents:
        return []
    why = [word for word, on in _unfixed(preset) if on]
    return [f"Latents are not cached because of {' and '.join(why)}: each look is encoded anew, which is slower."]


def _unfixed(preset: Preset) -> list[tuple[str, bool]]:
    dataset = preset.dataset
    return [
        ("random crops", dataset.crop == "random"),
        ("random rotation", dataset.rotate > 0),
        ("colour jitter", dataset.jitter > 0),
    ]


def _text(plan: Plan) -> list[str]:
    preset = plan.preset
    if plan.text_mode != "live" or not preset.memory.cache_text:
        return []
    if preset.network.text_encoder:
        return ["Captions are not cached, because the text encoder is trained."]
    if varies(preset.captions):
        return [
            "Captions change at each look, so the text encoder stays in memory; memory.caption_variants prepares a "
            "number of them instead."
        ]
    return []


def _settings(plan: Plan) -> list[str]:
    """What the settings alone let expect; a preset that a run has proved is not second-guessed."""
    proved = plan.preset.about.tested != Preset().about.tested
    return [] if proved else [f"{said(note)}." for note in advice.notes(plan.preset)]


def _thin_batches(plan: Plan) -> list[str]:
    full = plan.steps.batches * int(plan.preset.training.batch_size) * plan.processes  # type: ignore[arg-type]
    fill = plan.steps.looks / full
    if fill >= 0.75:
        return []
    return [
        f"Batches are {fill:.0%} full: {count_of(len(plan.buckets), 'bucket')} for "
        f"{count_of(len(plan.train), 'image')}. Fewer shapes or a larger dataset.bucket_step fill them better."
    ]


_NOTES: tuple[Callable[[Plan], list[str]], ...] = (
    _unreadable,
    _missing_captions,
    _empty_captions,
    held_out,
    _small_images,
    _cropped,
    _thin_batches,
    _latents,
    _text,
    _settings,
)
