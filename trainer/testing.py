"""`launch.py --test`: every check that this machine can run, one after the other; the worst exit code counts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


def commands(python: str, pytest_args: Sequence[str]) -> list[list[str]]:
    """What is run, in this order: the quick checks of the text first, then the tests."""
    return [
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "mypy"],
        [python, "-m", "pytest", *pytest_args],
    ]


def environment(environ: Mapping[str, str], browser: str | None) -> dict[str, str]:
    """LORATORY_CHROMIUM: the browser to drive. LORATORY_REQUIRE_BROWSER=1 under CI: browser tests fail, never skip."""
    changed = dict(environ)
    if browser:
        changed.setdefault("LORATORY_CHROMIUM", browser)
    if environ.get("CI", "").lower() in ("1", "true"):
        changed["LORATORY_REQUIRE_BROWSER"] = "1"
    return changed


def run(root: Path, pytest_args: Sequence[str]) -> int:
    """Run all commands, each printed before; a failing one does not keep the next from running."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    changed, worst = environment(os.environ, browser), 0
    for argv in commands(sys.executable, pytest_args):
        print("\n$ python " + subprocess.list2cmdline(argv[1:]), flush=True)
        code = subprocess.run(argv, cwd=root, env=changed, check=False).returncode
        worst = max(worst, code if code >= 0 else 1)
    print("\nEverything passed." if worst == 0 else f"\nNot everything passed (exit code {worst}).", flush=True)
    return worst
