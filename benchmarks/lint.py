"""How long the linter takes over a folder of images: the first time, and again once it knows them.

    python -m benchmarks.lint [--images 1000]

Makes its own images (soft colours with fine noise, 1024 x 1024; as many JPEG as PNG as WebP) in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

from benchmarks.likeness import KINDS, make_images
from trainer.contract.families import default_family
from trainer.contract.preset import resolve, with_values
from trainer.contract.settings import Preset
from trainer.plan.lint.lint import lint


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Speed of the linter.")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--resolution", type=int, default=1024)
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as temporary:
        rows = []
        for kind in KINDS:
            folder = Path(temporary) / kind
            folder.mkdir()
            make_images(folder, kind, options.images // len(KINDS))
            rows.append({"path": str(folder)})
        changes = {"dataset.folders": rows, "dataset.resolution": options.resolution}
        preset = resolve(with_values(Preset(), changes), default_family())
        for name in ("first time", "again"):
            began, first = time.perf_counter(), 0.0
            for report in lint(preset, Path(temporary) / "cache"):
                first, images = first or time.perf_counter() - began, report.images
            took = time.perf_counter() - began
            print(f"{name}: {took:.2f} s for {images} images, the first findings after {first:.2f} s")


if __name__ == "__main__":
    main()
