"""How fast a folder of images is scanned: sizes from headers, captions, buckets, the whole plan.

    python -m benchmarks.scan [--images 10000]

Makes its own images (a photograph's JPEG and PNG headers, small content) and captions in a temporary folder. The scan
is timed warm, best of three; beside it stands Pillow's bare `Image.open` over the same files, which is the floor for
what reads headers with it.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from trainer.contract import families, preset
from trainer.contract.settings import Folder
from trainer.plan.plan import make_plan
from trainer.plan.scan import scan

SIZES = ((512, 512), (768, 512), (512, 768), (1024, 683), (640, 480), (1200, 675), (700, 900), (333, 500))


def make_images(folder: Path, count: int) -> None:
    """`count` images of different shapes, every second a JPEG, each with a caption of 20 tags."""
    made: dict[tuple[tuple[int, int], str], bytes] = {}
    for size in SIZES:
        for ending in ("jpg", "png"):
            file = folder / f"first.{ending}"
            Image.new("RGB", size, (120, 90, 60)).save(file)
            made[size, ending] = file.read_bytes()
            file.unlink()
    for index in range(count):
        ending = ("jpg", "png")[index % 2]
        (folder / f"{index:06d}.{ending}").write_bytes(made[SIZES[index % len(SIZES)], ending])
        tags = ", ".join(f"tag {(index * 7 + place) % 500}" for place in range(20))
        (folder / f"{index:06d}.txt").write_text(tags, encoding="utf-8")


def best_of(times: int, work: Callable[[], Any]) -> float:
    """Seconds of the fastest of several runs."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def bare_open(folder: Path) -> None:
    """What Pillow alone takes to open every image."""
    for path in sorted(folder.iterdir()):
        if path.suffix != ".txt":
            with Image.open(path) as image:
                assert image.size


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="Speed of the scan.")
    parser.add_argument("--images", type=int, default=10_000)
    count = parser.parse_args().images
    print(f"{platform.platform()}, Python {platform.python_version()}, {count:,} images")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_images(folder, count)
        rows = [Folder(path=str(folder))]
        values = {"dataset": {"folders": [{"path": str(folder)}]}, "validation": {"split": "off"}}
        chosen = preset.resolve(preset.build(values), families.default_family())
        held_out = preset.with_values(chosen, {"validation.split": "auto"})
        for name, work in (
            ("Pillow's Image.open alone", lambda: bare_open(folder)),
            ("scan (sizes, caption files found)", lambda: scan(rows)),
            ("whole plan (scan, captions, buckets, steps)", lambda: make_plan(chosen)),
            ("whole plan with held-out images", lambda: make_plan(held_out)),
            ("order and captions of the first step", lambda: make_plan(chosen).step_draws(1)),
        ):
            seconds = best_of(3, work)
            print(f"{name:45} {seconds:6.3f} s  {count / seconds:9,.0f} images/s")


if __name__ == "__main__":
    main()
