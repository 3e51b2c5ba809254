"""Links of images and captions. `subsets` stands for the rows of a dataset file, each a table of its own keys."""

from __future__ import annotations

import math
from typing import Any

from ..settings import Preset
from . import loose
from .flags import Flags
from .links import Link, Values

NO_FILES = {"folder name": ".caption-is-folder-name", "trigger word": ".caption-is-trigger-word", "none": ".no-caption"}
"""Where captions are not read from files -> the extension that an export writes, so that none is found there."""

JITTER = 0.05
"""The jitter that stands for sd-scripts' colour augmentation, which has no strength."""


def _resolution(flags: Flags) -> Values:
    sides = [int(side) for side in loose.numbers(flags["resolution"])][:2]
    if not sides:
        return {}
    if any(not 1 <= side <= 100_000 for side in sides):
        raise ValueError("it is no size in pixels")
    side = round(math.sqrt(sides[0] * sides[-1]))
    if sides[0] != sides[-1]:
        side = max(8, round(side / 8) * 8)
        flags.change("resolution", f"here a square says the area: {side} stands for {sides[0]} x {sides[1]}")
    return {"dataset.resolution": side}


def _step(flags: Flags) -> Values:
    step = loose.whole(flags["bucket_reso_steps"]) or 64
    if step < 8:
        flags.change("bucket_reso_steps", "below 8 pixels a step means nothing to the model: 8 is put there")
    return {"dataset.bucket_step": max(step, 8)}


def _jitter(flags: Flags) -> Values:
    wanted = loose.flag(flags["color_aug"])
    if wanted:
        flags.change("color_aug", f"it changes colours in a third of the looks there; a jitter of {JITTER} is put here")
    return {"dataset.jitter": JITTER if wanted else 0.0}


def rows(flags: Flags) -> list[dict[str, Any]]:
    """The subsets of a dataset file, or the folders of the flags as such rows."""
    given = flags["subsets"]
    if isinstance(given, list) and given:
        return [row for row in given if isinstance(row, dict)]
    found = [
        {"image_dir": loose.text(flags["train_data_dir"]), "conditioning_data_dir": flags["conditioning_data_dir"]},
        {"image_dir": loose.text(flags["reg_data_dir"]), "is_reg": True},
    ]
    return [row for row in found if row["image_dir"]]


def _folders(flags: Flags) -> Values:
    found = []
    for row in rows(flags):
        folder: Values = {"path": _place(row.get("image_dir"))}
        repeats = loose.whole(row.get("num_repeats"))
        if repeats is not None:
            folder["repeats"] = min(max(repeats, 1), 10000)
        elif "from_file" in row:
            folder["repeats"] = 1
        if loose.flag(row.get("is_reg")):
            folder["regularisation"] = True
        if loose.text(row.get("trigger")):
            folder["trigger"] = loose.text(row.get("trigger"))
        if loose.text(row.get("conditioning_data_dir")):
            folder["mask"] = _place(row.get("conditioning_data_dir"))
        if folder["path"]:
            found.append(folder)
    return {"dataset.folders": found, "dataset.balance": "repeats", "dataset.masks": _masks(flags)}


def _place(value: Any) -> str:
    """A folder; a relative one of Windows with the separators that every system takes."""
    path = loose.text(value)
    return path if path[1:2] == ":" or path.startswith("\\\\") else path.replace("\\", "/")


def _masks(flags: Flags) -> str:
    with_folders = [row for row in rows(flags) if loose.text(row.get("conditioning_data_dir"))]
    if with_folders and loose.flag(flags["masked_loss"]):
        return "folders"
    if loose.flag(flags["alpha_mask"]) or any(loose.flag(row.get("alpha_mask")) for row in rows(flags)):
        return "alpha"
    if loose.flag(flags["masked_loss"]):
        flags.change("masked_loss", "no folder of masks and no alpha channel is named: without one it does nothing")
    return "none"


def _write_masks(preset: Preset) -> Values:
    masks = preset.dataset.masks
    return {"masked_loss": masks == "folders", "alpha_mask": masks == "alpha"}


IMAGES: tuple[Link, ...] = (
    Link(
        ("resolution",),
        ("dataset.resolution",),
        _resolution,
        lambda preset: {"resolution": preset.dataset.resolution},
    ),
    Link(
        ("bucket_reso_steps",),
        ("dataset.bucket_step",),
        _step,
        lambda preset: {"bucket_reso_steps": preset.dataset.bucket_step},
    ),
    Link(
        ("color_aug",),
        ("dataset.jitter",),
        _jitter,
        lambda preset: {"color_aug": preset.dataset.jitter > 0},
        exact=False,
    ),
    Link(
        ("train_data_dir", "reg_data_dir", "conditioning_data_dir", "masked_loss", "alpha_mask", "subsets"),
        ("dataset.folders", "dataset.balance", "dataset.masks"),
        _folders,
        _write_masks,
    ),
)

# ---- captions -------------------------------------------------------------------------------------------------------


def _source(flags: Flags) -> Values:
    """Where captions come from. Without a caption file sd-scripts takes the class tokens, the folder's name."""
    extension = loose.text(flags["caption_extention"]) or loose.text(flags["caption_extension"]) or ".caption"
    extension = extension if extension.startswith(".") else f".{extension}"
    trigger = loose.text(flags["trigger"])
    mode = next((mode for mode, ending in NO_FILES.items() if ending == extension), "files")
    if mode != "files":
        return {"captions.mode": mode, "captions.trigger": trigger}
    return {"captions.mode": "files", "captions.extension": extension, "captions.trigger": trigger}


def _write_source(preset: Preset) -> Values:
    return {"caption_extension": NO_FILES.get(preset.captions.mode, preset.captions.extension)}


def _kept(flags: Flags) -> Values:
    """sd-scripts counts the prefix's tags as well, since it shuffles them; here a prefix stays where it is."""
    prefix = loose.text(flags["caption_prefix"])
    separator = loose.text(flags["caption_separator"]) or ","
    kept = loose.whole(flags["keep_tokens"]) or 0
    return {"captions.keep_tokens": max(kept - prefix.count(separator), 0), "captions.prefix": prefix}


def _write_kept(preset: Preset) -> Values:
    captions = preset.captions
    prefix = captions.prefix.strip()
    return {
        "keep_tokens": captions.keep_tokens + prefix.count(captions.separator or ","),
        "caption_prefix": prefix or None,
    }


def _growth(flags: Flags) -> Values:
    count = loose.number(flags["token_warmup_step"]) or 0.0
    if count < 1:
        return {"captions.tag_warmup": round(100 * max(count, 0.0), 6)}
    total = flags.total_steps()
    if total:
        return {"captions.tag_warmup": min(round(100 * count / total, 6), 100.0)}
    flags.change("token_warmup_step", "it counts steps, and how many there will be is not known: 10 % is put there")
    return {"captions.tag_warmup": 10.0}


def _wildcards(flags: Flags) -> Values:
    wanted = loose.flag(flags["enable_wildcard"])
    return {"captions.wildcards": wanted, "captions.lines": "one at random" if wanted else "first"}


CAPTIONS: tuple[Link, ...] = (
    Link(
        ("caption_extension", "caption_extention", "trigger"),
        ("captions.mode", "captions.extension", "captions.trigger"),
        _source,
        _write_source,
    ),
    Link(("keep_tokens", "caption_prefix"), ("captions.keep_tokens", "captions.prefix"), _kept, _write_kept),
    Link(
        ("token_warmup_step",),
        ("captions.tag_warmup",),
        _growth,
        lambda preset: {"token_warmup_step": min(preset.captions.tag_warmup / 100, 0.99999999)},
    ),
    Link(
        ("enable_wildcard",),
        ("captions.wildcards", "captions.lines"),
        _wildcards,
        lambda preset: {"enable_wildcard": preset.captions.wildcards},
    ),
)
