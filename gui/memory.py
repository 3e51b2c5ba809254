"""What the page's server asks of the C library, from which Python has its larger pieces of memory."""

from __future__ import annotations

import ctypes
import sys

ARENAS = 1
"""Places that memory is handed out of. glibc makes one a thread, up to eight a processor, and what one thread frees
there serves no other: ten pages that watch a run are answered by thirty threads in turn, and of 300 MB 125 were free
but kept. Python's threads take turns anyway."""

LARGE_BYTES = 1 << 17
"""From this size on a piece is the system's, and goes back to it when freed. It is glibc's own value, which grows by
itself up to 32 MB unless it is given: answers of half a megabyte then leave holes between what stays."""

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3  # of malloc.h


def settle() -> bool:
    """Keep what the server holds close to what it uses; call it before threads are started. Returns whether the C
    library took it: glibc does, which most Linux systems have; others are left as they are."""
    if sys.platform != "linux":
        return False
    try:
        library = ctypes.CDLL(None)
    except OSError:
        return False
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    taken = [library.mallopt(_ARENA_MAX, ARENAS), library.mallopt(_MMAP_THRESHOLD, LARGE_BYTES)]
    return all(taken)
