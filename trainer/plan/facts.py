"""What a plan comes to, as rows that `--check` prints and the page shows: one source of both."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.contract import catalog
from trainer.contract.settings import Network, Validation

from .buckets import Size
from .counting import count_of, some_of
from .layers import trained_parts
from .timetable import draws_samples

if TYPE_CHECKING:
    from .plan import Plan

_NAMED = 5


@dataclass(frozen=True)
class Fact:
    """A row: its name, what it comes to, and what belongs to it one by one (files, folders, steps)."""

    name: str
    value: str
    more: tuple[str, ...] = ()


def facts(plan: Plan, expected: str = "") -> list[Fact]:
    """All rows of a plan, but for its buckets and notes. `expected`: the time that it will take, in words."""
    rows = [
        _images(plan),
        _looks(plan),
        _steps(plan),
        *([Fact("Expected time", expected)] if expected else []),
        _batches(plan),
        _captions(plan),
        *_masks(plan),
        _held_out(plan),
        _trains(plan),
        _adapter(plan),
        _files(plan),
        _samples(plan),
    ]
    return rows


def buckets(plan: Plan) -> list[tuple[Size, int]]:
    """Size and looks per epoch of each bucket, the fullest first."""
    return sorted(plan.buckets.items(), key=lambda row: -row[1])


def _images(plan: Plan) -> Fact:
    train, held_out, aside = len(plan.learnt), len(plan.held_out), len(plan.division.aside)
    kept = len(plan.regularisation)
    looks = count_of(round(plan.looks_at(plan.regularisation)), "look")
    beside = f"; {count_of(kept, 'regularisation image')} with {looks} an epoch in all" if kept else ""
    if not held_out and not aside:
        return Fact("Images", f"{train:,}, all train{beside}", _folders(plan))
    rest = f", {aside:,} on neither side" if aside else ""
    told = f"{len(plan.images) - kept:,}: {train:,} train, {held_out:,} held out{rest}{beside}"
    return Fact("Images", told, _folders(plan))


def _folders(plan: Plan) -> tuple[str, ...]:
    """The folders that are learnt from, with their images and how often these are shown, where there are several."""
    rows = plan.preset.dataset.folders
    groups: dict[tuple[str, int, int], list[int]] = {}
    for index, image in enumerate(plan.images):
        if image.folder < len(rows):
            groups.setdefault((str(image.path.parent), image.repeats, image.folder), []).append(index)
    listed = []
    for (folder, repeats, row), images in groups.items():
        looks = f"weight {rows[row].weight:g}, {count_of(round(plan.looks_at(images)), 'look')} an epoch"
        how = f"repeats {repeats}" if plan.preset.dataset.balance == "repeats" else looks
        regular = ", regularisation" if rows[row].regularisation else ""
        listed.append(f"{folder}: {len(images):,}, {how}{regular}")
    return tuple(listed) if len(listed) > 1 or len(rows) > 1 else ()


def _looks(plan: Plan) -> Fact:
    learnt = plan.learnt
    repeats = {plan.images[index].repeats for index in learnt}
    images, looks = len(learnt), round(plan.looks_at(learnt))
    if plan.preset.dataset.balance == "weights":
        counted = f"{count_of(looks, 'look')} per epoch at {count_of(images, 'image')}, by the folders' weights"
    elif len(repeats) == 1:
        counted = f"{images:,} x {count_of(repeats.pop(), 'repeat')} = {looks:,} per epoch"
    else:
        counted = f"{images:,} x {min(repeats):,} to {max(repeats):,} repeats = {looks:,} per epoch"
    return Fact("Looks", f"{counted}, each image about {_times(plan.looks_per_image())} in the run")


def _times(count: float) -> str:
    shown = f"{count:,.0f}" if count >= 1.5 else f"{count:.1f}".removesuffix(".0")
    return "once" if shown == "1" else f"{shown} times"


def _steps(plan: Plan) -> Fact:
    steps = plan.steps
    epochs = f"{steps.epochs:,.2f}".rstrip("0").rstrip(".")
    passes = f"{epochs} epoch{'' if epochs == '1' else 's'}"
    return Fact("Steps", f"{steps.total:,} in all, {steps.per_epoch:,} per epoch, {passes}")


def _batches(plan: Plan) -> Fact:
    training = plan.preset.training
    size = int(training.batch_size) * plan.processes  # type: ignore[arg-type]
    fill = plan.steps.looks / (plan.steps.batches * size)
    parts = [count_of(int(training.batch_size), "image")]  # type: ignore[arg-type]
    parts += [f"x {plan.processes} processes"] if plan.processes > 1 else []
    parts += [f"x {training.accumulate} accumulated"] if training.accumulate > 1 else []
    return Fact("Batch", f"{' '.join(parts)}, {100 * fill:.0f} % full on average")


def _captions(plan: Plan) -> Fact:
    captions, counts = plan.preset.captions, plan.captions
    trigger = f', trigger word "{captions.trigger}"' if captions.trigger and captions.mode != "none" else ""
    sources = {
        "files": f"{counts.files:,} from files, {counts.fallback:,} without a file",
        "folder name": "the folder's name",
        "trigger word": "the trigger word alone",
        "none": "none",
    }
    how = {"cached": "encoded once", "variants": "variants encoded beforehand", "live": "encoded at each look"}
    return Fact("Captions", f"{sources[captions.mode]}{trigger}; {how[plan.text_mode]}")


def _masks(plan: Plan) -> list[Fact]:
    """How many of the training images have one, where masks are used, and the names of those that have none."""
    dataset = plan.preset.dataset
    if dataset.masks == "none":
        return []
    asked = plan.to_be_masked
    bare = [plan.images[index].path.name for index in asked if plan.images[index].mask is None]
    told = f"{len(asked) - len(bare):,} of {count_of(len(asked), 'image')} {_have_one(len(asked))}"
    counts = f"what they leave out counts {dataset.mask_outside:g}"
    area = ", divided by the share that counts" if dataset.mask_normalise == "area" else ""
    return [Fact("Masks", f"{told}; {counts}{area}", tuple(f"none: {name}" for name in bare))]


def _have_one(count: int) -> str:
    return "has one" if count == 1 else "have one"


def _held_out(plan: Plan) -> Fact:
    if not plan.held_out:
        return Fact("Validation", "none: no image is held out")
    names = plan.held_out_names
    shown = f"{len(names):,} held out ({some_of(names, _NAMED)})"
    return Fact("Validation", f"{shown}, {measured_when(plan.preset.validation)}")


def measured_when(validation: Validation) -> str:
    """`"measured every 50 steps"`; how often "auto" is shows only while training."""
    if validation.every == "never":
        return "measured a little at each step" if validation.each_step else "never measured"
    if validation.every == "auto":
        return f"measured as often as {validation.budget:g} % of the time allows"
    return f"measured every {validation.every}"


def _trains(plan: Plan) -> Fact:
    """Each part that gets an adapter, an encoder with the step that it is trained to; what stays as it is."""
    trained = trained_parts(plan.preset, plan.parts)
    parts = [part for part in plan.parts if part != "vae"]
    said = []
    for part in (part for part in parts if part in trained):
        last = last_step(part, plan)
        said.append(part_name(part, plan) + (f" up to step {last:,}" if last < plan.steps.total else ""))
    frozen = [part_name(part, plan) for part in parts if part not in trained]
    rest = f"; {_listed(frozen)} frozen" if frozen else ""
    return Fact("Will train", _listed(said) + rest)


def last_step(part: str, plan: Plan) -> int:
    """The step after which a part that is trained stays as it is."""
    chosen = plan.preset.optimizer
    stops = {"te1": chosen.text_encoder_stop, "te2": chosen.text_encoder_2_stop}
    return round(plan.steps.total * float(stops.get(part, 100.0)) / 100)  # type: ignore[arg-type]


def part_name(part: str, plan: Plan) -> str:
    """What people call a part of the model."""
    if part == "unet":
        return "U-Net"
    return f"text encoder {part[-1]}" if "te2" in plan.parts else "text encoder"


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _adapter(plan: Plan) -> Fact:
    size = size_text(plan.adapter.bytes)
    return Fact("Adapter", f"{', '.join(_kind(plan.preset.network))}, {plan.adapter.parameters:,} values, about {size}")


def _kind(network: Network) -> list[str]:
    """The type with its ranks and what is added to it."""
    row = catalog.find("networks", network.type)
    if not isinstance(row, catalog.Network):
        return [network.type]
    blocks = bool(network.block_ranks or network.block_conv_ranks or network.layers)
    parts = [
        (True, f"{row.name} as DoRA" if network.dora else row.name),
        (row.ranked, f"rank {network.rank}"),
        (row.ranked and network.conv_rank > 0, f"convolutions {network.conv_rank}"),
        (row.ranked and blocks, "others by block or layer"),
        (bool(network.start), f"started from {os.path.basename(network.start)}"),
    ]
    return [text for said, text in parts if said]


def size_text(count_bytes: float) -> str:
    """`"14 MB"`, `"850 kB"`: decimal units, as file managers show them."""
    for unit, width in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count_bytes >= width:
            value = count_bytes / width
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count_bytes:.0f} bytes"


def _files(plan: Plan) -> Fact:
    every = plan.preset.saving.every
    clock = f", and one every {every}" if every.endswith(("minute", "minutes")) else ""
    together = size_text(plan.adapter.bytes * len(plan.files))
    size = f", {together} together" if len(plan.files) > 1 else ""
    return Fact("Checkpoints", f"{count_of(len(plan.files), 'file')}{size}{clock}", plan.files)


def _samples(plan: Plan) -> Fact:
    sampling = plan.preset.sampling
    if not draws_samples(plan.preset):
        return Fact("Samples", "none are drawn")
    of = "the prompts in the file" if sampling.prompts_file else count_of(len(sampling.prompts), "picture")  # type: ignore[arg-type]
    clock = f", and every {sampling.every}" if sampling.every.endswith(("minute", "minutes")) else ""
    steps = tuple("before the first step" if step == 0 else f"after step {step:,}" for step in plan.samples)
    return Fact("Samples", f"{count_of(len(steps), 'round')} of {of}{clock}", steps)
