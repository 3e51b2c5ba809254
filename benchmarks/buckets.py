"""How fast images are given their buckets.

python -m benchmarks.buckets [--images 1000000]
"""

from __future__ import annotations

import argparse
import platform
import random
import time

from trainer.plan.buckets import Chooser, Size, fit, make_buckets


def main() -> None:
    """Print the figures: sizes that repeat, as in real collections, and sizes that are all different."""
    parser = argparse.ArgumentParser(description="Speed of bucket assignment.")
    parser.add_argument("--images", type=int, default=1_000_000)
    count = parser.parse_args().images
    print(f"{platform.platform()}, Python {platform.python_version()}, {count:,} assignments")
    draw = random.Random(0)
    buckets = make_buckets(1024 * 1024, 256, 2048, 64)
    several = [Size(draw.randint(300, 3000), draw.randint(300, 3000)) for _ in range(5000)]
    cases = {
        "sizes that repeat (5,000 different ones)": [several[draw.randrange(5000)] for _ in range(count)],
        "every size different": [Size(300 + i % 2999, 300 + i // 2999) for i in range(count)],
    }
    for name, sizes in cases.items():
        start = time.perf_counter()
        nearest = Chooser(buckets)
        found = [nearest(size) for size in sizes]
        seconds = time.perf_counter() - start
        assert len(set(found)) > 1
        print(f"{name:45} {seconds:6.3f} s")
    nearest = Chooser(buckets)
    start = time.perf_counter()
    for size in several:
        fit(size, nearest(size))
    print(f"{'nearest and fit, per 5,000 images':45} {time.perf_counter() - start:6.3f} s")


if __name__ == "__main__":
    main()
