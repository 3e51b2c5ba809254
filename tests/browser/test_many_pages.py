"""Several pages of one browser watch one run: all of them live, and the server's memory stays as it is. The short form
of `benchmarks/ten_tabs.py`; seven are more than the six connections that a browser opens to one server."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser
from served import Served

from gui.runs.watch import last_step
from trainer.contract.rundir import RunDir

pytestmark = pytest.mark.browser
PAGES, WARM_UP_S, WATCHED_S = 7, 4.0, 8.0
FAKE = Path(__file__).with_name("fake_trainer.py")


def server_of(served: Served) -> psutil.Process:
    return next(one for one in psutil.Process().children(recursive=True) if str(served.runs) in one.cmdline())


def memory(server: psutil.Process, seconds: float) -> float:
    """The median of what the server holds, in bytes, over the last of these seconds."""
    until, seen = time.monotonic() + seconds, []
    while time.monotonic() < until:
        seen.append(server.memory_info().rss)
        time.sleep(0.5)
    return statistics.median(seen[-6:])


def arenas(server: psutil.Process) -> int:
    """Places beside the first that glibc hands memory out of; each begins at a multiple of 64 MB."""
    begin = [int(one.addr.split("-")[0], 16) for one in server.memory_maps(grouped=False) if one.path == "[anon]"]
    return sum(address % (1 << 26) == 0 for address in begin)


def test_seven_pages_of_one_browser_watch_a_run(chromium: Browser, served: Served) -> None:
    context = chromium.new_context()
    context.set_default_timeout(60_000)
    pages = [context.new_page() for _ in range(PAGES)]
    for page in pages:
        page.goto(served.url, wait_until="commit")  # all of them load at the same time
    run = RunDir.create(served.runs, "watched")
    argv = [sys.executable, str(FAKE), str(run.path), "--steps", "1000000", "--pause", "0.03"]
    trainer = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        for page in pages:
            page.wait_for_function("document.querySelector('#tab-runs-button')", polling=200)  # frames rest in the back
            page.evaluate("document.querySelector('#tab-runs-button').click()")
        for page in pages:
            page.wait_for_function(
                "document.querySelector('#run-progress')?.textContent.includes('watched')", polling=200
            )
        warm, begun = memory(server_of(served), WARM_UP_S), last_step(run.events)[0]
        end, steps = memory(server_of(served), WATCHED_S), last_step(run.events)[0] - begun
        shared = sys.platform != "linux" or arenas(server_of(served)) <= 3
    finally:
        trainer.kill()
        trainer.wait()
        context.close()
    assert steps > 100, f"the run made {steps} steps meanwhile: nothing was watched"
    assert end < 1.05 * warm, f"{warm / 1e6:.0f} MB after the warm-up, {end / 1e6:.0f} MB at the end"
    assert shared, "each thread keeps what it frees for itself: see gui/memory.py"
