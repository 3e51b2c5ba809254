"""`launch.py --test`: every check that this machine can run; the worst exit code counts."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


BROWSER = ("tests/browser",)
TRAINING = ("tests/gpu", "tests/integration")
"""Tests that open the page in a browser, and those that train; the others are of functions and files."""
AFTER_PAGES = (
    "tests/integration/test_queue_runs.py",
    "tests/integration/test_resume.py",
    "tests/integration/test_validation_runs.py",
)
"""Of those that train, some that follow the pages: so both lanes take about as long."""


def checks(python: str) -> list[list[str]]:
    """The quick checks of the text."""
    return [
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "mypy"],
    ]


def lanes(python: str, pytest_args: Sequence[str]) -> list[list[list[str]]]:
    """What is run: lanes at the same time, the commands of each in their order. Pages wait for people's clicks and
    trainers for disks, so that the two share the cores well; the quick checks and tests go on behind them, at low
    priority where the system has a word for it; chosen tests run alone."""
    pytest = [python, "-m", "pytest"]
    if pytest_args:
        return [[*checks(python), [*pytest, *pytest_args]]]
    behind = [*checks(python), [*pytest, "tests", *(f"--ignore={folder}" for folder in (*BROWSER, *TRAINING))]]
    nice = [found] if (found := shutil.which("nice")) else []
    slowest = ("--durations=40", "--durations-min=3")
    elsewhere = [f"--ignore={file}" for file in AFTER_PAGES]
    pages = [[*pytest, *chosen, *slowest] for chosen in (BROWSER, AFTER_PAGES)]
    return [[[*nice, *command] for command in behind], pages, [[*pytest, *TRAINING, *elsewhere, *slowest]]]


def environment(environ: Mapping[str, str], browser: str | None) -> dict[str, str]:
    """LORATORY_CHROMIUM: the browser to drive. LORATORY_REQUIRE_BROWSER=1 under CI: browser tests fail, never skip.
    OMP_NUM_THREADS=1: the lanes share the cores, and threads that wait for each other there waste most of them."""
    changed = {"OMP_NUM_THREADS": "1", **environ}
    if browser:
        changed.setdefault("LORATORY_CHROMIUM", browser)
    if environ.get("CI", "").lower() in ("1", "true"):
        changed["LORATORY_REQUIRE_BROWSER"] = "1"
    return changed


def run(root: Path, pytest_args: Sequence[str]) -> int:
    """Run all commands, each printed before; a failing one does not keep the next from running. The last lane is told
    as it goes, what the others said comes after it."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    *beside, told = lanes(sys.executable, pytest_args)
    work = partial(run_lane, root, environment(os.environ, browser))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        logs = [Path(folder, f"{number}.log") for number in range(len(beside))]
        others = [pool.submit(work, lane, log) for lane, log in zip(beside, logs)]
        worst = work(told, None)
        for other, log in zip(others, logs):
            worst = max(worst, other.result())
            print(log.read_text(encoding="utf-8", errors="replace"), flush=True)
    print("\nEverything passed." if worst == 0 else f"\nNot everything passed (exit code {worst}).", flush=True)
    return worst


def run_lane(root: Path, environ: Mapping[str, str], commands: Sequence[Sequence[str]], log: Path | None) -> int:
    """Run commands one after the other, into a file or (None) as they speak; returns the worst exit code."""
    worst = 0
    with open(log, "ab") if log else contextlib.nullcontext() as file:
        for argv in commands:
            title = "\n$ python " + subprocess.list2cmdline(argv[argv.index(sys.executable) + 1 :])
            if file is None:
                print(title, flush=True)
            else:
                file.write(f"{title}\n".encode())
                file.flush()
            code = subprocess.run(
                argv, cwd=root, env=dict(environ), check=False, stdout=file, stderr=subprocess.STDOUT if file else None
            ).returncode
            worst = max(worst, code if code >= 0 else 1)
    return worst
