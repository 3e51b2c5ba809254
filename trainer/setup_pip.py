"""Run pip: quiet on the screen, everything in `.venv/install.log`, the cause in plain words when it fails."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

LAST_LINES = 12

# (what pip or the system writes, what it means and what to do); the first row that matches is told.
CAUSES = (
    (
        r"No space left on device|Errno 28|not enough space on the disk|WinError 112",
        "The disk is full: free some space and start again; what is there already is kept.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError",
        "The download's certificate was not accepted: check the computer's clock, and behind a company proxy set pip's "
        "'cert' option to the company's certificate.",
    ),
    (
        r"NewConnectionError|NameResolutionError|Failed to establish a new connection|getaddrinfo failed|"
        r"Temporary failure in name resolution|Name or service not known|Network is unreachable|ConnectTimeout|"
        r"ReadTimeout|Read timed out|ProxyError|Connection refused|ConnectionResetError|Connection aborted",
        "There is no way to the download server: check the network connection or proxy and start "
        "again; finished downloads are kept.",
    ),
    (
        r"WinError 206|filename or extension is too long|File name too long|Errno 36",
        "A path became too long: move Loratory to a shorter path, such as C:\\Loratory.",
    ),
    (
        r"Permission denied|Access is denied|WinError 5\b|WinError 32|Errno 13|being used by another process",
        "A file could not be written: close other windows of Loratory, let the virus scanner finish, check that the "
        "folder is your own, and start again.",
    ),
    (
        r"No matching distribution found for torch|satisfies the requirement torch|Cannot install torch==",
        "No matching build of PyTorch was found: try another one with --torch cpu (or cu126, cu130), and check that "
        "the Python is 3.11 to 3.14.",
    ),
    (
        r"No matching distribution found|Could not find a version that satisfies|ResolutionImpossible",
        "A package was not found in pip's sources: check pip's own settings ('pip config list') and that the Python is "
        "3.11 to 3.14.",
    ),
    (
        r"DO NOT MATCH THE HASHES|BadZipFile|IncompleteRead|invalid wheel",
        "A download arrived damaged: start again.",
    ),
    (
        r"error: subprocess-exited-with-error|Failed building wheel|Microsoft Visual C\+\+ 14",
        "A package would have to be compiled, which means that there is no ready one for this Python: install Python "
        "3.12 (64-bit) from python.org and start again with it.",
    ),
    (r"MemoryError|Cannot allocate memory", "The computer ran out of memory: close other programs and start again."),
)


class InstallFailed(Exception):
    """An installation step failed; the text is for the user: cause, fix, the log's last lines and its place."""


def cause_of(log_text: str) -> str:
    """The sentence for pip's output, by the first row of CAUSES that matches."""
    for pattern, sentence in CAUSES:
        if re.search(pattern, log_text):
            return sentence
    return "The cause is in the lines above; starting again goes on where it stopped."


def clean_environment() -> dict[str, str]:
    """The user's environment without what would send packages elsewhere than into ours; pip's sources stay theirs."""
    elsewhere = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if name.upper() not in elsewhere}


def say(text: str) -> None:
    print(text, flush=True)


def run(argv: list[str], what: str, log: Path) -> str | None:
    """Run one command; returns None when it worked, else its output. One line on the screen: what, then the time.

    On a terminal the line counts the seconds and shows what pip is doing, so that a long download is seen to live.
    """
    started, live = time.monotonic(), sys.stdout.isatty()
    if not live:
        say(f"{what} ...")
    output = [f"\n$ {subprocess.list2cmdline(argv)}\n"]
    code: int | None = None
    with log.open("a", encoding="utf-8", newline="\n") as file:
        file.write(output[0])
        for line in _lines(argv):
            if isinstance(line, int):
                code = line
            elif line:
                file.write(line)
                file.flush()
                output.append(line)
            if live:
                _rewrite(f"{what} ... {time.monotonic() - started:3.0f} s  {output[-1].strip()}")
    outcome = "done" if code == 0 else "did not work"
    text = f"{what}: {outcome} ({time.monotonic() - started:.0f} s)"
    if live:
        _rewrite(text)
    say("" if live else text)
    return None if code == 0 else "".join(output[1:])


def _lines(argv: list[str]) -> Iterator[str | int]:
    """The command's lines as they come, "" after a second without one, and at the end its exit code."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean_environment(),
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        yield f"{error}\n"
        yield 1
        return
    arrived: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            arrived.put(line)
        arrived.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        line: str | None = ""
        while line is not None:
            yield line
            try:
                line = arrived.get(timeout=1)
            except queue.Empty:
                line = ""
        yield process.wait()
    finally:
        if process.poll() is None:  # Ctrl-C here: pip must not go on behind the user's back
            process.terminate()
            process.wait()


def failure(output: str, what: str, log: Path) -> InstallFailed:
    last = "\n".join("    " + line for line in output.rstrip().splitlines()[-LAST_LINES:])
    return InstallFailed(f"{what} failed. The last lines were:\n{last}\n{cause_of(output)}\nThe whole log: {log}")


def _rewrite(text: str, width: int = 110) -> None:
    sys.stdout.write("\r" + text[:width].ljust(width))
    sys.stdout.flush()
