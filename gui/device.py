"""Which NVIDIA GPUs this computer has, without torch."""

from __future__ import annotations

import functools


@functools.cache
def gpus() -> tuple[tuple[str, int], ...]:
    """Name and bytes of memory of each; looked up once."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        named = [(pynvml.nvmlDeviceGetName(h), pynvml.nvmlDeviceGetMemoryInfo(h).total) for h in handles]
        return tuple((_text(name), int(total)) for name, total in named)
    except Exception:  # no driver, no library, no permission: all mean that this computer offers no NVIDIA GPU
        return ()


def line() -> str:
    """The GPUs by name and memory; where none is found, torch may still find a device of another maker."""
    if not gpus():
        return "no NVIDIA GPU found"
    return ", ".join(f"{name} ({round(total / 2**30)} GB)" for name, total in gpus())


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
