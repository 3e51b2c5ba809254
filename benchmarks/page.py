"""How soon the page answers, how soon it can be used, how much it weighs.

    python benchmarks/page.py [runs]

Prints medians over alternating runs: `import gradio` alone, `python launch.py` to the first answered request, bytes
over the wire and the time to a usable page in Chromium (needs playwright and a Chromium by path).
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def import_gradio_s() -> float:
    """Seconds that a fresh interpreter needs for `import gradio`, its own start included."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import gradio"], check=True, cwd=ROOT, capture_output=True)
    return time.perf_counter() - start


@contextmanager
def page() -> Any:
    """`python launch.py` on a free port; yields (url, seconds to the first answer) and ends it afterwards."""
    port = free_port()
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "launch.py", "--no-browser", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        while True:
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    answer.read()
                break
            except (urllib.error.URLError, ConnectionError):
                if process.poll() is not None or time.perf_counter() - start > 60:
                    raise SystemExit("the page did not open") from None
                time.sleep(0.02)
        yield url, time.perf_counter() - start
    finally:
        process.terminate()
        process.wait(20)


def in_chromium(url: str) -> tuple[float, int]:
    """(seconds until the Start button can be clicked, bytes received) in a fresh Chromium profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        tab = browser.new_page()
        session = tab.context.new_cdp_session(tab)
        session.send("Network.enable")
        received: list[int] = []
        session.on("Network.loadingFinished", lambda event: received.append(int(event["encodedDataLength"])))
        start = time.perf_counter()
        tab.goto(url)
        tab.get_by_role("button", name="Start training").click(trial=True)
        seconds = time.perf_counter() - start
        tab.wait_for_timeout(1500)
        browser.close()
    return seconds, sum(received)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    gradio, answers, usable, weights = [], [], [], []
    for _ in range(runs):
        gradio.append(import_gradio_s())
        with page() as (url, seconds):
            answers.append(seconds)
            if shutil.which("chromium"):
                ready, weight = in_chromium(url)
                usable.append(ready)
                weights.append(weight)
    print(f"runs                         {runs}")
    print(f"import gradio                {statistics.median(gradio):.2f} s")
    print(f"launch.py to first answer    {statistics.median(answers):.2f} s")
    print(f"  above import gradio        {statistics.median(answers) - statistics.median(gradio):.2f} s")
    if usable:
        print(f"usable in Chromium after     {statistics.median(usable):.2f} s")
        print(f"bytes over the wire          {statistics.median(weights) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
