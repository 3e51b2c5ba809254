"""Image files to pixels: whatever the file holds becomes upright 8-bit RGB, then the look that a draw asks for.

The trainer and the page's preview share it, so that what is shown is what is trained on.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from .draws import Draw
from .headers import register_heif

_HEIF = {".heic", ".heif", ".hif"}


class BrokenImage(Exception):
    """A file that cannot be decoded; `why` in a few words."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


def read_bytes(path: Path) -> bytes:
    """The file as it is. BrokenImage where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BrokenImage(path, error.strerror or str(error)) from error


def open_image(path: Path, data: bytes | None = None) -> Image.Image:
    """The file's first frame as upright 8-bit RGB. BrokenImage where it cannot be decoded to its last pixel.

    `data`: the file's bytes where the caller has them."""
    return _open(path, data, to_rgb)


def open_mask(path: Path, alpha: bool, data: bytes | None = None) -> Image.Image:
    """A mask as upright 8-bit grey, white where the image counts: an image's alpha channel, or a picture of a mask.
    BrokenImage as for `open_image`."""
    return _open(path, data, to_alpha if alpha else to_grey)


def _open(path: Path, data: bytes | None, finish: Callable[[Image.Image], Image.Image]) -> Image.Image:
    if Path(path).suffix.lower() in _HEIF:
        register_heif()
    try:
        with Image.open(io.BytesIO(read_bytes(path) if data is None else data)) as image:
            image.load()
            return finish(upright(image))
    except BrokenImage:
        raise
    except Exception as error:  # decoders raise whatever the damage leads them to
        raise BrokenImage(path, f"it cannot be decoded ({type(error).__name__}: {error})") from error


def upright(image: Image.Image) -> Image.Image:
    """Turned as the EXIF data say. Asking for EXIF data where there are none would cost another pass over a PNG."""
    return ImageOps.exif_transpose(image) if "exif" in image.info else image


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB. What is transparent becomes white.

    sd-scripts drops the alpha channel instead, which uncovers whatever colour the drawing program left below: mostly
    black, with hard edges. White is what a viewer shows and what most cut-outs were made for."""
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        cut_out = image.convert("RGBA")
        white = Image.new("RGBA", cut_out.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, cut_out).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def to_alpha(image: Image.Image) -> Image.Image:
    """The alpha channel; white for an image that has none."""
    return image.convert("RGBA").getchannel("A")


def to_grey(image: Image.Image) -> Image.Image:
    """8-bit grey of a picture of a mask. What is transparent in it is black: masks are painted white on nothing."""
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey(image)
    grey = image.convert("RGB").convert("L")
    if not image.has_transparency_data:
        return grey
    return Image.composite(grey, Image.new("L", grey.size), to_alpha(image))


def _deep_grey(image: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits; Pillow's own conversion would cut everything above 255 to white."""
    values = np.asarray(image).astype(np.float64)
    if image.mode == "F":
        scale = 255.0 if values.max(initial=0.0) <= 1.0 else 1.0
    else:
        scale = 255.0 / 65535.0
    return Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """To (width, height) by Lanczos, which Pillow widens when shrinking, so that nothing aliases.

    sd-scripts shrinks by OpenCV's area average, which is softer; Pillow's own box filter takes or leaves whole pixels
    and aliases at ratios near 1. Very large images are first halved by averaging down to three times the size."""
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def rotate(image: Image.Image, degrees: float) -> Image.Image:
    """Turned about its centre and cut to the largest upright part of the same shape."""
    if not degrees:
        return image
    width, height = image.size
    angle = math.radians(abs(degrees))
    cos, sin = math.cos(angle), math.sin(angle)
    kept = min(width / (width * cos + height * sin), height / (width * sin + height * cos))
    turned = image.rotate(degrees, Image.Resampling.BICUBIC)
    left, top = width * (1 - kept) / 2, height * (1 - kept) / 2
    return turned.crop((math.ceil(left), math.ceil(top), math.floor(width - left), math.floor(height - top)))


def jitter(image: Image.Image, factors: Sequence[float]) -> Image.Image:
    """Brightness, contrast and saturation times these factors; 1 leaves them."""
    for enhance, factor in zip((ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), factors):
        if factor != 1.0:
            image = enhance(image).enhance(factor)
    return image


def look(
    image: Image.Image,
    resized: tuple[int, int],
    crop: tuple[int, int],
    bucket: tuple[int, int],
    flip: bool = False,
    degrees: float = 0.0,
    factors: Sequence[float] = (),
) -> Image.Image:
    """What training sees of an image: turned (counter-clockwise), resized, cut to `bucket` from the corner `crop`,
    mirrored, coloured. Sizes are (width, height); the crop is counted in the resized image, before mirroring."""
    part = resize(rotate(image, degrees), tuple(resized))  # type: ignore[arg-type]
    part = part.crop((crop[0], crop[1], crop[0] + bucket[0], crop[1] + bucket[1]))
    part = ImageOps.mirror(part) if flip else part
    return jitter(part, factors)


def seen(image: Image.Image, draw: Draw) -> Image.Image:
    """An upright image as a draw shows it."""
    return look(image, draw.resized, draw.crop, draw.bucket, draw.flip, draw.rotate, draw.jitter)


def seen_mask(mask: Image.Image, size: tuple[int, int], draw: Draw) -> Image.Image:
    """The part of an image's mask that a draw shows: scaled, turned, cut and mirrored like the image, which is of
    `size`. What is not turned can be scaled at once."""
    return look(
        resize(mask, size) if draw.rotate else mask, draw.resized, draw.crop, draw.bucket, draw.flip, draw.rotate
    )


def shares(mask: Image.Image, factor: int) -> NDArray[np.float32]:
    """(height / factor, width / factor): how much of each latent's square of pixels the mask leaves white, 0 to 1."""
    values = np.asarray(mask, dtype=np.float32)
    height, width = values.shape
    squares = values.reshape(height // factor, factor, width // factor, factor)
    return squares.mean(axis=(1, 3)) / np.float32(255.0)
