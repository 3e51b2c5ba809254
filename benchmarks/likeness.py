"""How long near-duplicates take to find: making the prints of images, and comparing prints with each other.

    python -m benchmarks.likeness [--images 200] [--compared 10000]

Makes its own images (soft colours with fine noise, 1024 x 1024: JPEG, PNG and WebP) in a temporary folder; prints are
timed on one thread and on all cores, comparing on what numpy uses.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.plan import prints as printing
from trainer.plan.buckets import Size
from trainer.plan.likeness import PRINT_BYTES, Likeness, print_of
from trainer.plan.scan import ImageFile

KINDS = {"jpg": {"quality": 92}, "png": {}, "webp": {"quality": 90}}


def make_images(folder: Path, kind: str, count: int) -> list[ImageFile]:
    """`count` images of one format, eight different ones copied."""
    draw, found = np.random.default_rng(0), []
    for index in range(count):
        path = folder / f"{index:05d}.{kind}"
        if index < 8:
            small = Image.fromarray(draw.integers(0, 255, (24, 24, 3), dtype=np.uint8))
            soft = np.asarray(small.resize((1024, 1024), Image.Resampling.BICUBIC)).astype(np.int16)
            noisy = (soft + draw.integers(-6, 7, soft.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(path, **KINDS[kind])
        else:
            path.write_bytes((folder / f"{index % 8:05d}.{kind}").read_bytes())
        status = path.stat()
        size = Size(1024, 1024)
        found.append(ImageFile(path, path.name, size, 0, "x", 1, None, status.st_size, status.st_mtime))
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Speed of finding near-duplicates.")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--compared", type=int, default=10_000)
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as temporary:
            images = make_images(Path(temporary), kind, options.images)
            began = time.perf_counter()
            for image in images[:40]:
                print_of(image.path)
            one = (time.perf_counter() - began) / min(40, len(images))
            began = time.perf_counter()
            printing.prints(images, Path(temporary) / "cache")
            all_cores = (time.perf_counter() - began) / len(images)
            print(f"print of a 1024 x 1024 {kind:5} {1000 * one:6.1f} ms on one thread, {1000 * all_cores:6.1f} on all")
    draw, count = np.random.default_rng(0), options.compared
    marks = [np.packbits(draw.random(8 * PRINT_BYTES) < share).tobytes() for share in draw.uniform(0.15, 0.4, count)]
    began = time.perf_counter()
    groups = Likeness([index.to_bytes(4) for index in range(count)], marks).parts()
    print(f"comparing {count:,} prints: {time.perf_counter() - began:.2f} s, {len(groups):,} groups")


if __name__ == "__main__":
    main()
