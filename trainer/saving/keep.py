"""The folder of a run at work: nothing that is written there is ever lost.

What cannot be written (the disk is full, the share is gone, the folder was deleted or made read-only) is held in memory
and tried again; the training goes on meanwhile. At the end a run waits until everything is on the disk, with a copy in
another place for as long.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.contract.events import Event, Noted, Warned, Writer
from trainer.contract.interrupts import Interrupts
from trainer.contract.rundir import Content, RunDir, RunState, Whole, rescue_folders, write_whole
from trainer.plan import sides

RETRY_S = 10.0
LOOK_S = 1.0
PATIENCE_S = 3600.0
HELD_LIMIT = 1 << 31
"""Bytes of adapters and pictures that may wait; beyond it the oldest in-between file goes."""

RESERVE_BYTES = 1 << 20
"""Size of a file that is given up when the disk is full, so that there is room to say so."""

_IN_BETWEEN = re.compile(r"-(\d{6,}|step\d{8,})\.safetensors$")

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "it may not be written to",
    errno.EPERM: "it may not be written to",
    errno.ENOENT: "its folder is gone",
}


@dataclass
class Job:
    """A file that waits to be written. `bytes`: what it holds in memory."""

    content: Content
    then: Callable[[], None]
    bytes: int


def reason(error: OSError) -> str:
    """Why something could not be written, for people."""
    return _REASONS.get(error.errno or 0, error.strerror or str(error))


class KeptRun(RunDir):
    """A run folder for the one process that writes it. `open` comes first, `settle` and `close` last."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.log: Writer
        self.patience_s = PATIENCE_S
        self._state_wanted = False
        self._copy: Path | None = None
        self._jobs: dict[Path, Job] = {}
        self._small: dict[str, bytes] = {}
        self._news: list[Event] = []
        self._told: set[str] = set()
        self._busy = False
        self._next_try = self._next_look = 0.0
        self._reserve = self.path / ".reserve"

    def open(self) -> None:
        """Take the folder over. OSError where it cannot be written: before anything is loaded."""
        self._remembered = super().read_state()
        self._remember()
        self._disk = self.path.stat().st_dev
        for folder in (self.path, self.control, self.samples, self.checkpoints):
            for path in folder.glob(".*.tmp"):  # what a killed process left half-written
                path.unlink(missing_ok=True)
        self._console = [number for number in (1, 2) if self._is_console(number)]
        write_whole(self.state_file, self._remembered.text())
        self.log = Writer(self.events, self._ready)
        self._make_reserve()

    def read_state(self) -> RunState:
        """`run.json`; what this process would have it say, where that is not on the disk."""
        if self.state_file in self._jobs:
            return self._remembered
        try:
            return super().read_state()
        except (OSError, ValueError):
            return self._remembered

    def write_state(self, state: RunState) -> None:
        """Replace `run.json` as a whole, now or later."""
        self._remembered = state
        super().write_state(state)

    def events_bytes(self) -> int:
        """Length of `events.jsonl`, with the events that wait to be written."""
        return self.log.position

    def put(self, path: Path, content: Content, then: Callable[[], None] = lambda: None) -> None:
        """Write a file now, or hold it in memory and try again; `then` is called when it is on the disk."""
        if path.parent == self.checkpoints:  # of full states the newest counts
            self._jobs = {other: job for other, job in self._jobs.items() if other.parent != self.checkpoints}
            self.log.flush(sync=True)  # a state without the events up to it would leave a gap
        self._jobs.pop(path, None)
        try:
            self._ready()
            content.write(path)
        except OSError as error:
            self._jobs[path] = Job(content, then, content.hold())
            self._refused("the full state" if path.parent == self.checkpoints else path.name, error)
            self._make_room()
            return
        then()

    def state_wanted(self) -> bool:
        """Whether a full state should be written now because those before are gone; asked once after each step."""
        wanted, self._state_wanted = self._state_wanted, False
        return wanted

    def get(self, path: Path) -> bytes:
        """The newest bytes of a file, whether they are on the disk yet or not."""
        job = self._jobs.get(path)
        return job.content.data if job and isinstance(job.content, Whole) else path.read_bytes()

    @property
    def waiting(self) -> list[str]:
        """Names of the files that are not on the disk yet, relative to the folder."""
        names = [path.relative_to(self.path).as_posix() for path in self._jobs]
        return names + ([self.events.name] if self.log.trouble else [])

    def news(self) -> Sequence[Event]:
        """To be called after each event: looks after the folder, tries again when it is time, and returns what the user
        should be told."""
        if self._busy:
            return ()
        now = time.monotonic()
        if self.log.trouble:
            self._refused(self.events.name, self.log.trouble)
        if self._told and now >= self._next_try:
            self.retry()
        elif now >= self._next_look:
            self._look()
        told, self._news = self._news, []
        return told

    def retry(self) -> bool:
        """Try to write everything that waits; True where nothing waits any more."""
        self._busy = True
        try:
            self.log.flush()
            for path, job in list(self._jobs.items()):
                with contextlib.suppress(OSError):
                    self._ready()
                    job.content.write(path)
                    del self._jobs[path]
                    job.then()
        finally:
            self._busy, self._next_try = False, time.monotonic() + RETRY_S
        if not self.waiting and self._told and self._make_reserve():
            text = f"the run folder can be written again; nothing was lost ({some(sorted(self._told))})"
            self._news.append(Noted(text=text))
            self._told.clear()
        return not self.waiting

    def settle(self, emit: Callable[[Event], None]) -> None:
        """At the end of a run: wait until everything is on the disk, with a copy in another place for as long.
        `control/stop` or an interrupt ends the waiting."""
        if self.waiting and not self.retry():
            self._wait(emit)
        for event in self.news():
            emit(event)

    def _wait(self, emit: Callable[[Event], None]) -> None:
        self._copy = self.rescue()
        where = f"a copy is in {self._copy}" if self._copy else "there is no other place for a copy"
        text = f"{some(self.waiting)} cannot be written ({where}): make room or rights in {self.path}"
        emit(
            Warned(text=f"{text}; the run waits for up to {self.patience_s / 60:.0f} minutes, Ctrl-C ends the waiting")
        )
        until, interrupts = time.monotonic() + self.patience_s, Interrupts(_give_up, _give_up).listen()
        with contextlib.suppress(KeyboardInterrupt):
            while time.monotonic() < until and self.take("stop") is None:
                time.sleep(LOOK_S)
                if time.monotonic() >= self._next_try and self.retry():
                    if self._copy:
                        shutil.rmtree(self._copy, ignore_errors=True)
                    self._copy = None
                    break
        interrupts.leave()

    def told_of_copy(self, cause: str) -> str:
        """The cause of a run's end, and where the copy of its files is, if it is needed."""
        return f"{cause} What could not be written is in {self._copy}".strip() if self._copy else cause

    def rescue(self) -> Path | None:
        """Write everything that waits, with the preset, `run.json` and the events, to a folder of the user's own or to
        the one for temporary files; None where neither can be written."""
        for folder in rescue_folders(self.id):
            with contextlib.suppress(OSError):
                for path, job in self._jobs.items():
                    job.content.write(folder / path.relative_to(self.path))
                for name, data in self._small.items():
                    write_whole(folder / name, data)
                write_whole(folder / self.state_file.name, self._remembered.text())
                write_whole(folder / self.events.name, self.log.everything())
                return folder
        return None

    def close(self, emit: Callable[[Event], None]) -> None:
        """Let go of the folder, when the last words are on the disk too."""
        if self._copy:
            self.rescue()
        else:
            self.settle(emit)
        with contextlib.suppress(OSError):
            self._reserve.unlink()
        self.log.close()

    def _refused(self, name: str, error: OSError) -> None:
        """Note that a file could not be written, once for each until all is well again."""
        if not self._told:
            self._next_try = time.monotonic() + RETRY_S
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            with contextlib.suppress(OSError):
                self._reserve.unlink()
                self.log.flush()
        if name not in self._told:
            self._told.add(name)
            text = (
                f"{name} cannot be written: {reason(error)}. It is held in memory and tried again every {RETRY_S:g} s"
            )
            self._news.append(Warned(text=f"{text}; make room or rights in {self.path}"))

    def _make_room(self) -> None:
        """Give up the oldest in-between file where more waits than memory should hold."""
        old = [path for path in self._jobs if _IN_BETWEEN.search(path.name)][:-1]
        if old and sum(job.bytes for job in self._jobs.values()) > HELD_LIMIT:
            del self._jobs[old[0]]
            self._news.append(Warned(text=f"{old[0].name} is given up: too much waits in memory to be written"))

    def _look(self) -> None:
        self._next_look = time.monotonic() + LOOK_S
        with contextlib.suppress(OSError):
            self._ready()
            self._remember()

    def _remember(self) -> None:
        """Small files that are written once and without which a run cannot go on."""
        for path in (self.preset, self.task, self.path / sides.NAME):
            if path.name not in self._small and path.is_file():
                self._small[path.name] = path.read_bytes()

    def _ready(self) -> None:
        """Make the folder again if it was deleted. OSError where it cannot be reached: an empty folder where a share
        was must not be mistaken for it."""
        if (self.preset.is_file() or self.task.is_file()) and self.state_file.is_file():
            return
        above = next((folder for folder in (self.path, *self.path.parents) if folder.exists()), None)
        if above is None or above.stat().st_dev != self._disk:
            raise FileNotFoundError(errno.ENOENT, "the run folder cannot be reached", str(self.path))
        for folder in (self.control, self.samples):
            folder.mkdir(parents=True, exist_ok=True)
        for name, data in self._small.items():
            write_whole(self.path / name, data)
        write_whole(self.state_file, self._remembered.text(), sync=True)
        self._reopen_console()
        self._state_wanted = True
        text = f"files in {self.path} were deleted: the preset, the events and the run's facts have been written again"
        self._news.append(Warned(text=f"{text}, and a full state follows; what else lay there is gone"))

    def _is_console(self, number: int) -> bool:
        try:
            return os.path.samestat(os.fstat(number), os.stat(self.console))
        except OSError:
            return False

    def _reopen_console(self) -> None:
        """Let what this process prints go to the new console log, not to the deleted one."""
        for number in self._console:
            if not self._is_console(number):
                file = os.open(self.console, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                os.dup2(file, number)
                os.close(file)

    def _make_reserve(self) -> bool:
        """Put bytes aside for a full disk; whether they are there."""
        with contextlib.suppress(OSError):
            if not self._reserve.is_file():
                write_whole(self._reserve, os.urandom(RESERVE_BYTES))
            return True
        return False


def _give_up() -> None:
    raise KeyboardInterrupt


def some(names: Sequence[str]) -> str:
    """Up to three names, and how many more."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
