"""What an error means, in words."""

from __future__ import annotations

import errno

_DEVICE = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
_MAIN = ("DefaultCPUAllocator", "can't allocate memory")

ANOTHER = "another process of this run ended by an error of its own, which console.log tells"

_OTHERS = ("Connection closed by peer", "Connection reset by peer", "NCCL error", "ncclRemoteError")
"""What gloo and NCCL say where another process is gone; NCCL more often only waits, until the launcher ends it."""


def ran_out(error: BaseException) -> str:
    """ "device" or "main" where an error means that this memory is full, else ""."""
    text = str(error)
    if isinstance(error, MemoryError) or any(mark in text for mark in _MAIN):
        return "main"
    if type(error).__name__ == "OutOfMemoryError" or any(mark.lower() in text.lower() for mark in _DEVICE):
        return "device"
    return ""


def cause_of(error: BaseException) -> str:
    """One sentence of an error for people: memory and disk by name, else the error's own first line."""
    text, kind, memory = first_line(error), type(error).__name__, ran_out(error)
    if memory:
        what = "the device" if memory == "device" else "the computer"
        return f"{what} ran out of memory: lower the batch size or the resolution, or turn gradient checkpointing on"
    if isinstance(error, RuntimeError) and any(mark in text for mark in _OTHERS):
        return ANOTHER
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full ({text})"
    return f"{text} ({kind})" if text else kind


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [""])[0]
