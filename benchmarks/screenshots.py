"""`python -m benchmarks.screenshots`: the README's pictures of the page, made anew from a real run of the demo.

The demo is trained (about a minute), then the page is opened on it and photographed tab by tab. Folders of this
computer are written as `~/loratory` before each picture, nothing else is touched.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))
from served import serve  # noqa: E402

PICTURES = ROOT / "presets" / "demo"
SIZE = {"width": 1440, "height": 900}

_NEUTRAL = """folders => {
  const say = text => folders.reduce((now, [real, shown]) => now.split(real).join(shown), text);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = say(node.data);
    if (text !== node.data) node.data = text;
  }
  document.querySelectorAll("input, textarea").forEach(box => {
    const text = say(box.value);
    if (text !== box.value) box.value = text;
  });
}"""


def train_demo(runs: Path, machine: Path) -> None:
    """A real run of the demo preset in `runs`."""
    argv = [
        sys.executable,
        str(ROOT / "launch.py"),
        "--preset",
        str(PICTURES.parent / "demo.toml"),
        "--runs",
        str(runs),
    ]
    environment = {**os.environ, "LORATORY_BOOTSTRAPPED": "1", "LORATORY_MACHINE": str(machine)}
    subprocess.run(argv, env=environment, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def open_tab(page: Page, id: str) -> None:
    """Open a tab and wait until it rests."""
    page.locator(f"#tab-{id}-button").click()
    page.wait_for_timeout(2500)


def train_tab(page: Page) -> None:
    """The form with the demo preset in it."""
    open_tab(page, "presets")
    page.locator("[data-preset='shipped/demo']").first.click()
    page.get_by_role("button", name="Load it").first.click()
    page.wait_for_timeout(1500)
    open_tab(page, "train")


def dataset_tab(page: Page) -> None:
    """The demo's images, with one of them chosen."""
    open_tab(page, "dataset")
    page.locator("#studio-path").fill(str(PICTURES / "images"))
    page.locator("#studio-path").press("Enter")
    page.locator(".studio-card img").nth(5).wait_for()
    page.wait_for_timeout(3000)


SHOTS: dict[str, Callable[[Page], None]] = {"page": train_tab, "page-dataset": dataset_tab}
"""File name -> what leads there, in order."""


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser to use")
    chromium = parser.parse_args().chromium
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        train_demo(place / "runs", place / "user" / "machine.toml")
        server = serve(place)
        served = next(server)
        folders = [[str(served.runs), "~/loratory/runs"], [str(ROOT), "~/loratory"], [str(place), "~"]]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium)
            page = browser.new_page(viewport=SIZE)
            page.goto(served.url)
            page.wait_for_selector("#f-network-rank .help", state="attached")
            for name, lead in SHOTS.items():
                lead(page)
                page.evaluate(_NEUTRAL, folders)
                page.screenshot(path=PICTURES / f"{name}.png")
                print(f"{name}.png")
            browser.close()
        next(server, None)


if __name__ == "__main__":
    main()
