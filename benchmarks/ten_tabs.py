"""Does the server's memory grow while ten pages watch a run?

    python benchmarks/ten_tabs.py [minutes]

Ten pages in Chromium show the Runs tab of one fake run, whose clock is sped up: a step every few milliseconds, a check
every 50 and samples every 100 steps. After a warm-up of a third of the time the server's resident memory is taken, and
again at the end. Prints and writes `results/ten_tabs.json` (needs playwright and a Chromium by path).
"""

from __future__ import annotations

import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from playwright.sync_api import sync_playwright  # noqa: E402
from served import serve  # noqa: E402

from gui.runs.watch import last_step  # noqa: E402
from trainer.contract.rundir import RunDir  # noqa: E402
from trainer.testing import BROWSERS  # noqa: E402

TABS = 10


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    folder = Path(tempfile.mkdtemp())
    pages = serve(folder)
    served = next(pages)
    run = RunDir.create(served.runs, "sped up")
    fake = [sys.executable, str(ROOT / "tests" / "browser" / "fake_trainer.py"), str(run.path)]
    trainer = subprocess.Popen([*fake, "--steps", "1000000", "--pause", "0.004"], stdout=subprocess.DEVNULL)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=next(filter(None, map(shutil.which, BROWSERS))))
            for _ in range(TABS):
                page = browser.new_context().new_page()
                page.set_default_timeout(300_000)  # ten pages at once are slow to open where few cores draw them
                page.goto(served.url)
                page.get_by_role("tab", name="Runs").click()
            [server] = [one for one in psutil.Process().children(recursive=True) if str(served.runs) in one.cmdline()]
            tell(watch(server, run, 60 * minutes))
            browser.close()
    finally:
        trainer.kill()
        trainer.wait()
        pages.close()  # type: ignore[attr-defined]
        shutil.rmtree(folder, ignore_errors=True)


def watch(server: psutil.Process, run: RunDir, seconds: float) -> dict[str, object]:
    """Memory after the warm-up and at the end, each the median of the last ten seconds."""

    def memory(until: float) -> float:
        time.sleep(max(0.0, until - 10 - time.monotonic()))
        seen = []
        while time.monotonic() < until or not seen:
            seen.append(server.memory_info().rss)
            time.sleep(1.0)
        return statistics.median(seen) / 1e6

    began = time.monotonic()
    warm, warm_step = memory(began + seconds / 3), last_step(run.events)[0]
    end, end_step = memory(began + seconds), last_step(run.events)[0]
    return {
        "tabs": TABS,
        "seconds": round(seconds),
        "steps": [warm_step, end_step],
        "server_mb": [round(warm, 1), round(end, 1)],
        "grown_percent": round(100 * (end / warm - 1), 2),
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d"),
    }


def tell(found: dict[str, object]) -> None:
    text = json.dumps(found, indent=1)
    print(text)
    (ROOT / "benchmarks" / "results" / "ten_tabs.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
