"""Ctrl-C, SIGTERM, a closed console: what counts, how often, and what Windows is asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from trainer.contract import interrupts
from trainer.contract.interrupts import Interrupts

posix = pytest.mark.skipif(os.name == "nt", reason="signals as POSIX knows them")


def made() -> tuple[Interrupts, list[str]]:
    said: list[str] = []
    return Interrupts(lambda: said.append("stop"), lambda: said.append("end")), said


@posix
def test_the_first_asks_and_the_second_ends() -> None:
    heard, said = made()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    heard.listen()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        assert said == ["stop"]
        os.kill(os.getpid(), signal.SIGINT)
        assert (said, heard.closed) == (["stop", "end"], False)
        heard.let_the_next_end_it()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        heard.leave()
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


@posix
def test_a_closed_terminal_asks_once_however_often_it_says_so() -> None:
    heard, said = made()
    heard.listen()
    try:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
        assert (said, heard.closed) == (["stop"], True)
        os.kill(os.getpid(), signal.SIGTERM)
        assert said == ["stop", "end"]
    finally:
        heard.leave()


@posix
def test_nohup_stays_in_force() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    heard, _ = made()
    try:
        heard.listen()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        heard.let_the_next_end_it()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        heard.leave()
        signal.signal(signal.SIGHUP, before)


def test_what_windows_is_asked_for_and_what_its_calls_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded: SetConsoleCtrlHandler(handler, TRUE) with a handler of BOOL(DWORD); 0 Ctrl-C, 1 Ctrl-Break, 2 close."""
    monkeypatch.setattr(interrupts, "CLOSING_S", 0.0)
    calls: list[tuple[object, ...]] = []
    kernel = SimpleNamespace(SetConsoleCtrlHandler=lambda *arguments: calls.append(arguments))
    windows = SimpleNamespace(
        c_int="BOOL", c_uint="DWORD", windll=SimpleNamespace(kernel32=kernel),
        WINFUNCTYPE=lambda *types: lambda function: (types, function),
    )  # fmt: skip
    heard, said = made()
    callback = interrupts.console_handler(windows, heard.console)
    ((given, added),) = calls
    assert given is callback and added is True and callback[0] == ("BOOL", "DWORD")
    call = callback[1]
    assert call(0) is False and call(1) is False and said == []  # they come as SIGINT and SIGBREAK
    assert call(2) is True and (said, heard.closed) == (["stop"], True)
    assert call(6) is True and said == ["stop"]


@posix
def test_what_is_said_to_nobody_ends_nothing() -> None:
    """`launch.py … | head -1`: the reader is gone before the rest is said."""
    code = (
        "import sys, time\nfrom gui.console import Terminal, make_view, tell\n"
        "from trainer.contract.events import Warned\n"
        "tell('first'); time.sleep(0.5)\nfor i in range(3): tell('x' * 70_000)\n"
        "view = make_view(Terminal()); view.show(Warned(text='x')); view.close()\nsys.stderr.write('to the end')"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stderr is not None
    assert writer.stdout.readline() == "first\n"
    writer.stdout.close()
    assert (writer.stderr.read(), writer.wait(30)) == ("to the end", 0)
    writer.stderr.close()
