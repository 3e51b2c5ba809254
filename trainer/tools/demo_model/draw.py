"""The drawn world: one coloured, textured shape on a coloured background, and the words for it.

Everything that the demo model is taught is listed in three tables here (COLOURS, OUTLINES, TEXTURES). The ring badge of
`badge.py` is deliberately not among them: it is what a demo LoRA has to add.

Shapes are polygons in units of the radius, x to the right and y down. Images are HWC uint8, colours sRGB 0-255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

IMAGE_PX = 128
RADIUS_PX = (26, 42)
"""Smallest and largest radius. Below about 24 px the 8x VAE blurs corners, and the shape is no longer readable."""
SHIFT_PX = 16
"""How far a centre may lie from the middle. Little, so that the small UNet spends its capacity on shapes."""
STRIPE_PX = 8
CHECKER_PX = 16
SHADE = 0.5
OVERSAMPLE = 4

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 36, 36),
    "orange": (250, 140, 30),
    "yellow": (248, 220, 50),
    "green": (40, 158, 62),
    "blue": (40, 80, 214),
    "purple": (128, 48, 176),
    "pink": (248, 140, 192),
    "white": (244, 244, 244),
    "black": (18, 18, 20),
}
TEXTURES = ("plain", "striped", "checkered")


def _arc(radius: float, start: float, stop: float, centre_x: float = 0.0) -> np.ndarray:
    """Points (48, 2) of an arc; angles in radians, clockwise on the screen from the right."""
    angle = np.linspace(start, stop, 48)
    return np.stack([centre_x + radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _heart() -> np.ndarray:
    """The usual heart curve, brought into the unit square."""
    t = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x / 16.5, (y - 2.5) / 14.8], axis=1)


def _moon() -> np.ndarray:
    """A disc of radius 1 less a disc of radius 0.8 at x = 0.5; the two circles cross at x = 0.61."""
    outer, inner = np.arccos(0.61), np.arctan2(0.792, 0.11)
    return np.concatenate([_arc(1.0, outer, 2 * np.pi - outer), _arc(0.8, 2 * np.pi - inner, inner, centre_x=0.5)])


_ARM = 0.34
OUTLINES: dict[str, np.ndarray] = {
    "circle": _arc(0.95, 0.0, 2 * np.pi),
    "square": np.array([(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)]),
    "triangle": np.array([(0.0, -1.0), (1.0, 0.8), (-1.0, 0.8)]),
    "diamond": np.array([(0.0, -1.0), (0.7, 0.0), (0.0, 1.0), (-0.7, 0.0)]),
    "cross": np.array(
        [(-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM)]
        + [(_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM)]
    ),
    "heart": _heart(),
    "moon": _moon(),
    "arrow": np.array([(-1, -0.34), (0.05, -0.34), (0.05, -0.9), (1, 0), (0.05, 0.9), (0.05, 0.34), (-1, 0.34)]),
}
SHAPES = tuple(OUTLINES)
CONCEPTS = (*SHAPES, *COLOURS, *TEXTURES)
"""Every word that carries a meaning in the pre-training captions."""


@dataclass(frozen=True)
class Scene:
    """One image of the world in words and numbers; `centre` and `radius` in pixels."""

    shape: str
    colour: str
    texture: str
    background: str
    centre: tuple[float, float] = (IMAGE_PX / 2, IMAGE_PX / 2)
    radius: float = 34.0


def coverage(outline: np.ndarray, centre: tuple[float, float], radius: float, size_px: int = IMAGE_PX) -> np.ndarray:
    """Share of each pixel that a polygon covers, (H, W) float32 in 0-1.

    Drawn larger and averaged down: Pillow's polygons have no anti-aliasing, and hard steps teach a VAE nothing useful.
    """
    large = Image.new("L", (size_px * OVERSAMPLE, size_px * OVERSAMPLE))
    points = (outline * radius + np.asarray(centre)) * OVERSAMPLE
    ImageDraw.Draw(large).polygon([tuple(p) for p in points.tolist()], fill=255)
    return np.asarray(large.reduce(OVERSAMPLE), dtype=np.float32) / 255


def texture_pattern(texture: str, size_px: int = IMAGE_PX, phase: tuple[int, int] = (0, 0)) -> np.ndarray:
    """1 where the darker shade goes, else 0, (H, W) float32.

    The pattern lies on the page, not on the shape: at phase 0 its edges are the edges of the VAE's 8 px cells.
    """
    y, x = np.mgrid[:size_px, :size_px]
    x, y = x + phase[0], y + phase[1]
    if texture == "striped":
        return (y // STRIPE_PX % 2).astype(np.float32)
    if texture == "checkered":
        return ((x // CHECKER_PX + y // CHECKER_PX) % 2).astype(np.float32)
    return np.zeros((size_px, size_px), np.float32)


def shade_of(rgb: np.ndarray) -> np.ndarray:
    """The second tone of a texture: halfway to black, or to white where the colour is nearly black itself."""
    target = 255.0 if rgb.max() < 60 else 0.0
    return rgb + (target - rgb) * SHADE


def draw(scene: Scene, rng: np.random.Generator | None = None) -> Image.Image:
    """A scene as a 128 x 128 RGB image. With `rng` both colours get a slight tint, so that no exact value is learnt."""
    tint = rng.normal(0, 4, (2, 3)) if rng is not None else np.zeros((2, 3))
    front = np.array(COLOURS[scene.colour]) + tint[0]
    back = np.array(COLOURS[scene.background]) + tint[1]
    pattern = texture_pattern(scene.texture)[..., None]
    inside = front * (1 - pattern) + shade_of(front) * pattern
    mask = coverage(OUTLINES[scene.shape], scene.centre, scene.radius)[..., None]
    pixels = inside * mask + back * (1 - mask)
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


def random_place(rng: np.random.Generator) -> tuple[tuple[float, float], float]:
    """Centre and radius of an object that stays inside the image, in pixels."""
    radius = float(rng.uniform(*RADIUS_PX))
    reach = min(SHIFT_PX, IMAGE_PX / 2 - 4 - radius)
    x, y = rng.uniform(-reach, reach, 2) + IMAGE_PX / 2
    return (float(x), float(y)), radius


def random_scene(rng: np.random.Generator) -> Scene:
    """Any shape, two different colours, any texture; all equally likely."""
    colour, background = rng.choice(list(COLOURS), 2, replace=False)
    centre, radius = random_place(rng)
    return Scene(str(rng.choice(SHAPES)), str(colour), str(rng.choice(TEXTURES)), str(background), centre, radius)
