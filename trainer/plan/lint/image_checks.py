"""Checks of the images: what is broken, doubled, blurred, too small, turned; and how many there are of what."""

from __future__ import annotations

from collections import Counter as Tally

from ..buckets import Placed
from ..counting import count_of, verb
from .finding import Finding, Fix
from .looks import Look
from .material import Material
from .sharpness import BLURRED_BELOW

SUBJECT, STYLE = "15-40", "50-200"
FEWEST = 15
"""The lower end of what `dataset.folders` calls usual for a person, pet or object."""
UNEQUAL = 3.0
"""Times as many looks as the smallest class has, from which a class is told to be the larger one."""
MOST_LOOKS = 100
"""The upper end of what `training.length` calls usual for a subject."""


def broken(found: Material) -> list[Finding]:
    """Files that cannot be used, by their header or by their pixels."""
    files = tuple(file.path for file in found.plan.unreadable)
    if not files:
        return []
    reasons = "; ".join(sorted({file.why for file in found.plan.unreadable})[:3])
    return [
        Finding(
            "broken",
            "serious",
            f"{count_of(len(files), 'file')} cannot be used: {reasons}",
            "They are skipped in training. Often a download was cut off, or a page was saved under a picture's name.",
            files,
            (Fix("Set them aside", "set aside", files=files),),
        )
    ]


def duplicates(found: Material) -> list[Finding]:
    """The same picture more than once; of each group the largest stays, of equal ones the sharpest."""
    groups = [list(group) for group in found.groups or () if len(group) > 1]
    if not groups:
        return []
    sharp = [(found.looks or {}).get(image.path, Look()).sharp or 0.0 for image in found.plan.images]
    ranked = [sorted(group, key=lambda i: (-found.plan.images[i].size.area, -sharp[i])) for group in groups]
    extra = found.paths([index for group in ranked for index in group[1:]])
    label = "Keep the largest of each group, set the rest aside"
    return [
        Finding(
            "near-duplicates",
            "worth a look",
            f"{count_of(sum(map(len, groups)), 'image')} in {count_of(len(groups), 'group')} are near-duplicates: the "
            "same picture in another size, quality or format, or mirrored.",
            "Each copy is learnt from as often as the picture itself, so that the LoRA leans towards it. Pictures that "
            "differ in a small part only count as near-duplicates too: look before you set them aside.",
            found.paths([index for group in ranked for index in group]),
            (Fix(label, "set aside", files=extra),),
        )
    ]


def blurred(found: Material) -> list[Finding]:
    """Images without one sharp part."""
    looks = found.looks or {}
    sharp = [looks[image.path].sharp if image.path in looks else None for image in found.plan.images]
    soft = found.where(lambda index: (value := sharp[index]) is not None and value < BLURRED_BELOW)
    soft.sort(key=lambda index: sharp[index] or 0.0)
    if not soft:
        return []
    return [
        Finding(
            "blurred",
            "worth a look",
            f"{count_of(len(soft), 'image')} {verb(soft, 'is', 'are')} blurred: no part of the picture is sharp at the "
            "training resolution.",
            "The LoRA learns the softness along with the subject. A painting or a mist that is meant to be soft is no "
            "fault: look before you set it aside.",
            found.paths(soft),
            (Fix("Set them aside", "set aside", files=found.paths(soft)),),
        )
    ]


def too_small(found: Material) -> list[Finding]:
    """Images that the plan enlarges, and the largest resolution that enlarges none."""
    grown = _enlarged(found, found.plan.placed)
    if not grown:
        return []
    side = int(found.preset.dataset.resolution)  # type: ignore[arg-type]
    fixes = [Fix("Set them aside", "set aside", files=found.paths(grown))]
    least = max(side // 2, int(found.preset.dataset.bucket_min))  # type: ignore[arg-type]
    lower = next((px for px in range(side - 64, least - 1, -64) if _fits(found, px)), None)
    if lower:
        fixes.insert(0, Fix(f"Train at {lower} px", "settings", (("dataset.resolution", lower),)))
    if found.preset.dataset.buckets:
        fixes.insert(0, Fix("Leave small images at their size", "settings", (("dataset.enlarge", False),)))
    return [
        Finding(
            "too small",
            "worth a look",
            f"{count_of(len(grown), 'image')} {verb(grown, 'is', 'are')} too small for {side} px and would be "
            "enlarged.",
            "Enlarged pictures have no fine detail, and the LoRA learns that softness if they are many. Larger "
            "originals are best.",
            found.paths(grown),
            tuple(fixes),
            "dataset.resolution",
        )
    ]


def _enlarged(found: Material, placed: list[Placed] | tuple[Placed, ...]) -> list[int]:
    return [i for i, place in enumerate(placed) if place.resized.width > found.plan.images[i].size.width]


def _fits(found: Material, side: int) -> bool:
    placed = found.placed_with(resolution=side)
    return placed is not None and not _enlarged(found, placed)


def turned(found: Material) -> list[Finding]:
    """Images that are stored lying and shown upright by their EXIF data."""
    looks = found.looks or {}
    lying = found.where(lambda index: (look := looks.get(found.plan.images[index].path)) is not None and look.turned)
    if not lying:
        return []
    return [
        Finding(
            "EXIF-rotated",
            "note",
            f"{count_of(len(lying), 'image')} {verb(lying, 'is', 'are')} turned by EXIF data, as a camera writes it.",
            "They are trained upright, as you see them here, so nothing has to be done. Other trainers and tools may "
            "take them as they are stored, lying on their side.",
            found.paths(lying),
        )
    ]


def unequal(found: Material) -> list[Finding]:
    """Classes (folders) with far more looks than the smallest."""
    groups: dict[tuple[int, str], list[int]] = {}
    for index in found.plan.learnt:
        image = found.plan.images[index]
        groups.setdefault((image.folder, image.class_name), []).append(index)
    looks = {group: round(found.plan.looks_at(indices)) for group, indices in groups.items()}
    if len(looks) < 2:
        return []
    (small, few), (large, many) = min(looks.items(), key=lambda i: i[1]), max(looks.items(), key=lambda i: i[1])
    if many < UNEQUAL * few:
        return []
    rows = [row for row, _ in looks]
    by_repeats = found.preset.dataset.balance == "repeats"
    fixes = [_more_repeats(found, small[0], many / few)] if by_repeats and rows.count(small[0]) == 1 else []
    members = found.where(lambda i: (found.plan.images[i].folder, found.plan.images[i].class_name) == small)
    return [
        Finding(
            "class imbalance",
            "worth a look",
            f"The folder {small[1]} has {few:,} looks an epoch, {large[1]} has {many:,}, that is {many / few:.1f} "
            "times as many.",
            "What is shown more often is learnt sooner and stronger; the smaller class may stay weak while the larger "
            "one is already overfitted. It is no fault where you want it so.",
            found.paths(members),
            tuple(fixes),
            "dataset.folders",
        )
    ]


def _more_repeats(found: Material, row: int, times: float) -> Fix:
    folders = list(found.preset.dataset.folders)
    now = next(image.repeats for image in found.plan.images if image.folder == row)
    repeats = max(2, round(now * times))
    folders[row] = folders[row].model_copy(update={"repeats": repeats})
    label = f"Show the smaller folder more often: {repeats} repeats"
    return Fix(label, "settings", (("dataset.folders", folders),))


def leaks(found: Material) -> list[Finding]:
    """Training images that are near-duplicates of held-out ones."""
    pairs = found.plan.division.leaks
    if not pairs:
        return []
    train = found.paths([index for index, _ in pairs])
    folder = found.preset.validation.folder
    anew = (Fix("Choose the held-out images anew", "settings", (("validation.folder", ""),)),) if folder else ()
    return [
        Finding(
            "train / validation leak",
            "serious",
            f"{count_of(len(pairs), 'training image')} {verb(pairs, 'is a near-duplicate', 'are near-duplicates')} of "
            "held-out images.",
            "The validation loss then measures what was learnt by heart, and looks better than it is.",
            found.paths([index for pair in pairs for index in pair]),
            (Fix("Set the training copies aside", "set aside", files=train), *anew),
            "validation.folder" if folder else "dataset.folders",
        )
    ]


def lonely_buckets(found: Material) -> list[Finding]:
    """Buckets with one image, where a batch wants more."""
    batch = int(found.preset.training.batch_size)  # type: ignore[arg-type]
    lonely = _alone(found, found.plan.placed)
    if not lonely or batch == 1:
        return []
    step = found.preset.dataset.bucket_step
    better = [px for px in (2 * step, 4 * step) if len(_alone(found, found.placed_with(bucket_step=px))) < len(lonely)]
    fixes = [Fix(f"Bucket step {px} px: fewer shapes", "settings", (("dataset.bucket_step", px),)) for px in better[:1]]
    return [
        Finding(
            "single-image buckets",
            "note",
            f"{count_of(len(lonely), 'image')} {verb(lonely, 'is', 'are')} alone in a bucket, with a batch size of "
            f"{batch}.",
            "A batch comes from one bucket, so these images are trained in batches that are not full, or full of "
            "themselves: steps are wasted, and their updates are noisier.",
            found.paths(lonely),
            (*fixes, Fix("Batch size 1", "settings", (("training.batch_size", 1),))),
            "dataset.bucket_step",
        )
    ]


def _alone(found: Material, placed: list[Placed] | tuple[Placed, ...] | None) -> list[int]:
    if placed is None:
        return list(range(len(found.plan.images)))
    count = Tally(placed[index].bucket for index in found.plan.train)
    return [index for index in found.plan.train if count[placed[index].bucket] == 1]


def too_few(found: Material) -> list[Finding]:
    """Fewer images than is usual, and a length that would show each of them very often."""
    count = len(found.plan.learnt)
    if count >= FEWEST:
        return []
    looks = found.plan.looks_per_image()
    fixes = []
    if looks > MOST_LOOKS:
        steps = max(1, round(found.plan.steps.total * MOST_LOOKS / looks))
        label = f"Shorten to {steps:,} steps: {MOST_LOOKS} looks per image"
        fixes.append(Fix(label, "settings", (("training.length", f"{steps} steps"),)))
    return [
        Finding(
            "too few images",
            "worth a look",
            f"Only {count_of(count, 'image')} to train on.",
            f"{SUBJECT} varied ones do for a person, pet or object, {STYLE} for a style. With few images the LoRA "
            "learns them by heart: their poses, backgrounds and light come back in every picture. Fewer steps help, "
            f"more repeats do not. Each is looked at {looks:.0f} times now.",
            (),
            tuple(fixes),
            "training.length",
        )
    ]
