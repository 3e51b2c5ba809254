"""What the linter's measure of sharpness says of pictures of one's own, as they are and blurred by known amounts.

    python -m benchmarks.blur PICTURE_OR_FOLDER ... [--side 512]

One line a picture: as it is; blurred by a Gaussian of 1, 2, 3 and 6 px at the training size; moved sideways by 15 px at
512 px; shrunk to half and enlarged again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from trainer.plan.lint.sharpness import BLURRED_BELOW, sharpness
from trainer.plan.scan import EXTENSIONS, register_heif


def pictures(places: list[Path]) -> Iterator[Path]:
    """The picture files that are named, and those in named folders."""
    for place in places:
        inside = sorted(path for path in place.iterdir() if path.suffix.lower() in EXTENSIONS) if place.is_dir() else []
        yield from inside or [place]


def variants(grey: Image.Image, side: int) -> Iterator[Image.Image]:
    """The picture, then its spoiled copies."""
    yield grey
    for radius in (1, 2, 3, 6):
        yield grey.filter(ImageFilter.GaussianBlur(radius))
    values, far = np.asarray(grey, dtype=np.float64), 15 * side // 512
    sums = np.cumsum(np.pad(values, ((0, 0), (far, 0)), mode="edge"), axis=1)
    yield Image.fromarray(((sums[:, far:] - sums[:, :-far]) / far).clip(0, 255).astype(np.uint8))
    yield grey.resize((max(1, grey.width // 2), max(1, grey.height // 2)), Image.Resampling.LANCZOS).resize(
        grey.size, Image.Resampling.BICUBIC
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Sharpness of pictures, as they are and spoiled.")
    parser.add_argument("places", nargs="+", type=Path)
    parser.add_argument("--side", type=int, default=512)
    options = parser.parse_args()
    register_heif()
    print(f"as it is, Gaussian 1, 2, 3, 6 px, moved, half size; blurred is below {BLURRED_BELOW}")
    for path in pictures(options.places):
        with Image.open(path) as image:
            grey = ImageOps.grayscale(ImageOps.exif_transpose(image))
        scale = options.side / (grey.width * grey.height) ** 0.5
        if scale < 1:
            grey = grey.resize((round(grey.width * scale), round(grey.height * scale)), Image.Resampling.LANCZOS)
        found = [sharpness(np.asarray(each, dtype=np.float32)) for each in variants(grey, options.side)]
        print(*("  --" if value is None else f"{value:.2f}" for value in found), path.name)


if __name__ == "__main__":
    main()
