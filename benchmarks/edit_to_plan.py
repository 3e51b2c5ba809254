"""How long after an edit of a field the page shows the changed plan.

    python benchmarks/edit_to_plan.py [rounds]

Opens the page as a user does, loads the demo preset, types into several fields in Chromium, and prints the median time
from the input event to the change of the plan; the result goes to `benchmarks/results/edit_to_plan.json`. The goal is
300 ms on 2 cores.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "browser")]

from edit_pace import load_demo, measure  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from served import serve  # noqa: E402

GOAL_MS = 300.0


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        pages = serve(Path(folder))
        served = next(pages)
        for _ in range(rounds):
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.add_init_script("try { localStorage.setItem('loratory-folds', '{\"*\": false}'); } catch {}")
            load_demo(page, served.url)
            times += measure(page)
            page.close()
        browser.close()
        pages.close()  # type: ignore[attr-defined]
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    software = f"{platform.system()}, Python {platform.python_version()}"
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores{load}, {software}",
        "edits": len(times),
        "median_ms": round(statistics.median(times), 1),
        "slowest_ms": round(max(times), 1),
        "goal_ms": GOAL_MS,
    }
    (ROOT / "benchmarks" / "results" / "edit_to_plan.json").write_text(json.dumps(result, indent=1) + "\n")
    print("\n".join(f"{name:12} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
