"""What a shut-down means for the queue, and the one line that lets the system's own scheduler go on with it."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from gui.jobs import ROOT

SAID = (
    "Nothing is lost: what waits stays in its order. When Loratory is opened again, the run that was at work goes on "
    "from its last full state, or from the beginning where it had saved none yet; another trainer's run cannot, and is "
    "shown as failed, to be retried from its beginning. Logging out counts as a restart where the system ends all "
    "programs of a user then, as Windows does."
)


def line(runs: Path, system: str = os.name) -> str:
    """The line to give to the scheduler."""
    words = [sys.executable, str(ROOT / "launch.py"), "--queue", "--runs", str(Path(runs).resolve())]
    if system == "nt":
        inner = " ".join(f'\\"{word}\\"' if " " in word or "\\" in word else word for word in words)
        return f'schtasks /Create /SC ONLOGON /TN "Loratory queue" /TR "{inner}"'
    return f"@reboot {shlex.join(words)}"


def how(system: str = os.name) -> str:
    """Where the line goes, and how far it was tried."""
    if system == "nt":
        return "To go on without anybody opening Loratory, run this once in a terminal. It was not tried by us."
    return (
        "To go on without anybody opening Loratory, add this line with crontab -e, where the system has cron. It was "
        "not tried by us."
    )
