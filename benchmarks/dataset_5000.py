"""How long a folder of 5,000 images takes to open in the Dataset tab, in the real page in Chromium.

Run from the checkout: `python -m benchmarks.dataset_5000 [--json FILE]`. Images are JPEGs of about 768 x 1024 pixels,
each with a caption of 20 tags. Printed: the click on Open until the first page of images stands there, until twelve of
its thumbnails are seen, and the same again, when those thumbnails are on disk already.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil
from PIL import Image
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "browser"))
from served import serve

IMAGES = 5000
_TWELVE_SEEN = "[...document.querySelectorAll('.studio-card img')].filter(image => image.naturalWidth).length >= 12"


def make_folder(folder: Path) -> None:
    """The images and captions; ten different pictures, written again and again."""
    folder.mkdir(parents=True)
    dice, pictures = random.Random(0), []
    for number in range(10):
        data = io.BytesIO()
        noise = Image.frombytes("RGB", (96, 128), dice.randbytes(96 * 128 * 3))
        noise.resize((768 + 64 * (number % 3), 1024)).save(data, "JPEG", quality=90)
        pictures.append(data.getvalue())
    for number in range(IMAGES):
        (folder / f"{number:05}.jpg").write_bytes(pictures[number % 10])
        tags = dice.sample(range(400), 20)
        (folder / f"{number:05}.txt").write_text(", ".join(f"tag {tag}" for tag in tags), encoding="utf-8")


def opened(page: Page, url: str, folder: Path) -> tuple[float, float]:
    """Seconds until the images stand there, and until twelve thumbnails are seen."""
    page.goto(url)
    page.wait_for_selector("#f-network-rank .help", state="attached")
    page.get_by_role("tab", name="Dataset", exact=True).click()
    page.wait_for_selector(".studio-places button")
    page.locator("#studio-path").fill(str(folder))
    start = time.perf_counter()
    page.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_selector(".studio-card")
    stand = time.perf_counter() - start
    page.wait_for_function(_TWELVE_SEEN)
    return stand, time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--chromium", default=os.environ.get("LORATORY_CHROMIUM", "/usr/bin/chromium"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "user").mkdir()
        (home / "user" / "machine.toml").write_text(f'cache = "{(home / "cache").as_posix()}"\n', encoding="utf-8")
        make_folder(home / "large")
        for served in serve(home):
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=options.chromium)
                times = [opened(browser.new_page(), served.url, home / "large") for _ in range(3)]
                browser.close()
    load = psutil.getloadavg()[0]
    told = {
        "images": IMAGES,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, load {load:.1f}",
        "first_s": {"images": round(times[0][0], 2), "thumbnails": round(times[0][1], 2)},
        "again_s": [{"images": round(one, 2), "thumbnails": round(both, 2)} for one, both in times[1:]],
    }
    print(json.dumps(told, indent=1))
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
