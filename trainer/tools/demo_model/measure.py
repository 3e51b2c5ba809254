"""Reads an image of the drawn world without any network: which shape, colours and texture does it show?

Each answer is the best fit among all possibilities, so that an evaluation by it is independent of the trained model.
The unit tests check it on real drawings first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from trainer.tools.demo_model.draw import (
    CHECKER_PX,
    COLOURS,
    IMAGE_PX,
    OUTLINES,
    STRIPE_PX,
    Scene,
    coverage,
    shade_of,
    texture_pattern,
)

ATTRIBUTES = ("shape", "colour", "texture", "background")
BORDER_PX = 4
NEAR_BACKGROUND = 40.0
"""RGB distance up to which a pixel counts as background."""
PLAIN_BELOW = 0.5
"""Best correlation with any textured pattern below which an object is called plain."""


@dataclass(frozen=True)
class Reading:
    """What an image shows, and how well the shape fits its template (IoU, 0-1)."""

    shape: str
    colour: str
    texture: str
    background: str
    shape_iou: float

    def matches(self, scene: Scene) -> dict[str, bool]:
        """Which of the four attributes are what the scene asked for."""
        return {name: getattr(self, name) == getattr(scene, name) for name in ATTRIBUTES}


def _background(pixels: np.ndarray) -> tuple[str, np.ndarray]:
    """Name and median RGB of the border."""
    inner = np.ones(pixels.shape[:2], bool)
    inner[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = False
    rgb = np.median(pixels[inner], axis=0)
    names = list(COLOURS)
    return names[int(np.linalg.norm(np.array(list(COLOURS.values())) - rgb, axis=1).argmin())], rgb


def _shape(front: np.ndarray) -> tuple[str, float]:
    """The outline that overlaps best when laid on the foreground's centroid with the foreground's area."""
    y, x = np.nonzero(front)
    centroid = np.array([x.mean() + 0.5, y.mean() + 0.5])
    best = ("none", 0.0)
    for name, outline in OUTLINES.items():
        unit = coverage(outline, (64.0, 64.0), 48.0)
        uy, ux = np.nonzero(unit > 0.5)
        offset = (np.array([ux.mean(), uy.mean()]) + 0.5 - 64) / 48
        radius = 48 * np.sqrt(front.sum() / (unit > 0.5).sum())
        at = centroid - offset * radius
        wanted = coverage(outline, (float(at[0]), float(at[1])), float(radius)) > 0.5
        iou = float((wanted & front).sum() / (wanted | front).sum())
        best = max(best, (name, iou), key=lambda row: row[1])
    return best


def _colour(front_pixels: np.ndarray, background: str) -> str:
    """The colour that, with its shade, lies nearest to the foreground; the background's own is no candidate."""
    distances = {}
    for name, rgb in COLOURS.items():
        tone = np.array(rgb, np.float32)
        near = np.minimum(
            np.linalg.norm(front_pixels - tone, axis=1), np.linalg.norm(front_pixels - shade_of(tone), axis=1)
        )
        distances[name] = float(near.mean()) if name != background else np.inf
    return min(distances, key=lambda name: distances[name])


def _texture(pixels: np.ndarray, front: np.ndarray, colour: str) -> str:
    """Stripes or checkers by the best correlation over all phases of the pattern with the object's shading."""
    tone = np.array(COLOURS[colour], np.float32)
    axis = shade_of(tone) - tone
    shading = ((pixels - tone) @ axis / (axis @ axis))[front]
    if shading.std() < 0.15:
        return "plain"
    shading = (shading - shading.mean()) / shading.std()
    phases = {
        "striped": [(0, y) for y in range(0, 2 * STRIPE_PX, 2)],
        "checkered": [(x, y) for x in range(0, 2 * CHECKER_PX, 4) for y in range(0, CHECKER_PX, 4)],
    }
    scores = {"plain": PLAIN_BELOW}
    for texture, shifts in phases.items():
        for shift in shifts:
            pattern = texture_pattern(texture, phase=shift)[front]
            fit = float((shading * (pattern - pattern.mean())).mean() / max(pattern.std(), 1e-3))
            scores[texture] = max(scores.get(texture, -1.0), fit)
    return max(scores, key=lambda name: scores[name])


def read_image(image: Image.Image) -> Reading:
    """Shape, colour, texture and background of an image; `none` where there is no object."""
    pixels = np.asarray(image.convert("RGB").resize((IMAGE_PX, IMAGE_PX)), np.float32)
    background, background_rgb = _background(pixels)
    front = np.linalg.norm(pixels - background_rgb, axis=-1) > NEAR_BACKGROUND
    if front.sum() < 100:
        return Reading("none", "none", "none", background, 0.0)
    shape, iou = _shape(front)
    colour = _colour(pixels[front], background)
    return Reading(shape, colour, _texture(pixels, front, colour), background, iou)
