"""What people should know of a plan and might not expect, in plain words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from trainer.contract import advice
from trainer.contract.in_words import in_words, said
from trainer.contract.settings import Preset

from .captions import compose, varies
from .counting import count_of, some_of, verb
from .heldout import notes as held_out

if TYPE_CHECKING:
    from .plan import Plan

_NAMED = 5


def notes(plan: Plan) -> list[str]:
    """All notes on a plan, the most important first."""
    return [in_words(text) for note in _NOTES for text in note(plan)]


def _unreadable(plan: Plan) -> list[str]:
    bad = plan.unreadable
    if not bad:
        return []
    named = "; ".join(f"{file.path.name}: {file.why}" for file in bad[:10]) + ("; ..." if len(bad) > 10 else "")
    return [f"{count_of(len(bad), 'file')} cannot be used and {verb(bad, 'is', 'are')} skipped ({named})."]


def _regularisation(plan: Plan) -> list[str]:
    kept, dataset = plan.regularisation, plan.preset.dataset
    if not kept:
        return []
    told = []
    looks, others = plan.looks_at(kept), plan.looks_at(plan.learnt)
    if looks > others:
        told.append(
            f"Regularisation images get {count_of(round(looks), 'look')} an epoch, those that are to be learnt only "
            f"{round(others):,}: most of the training goes into what the model knows already."
        )
    if dataset.regularisation_weight == 0:
        told.append(
            "Regularisation images take time and teach nothing: their weight is 0 (dataset.regularisation_weight)."
        )
    bare = _without_text(plan)
    if bare and plan.preset.captions.mode != "none":
        told.append(
            f"{count_of(bare, 'regularisation image')} will be trained with no text: give caption files, or the name "
            "of the class as the trigger word of their folder."
        )
    return told


def _without_text(plan: Plan) -> int:
    """Regularisation images with an empty caption."""
    return sum(not compose(plan.sources[index], plan.preset.captions) for index in plan.regularisation)


def _masks(plan: Plan) -> list[str]:
    dataset = plan.preset.dataset
    if dataset.masks == "none":
        return ["Folders of masks are given but not used: dataset.masks is none."] if _mask_folders(plan) else []
    asked = plan.to_be_masked
    bare = [plan.images[index].path.name for index in asked if plan.images[index].mask is None]
    what = "alpha channel" if dataset.masks == "alpha" else "mask"
    if len(bare) == len(asked):
        return [f"No image has a{'n' if what[0] == 'a' else ''} {what}: every picture is learnt whole (dataset.masks)."]
    told = []
    if bare:
        named = some_of(bare, _NAMED)
        told.append(
            f"{count_of(len(bare), 'image')} {verb(bare, 'has', 'have')} no {what} and {verb(bare, 'is', 'are')} "
            f"learnt whole ({named})."
        )
    others = {*plan.learnt} - {*asked}
    if others:
        whole = f"{count_of(len(others), 'image')} {verb([*others], 'is', 'are')} learnt whole"
        told.append(f"{whole}: no folder of masks is given for their folder.")
    if plan.held_out and plan.preset.validation.every != "never":
        told.append("The validation loss is that of whole pictures: masks count in training only.")
    return told


def _mask_folders(plan: Plan) -> bool:
    return any(row.mask.strip() for row in plan.preset.dataset.folders)


def _weights(plan: Plan) -> list[str]:
    rows, by_weights = plan.preset.dataset.folders, plan.preset.dataset.balance == "weights"
    if not by_weights and len({row.weight for row in rows}) > 1:
        return ["The folders' weights have no effect: dataset.balance is repeats."]
    return []


def _missing_captions(plan: Plan) -> list[str]:
    lacking = [index for index, source in enumerate(plan.sources) if source.origin == "fallback"]
    kept = frozenset(plan.regularisation)
    lacking = [index for index in lacking if index not in kept]
    missing, total = len(lacking), len(plan.images) - len(kept)
    if not missing:
        return []
    bare = sum(not plan.sources[index].trigger for index in lacking)
    shown = "the trigger word is used" if not bare else "they are trained with no text, since no trigger word is set"
    if missing == total:
        extension = plan.preset.captions.extension
        return [f"None of the {count_of(total, 'image')} has a caption file ({extension}): {shown}."]
    return [f"{missing} of {total} images have no caption file: {shown}."]


def _empty_captions(plan: Plan) -> list[str]:
    if plan.preset.captions.mode == "none":
        return ["Captions are off: every image is trained with no text, and the trigger word is not used."]
    kept = frozenset(plan.regularisation)
    told = sum(s.origin == "fallback" and not s.trigger for i, s in enumerate(plan.sources) if i not in kept)
    empty = plan.captions.empty - told - _without_text(plan)
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
    _masks,
    _regularisation,
    _weights,
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
