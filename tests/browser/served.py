"""A page served by launch.py, as the user starts it, for the browser tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0


@dataclass(frozen=True)
class Served:
    """A page that is being served: its address, its runs folder and what it printed."""

    url: str
    runs: Path
    log: Path


SHOTS = Path(os.environ.get("LORATORY_SHOTS", ROOT / "tests" / "browser" / "screenshots"))
"""Where the tests keep what they saw, for people to look at."""


def shot(page: Page, name: str, whole: bool = True) -> None:
    """Keep a screenshot; `whole`: of the page's full length."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=whole)


def slow(page: Page, milliseconds: int) -> None:
    """Let every answer come so much later from now on, as from a busy or distant computer."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    conditions = {"offline": False, "latency": milliseconds, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", conditions)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(folder: Path, *options: str, **environ: str) -> Iterator[Served]:
    """`launch.py` as the user starts it, with a runs folder and a machine file of its own."""
    port, runs, log = free_port(), folder / "runs", folder / "page.log"
    environment = {
        **os.environ,
        "LORATORY_BOOTSTRAPPED": "1",
        "LORATORY_MACHINE": str(folder / "user" / "machine.toml"),
    }
    argv = [sys.executable, str(ROOT / "launch.py"), "--no-browser", "--port", str(port), "--runs", str(runs), *options]
    with open(log, "wb") as file:
        process = subprocess.Popen(argv, cwd=folder, env=environment | environ, stdout=file, stderr=subprocess.STDOUT)
    try:
        _wait_until_open(process, f"http://127.0.0.1:{port}/", log)
        yield Served(f"http://127.0.0.1:{port}/", runs, log)
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_open(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the page did not open:\n{log.read_text(errors='replace')}")
