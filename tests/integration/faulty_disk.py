"""A run folder's disk that fills up, vanishes or sees its process killed, at the seam that all writing goes through.

Only calls on files below `folder` are touched; everything else in the process works on.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Killed(BaseException):
    """The process is no more: from here on nothing reaches the disk."""


class FaultyFile(io.FileIO):
    """A file on a faulty disk."""

    disk: FaultyDisk

    def write(self, data: Any) -> int:  # type: ignore[override]
        """All, a part (as the kernel does on a disk that is getting full), or nothing."""
        half = memoryview(data)[: len(data) // 2]
        self.disk.happens(lambda: super(FaultyFile, self).write(half))
        if self.disk.error and self.disk.short and len(half):
            self.disk.short = False
            return super().write(half)
        self.disk.may_fail()
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        """Cut the file."""
        self.disk.happens()
        self.disk.may_fail()
        return super().truncate(size)


class FaultyDisk:
    """`error`: the number that every write ends with, 0 while all is well. `kill_at`: which change of the disk is the
    last one, done by half. `changes` so far."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.error, self.short = str(folder), 0, True
        self.changes, self.kill_at, self.dead = 0, -1, False
        real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in ("replace", "unlink", "mkdir")}
        for name, function in real.items():
            patch.setattr(os, name, self._guarded(function))
        self._open = builtins.open
        patch.setattr(builtins, "open", self.open)

    def here(self, path: Any) -> bool:
        """Whether a path lies on this disk."""
        return isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(self.folder)

    def open(self, path: Any, mode: str = "r", buffering: int = -1, **options: Any) -> Any:
        """`open` whose files fail."""
        if not self.here(path) or mode in ("r", "rb"):
            return self._open(path, mode, buffering, **options)
        self.happens()
        self.may_fail()
        raw = FaultyFile(os.fspath(path), mode)
        raw.disk = self
        if buffering == 0:
            return raw
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    def happens(self, by_half: Callable[[], Any] = lambda: None) -> None:
        """Count one change of the disk; Killed where the process is no more by now."""
        if self.dead:
            raise Killed
        self.changes += 1
        if self.changes == self.kill_at:
            by_half()
            self.dead = True
            raise Killed

    def may_fail(self) -> None:
        """OSError while the disk is ill."""
        if self.error:
            raise OSError(self.error, os.strerror(self.error))

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *rest: Any, **options: Any) -> Any:
            if not self.here(path):
                return function(path, *rest, **options)
            self.happens()
            if function.__name__ != "unlink" or self.error != errno.ENOSPC:  # a full disk can be emptied
                self.may_fail()
            return function(path, *rest, **options)

        return call
