"""A lock between processes: a file that the system lets go of at any end of who holds it. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator
from pathlib import Path

BUSY = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK, getattr(errno, "EDEADLOCK", errno.EDEADLK))
"""What the systems say where another holds the lock."""


def try_lock(number: int, wait: bool = False) -> bool:
    """Lock an open file by its descriptor; False where another holds it. `wait`: for it to be free, where the system
    waits at all. Where the file system knows no locks, all are let through."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(number, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # LK_LOCK gives up after 10 s
        else:
            import fcntl

            fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return error.errno not in BUSY
    return True


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock of a file, which stays; gives whether it could be had at once, else another holds it. OSError where
    the file cannot be written."""
    with open(path, "ab") as file:
        yield try_lock(file.fileno())
