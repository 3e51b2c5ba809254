"""A plan as lines of text, for `--check` and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.contract.settings import Validation

from .counting import count_of
from .heldout import summary

if TYPE_CHECKING:
    from .plan import Plan


def describe(plan: Plan) -> list[str]:
    """The plan in plain lines, notes last."""
    return [
        *_images(plan),
        _buckets(plan),
        _steps(plan),
        _batches(plan),
        _captions(plan),
        _held_out(plan),
        _adapter(plan),
        _files(plan),
        *(f"Note: {note}" for note in plan.notes),
    ]


def _images(plan: Plan) -> list[str]:
    of_rows = [image for image in plan.images if image.folder < len(plan.preset.dataset.folders)]
    trained = f" of which {len(plan.train):,} train," if len(plan.train) < len(of_rows) else ""
    lines = [f"Images: {len(of_rows):,},{trained} shown about {plan.looks_per_image():.0f} times each in the run"]
    if len(plan.preset.dataset.folders) > 1 or len({image.path.parent for image in of_rows}) > 1:
        groups: dict[tuple[str, int], int] = {}
        for image in of_rows:
            group = (str(image.path.parent), image.repeats)
            groups[group] = groups.get(group, 0) + 1
        lines += [f"  {folder}: {count:,}, repeats {repeats}" for (folder, repeats), count in groups.items()]
    return lines


def _buckets(plan: Plan) -> str:
    shown = [f"{bucket} ({looks:,})" for bucket, looks in sorted(plan.buckets.items(), key=lambda row: -row[1])]
    rest = f" and {len(shown) - 12} more" if len(shown) > 12 else ""
    return f"Buckets (looks in each per epoch): {', '.join(shown[:12])}{rest}"


def _steps(plan: Plan) -> str:
    steps = plan.steps
    epochs = f"{steps.epochs:.2f}".rstrip("0").rstrip(".")
    return f"Steps: {steps.total:,} in all, {steps.per_epoch:,} per epoch, {epochs} epoch{'' if epochs == '1' else 's'}"


def _batches(plan: Plan) -> str:
    training = plan.preset.training
    size = int(training.batch_size) * plan.processes  # type: ignore[arg-type]
    fill = plan.steps.looks / (plan.steps.batches * size)
    parts = [count_of(int(training.batch_size), "image")]  # type: ignore[arg-type]
    parts += [f"x {plan.processes} processes"] if plan.processes > 1 else []
    parts += [f"x {training.accumulate} accumulated"] if training.accumulate > 1 else []
    return f"Batch: {' '.join(parts)}, {100 * fill:.0f} % full on average"


def _captions(plan: Plan) -> str:
    captions, counts = plan.preset.captions, plan.captions
    trigger = f', trigger word "{captions.trigger}"' if captions.trigger and captions.mode != "none" else ""
    sources = {
        "files": f"{counts.files:,} from files, {counts.fallback:,} without a file",
        "folder name": "the folder's name",
        "trigger word": "the trigger word alone",
        "none": "none",
    }
    how = {"cached": "encoded once", "variants": "variants encoded beforehand", "live": "encoded at each look"}
    return f"Captions: {sources[captions.mode]}{trigger}; {how[plan.text_mode]}"


def _held_out(plan: Plan) -> str:
    if not plan.held_out:
        return "Held out for validation: none"
    return f"Validation: {summary(plan)}, {measured_when(plan.preset.validation)}"


def measured_when(validation: Validation) -> str:
    """`"measured every 50 steps"`; how often "auto" is shows only while training."""
    if validation.every == "never":
        return "measured a little at each step" if validation.each_step else "never measured"
    if validation.every == "auto":
        return f"measured as often as {validation.budget:g} % of the time allows"
    return f"measured every {validation.every}"


def _adapter(plan: Plan) -> str:
    network = plan.preset.network
    parts = [word for word, on in (("U-Net", network.unet), ("text encoder", network.text_encoder)) if on]
    size = size_text(plan.adapter.bytes)
    return (
        f"Adapter: {network.type}, rank {network.rank}, {' and '.join(parts)}, {plan.adapter.parameters:,} values, "
        f"about {size}"
    )


def size_text(count_bytes: float) -> str:
    """`"14 MB"`, `"850 kB"`: decimal units, as file managers show them."""
    for unit, width in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count_bytes >= width:
            value = count_bytes / width
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count_bytes:.0f} bytes"


def _files(plan: Plan) -> str:
    every = plan.preset.saving.every
    clock = f", and one every {every}" if every.endswith(("minute", "minutes")) else ""
    shown = plan.files if len(plan.files) <= 6 else (*plan.files[:3], "...", *plan.files[-2:])
    count = "" if len(plan.files) == 1 else f" ({count_of(len(plan.files), 'file')})"
    return f"Files that will be written: {', '.join(shown)}{count}{clock}"
