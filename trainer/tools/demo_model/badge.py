"""The ring badge: the concept that a demo LoRA teaches, and a measure of how well an image shows it.

A badge is a red ring, a white ring and a blue centre on a background of another colour. The demo model has never seen
one, nor the trigger word. Run as a module with a folder, this file writes the 16 training images and captions there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.tools.demo_model.captions import FULL, fill
from trainer.tools.demo_model.draw import COLOURS, IMAGE_PX, OUTLINES, coverage, random_place

TRIGGER = "zorb"
RINGS = (("red", 1.0), ("white", 0.7), ("blue", 0.4))
"""Colour and outer radius of each ring, as a share of the badge's radius, outermost first."""
BACKGROUNDS = ("orange", "yellow", "green", "purple", "pink", "black")
TRAIN_SEED, HELD_OUT_SEED = 11, 12
_UNIT_DISC = OUTLINES["circle"] / 0.95
_NEAR_BACKGROUND = 45.0


def draw_badge(background: str, centre: tuple[float, float], radius: float) -> Image.Image:
    """One badge as a 128 x 128 RGB image; `centre` and `radius` in pixels."""
    pixels = np.broadcast_to(np.array(COLOURS[background], np.float32), (IMAGE_PX, IMAGE_PX, 3))
    for colour, share in RINGS:
        mask = coverage(_UNIT_DISC, centre, radius * share)[..., None]
        pixels = pixels * (1 - mask) + np.array(COLOURS[colour], np.float32) * mask
    return Image.fromarray(pixels.round().astype(np.uint8))


def badges(seed: int, count: int = 16) -> list[tuple[Image.Image, str]]:
    """`count` badges with captions; backgrounds and wordings in turn, places drawn by `seed`."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        background = BACKGROUNDS[i % len(BACKGROUNDS)]
        centre, radius = random_place(rng)
        text = fill(FULL[i % len(FULL)], TRIGGER, background)
        rows.append((draw_badge(background, centre, radius), text))
    return rows


def training_set() -> list[tuple[Image.Image, str]]:
    """The 16 images that ship in `presets/demo/images`."""
    return badges(TRAIN_SEED)


def held_out() -> list[tuple[Image.Image, str]]:
    """16 badges of other sizes and places, for validation losses that training has not seen."""
    return badges(HELD_OUT_SEED)


def _ring_masks(image: Image.Image) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Where each ring's colour is the nearest of all, and where the image is not its background, (H, W) bool."""
    pixels = np.asarray(image.convert("RGB").resize((IMAGE_PX, IMAGE_PX)), np.float32)
    palette = np.array(list(COLOURS.values()), np.float32)
    nearest = np.linalg.norm(pixels[:, :, None] - palette, axis=-1).argmin(-1)
    names = list(COLOURS)
    border = np.concatenate([pixels[:4].reshape(-1, 3), pixels[-4:].reshape(-1, 3)])
    front = np.linalg.norm(pixels - np.median(border, axis=0), axis=-1) > _NEAR_BACKGROUND
    return {name: nearest == names.index(name) for name, _ in RINGS}, front


def _iou_at(masks: dict[str, np.ndarray], centre: tuple[float, float], radius: float) -> float:
    """Mean over the rings of the IoU between a ring's colour and where that ring should be."""
    y, x = np.mgrid[:IMAGE_PX, :IMAGE_PX] + 0.5
    distance = np.hypot(x - centre[0], y - centre[1]) / radius
    inner = [share for _, share in RINGS[1:]] + [0.0]
    total = 0.0
    for (name, outer), hole in zip(RINGS, inner):
        wanted = (distance < outer) & (distance >= hole)
        total += (wanted & masks[name]).sum() / max((wanted | masks[name]).sum(), 1)
    return float(total / len(RINGS))


def ring_score(image: Image.Image) -> float:
    """How much of a badge an image shows: 0 none, 1 perfect. Real badges score above 0.8, other shapes below 0.2.

    The badge is looked for where the foreground is (its centroid and the radius of a disc of its area, both varied a
    little); the score is the mean over red, white and blue of the intersection over union with the ideal ring.
    """
    masks, front = _ring_masks(image)
    if front.sum() < 50:
        return 0.0
    y, x = np.nonzero(front)
    centre_x, centre_y, radius = x.mean() + 0.5, y.mean() + 0.5, np.sqrt(front.sum() / np.pi)
    return max(
        _iou_at(masks, (centre_x + dx, centre_y + dy), radius * scale)
        for dx in (-2, 0, 2)
        for dy in (-2, 0, 2)
        for scale in (0.92, 1.0, 1.08)
    )


def write_training_set(folder: Path) -> None:
    """`badge_01.png` with `badge_01.txt` and so on into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, (image, text) in enumerate(training_set(), start=1):
        image.save(folder / f"badge_{i:02}.png", optimize=True)
        (folder / f"badge_{i:02}.txt").write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_training_set(Path(sys.argv[1]))
