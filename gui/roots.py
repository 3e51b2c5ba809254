"""Which folders of images the page may look into, for whoever has opened it. No Gradio in here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gui.context import Context


def roots(context: Context) -> tuple[Path, ...]:
    """Folders that the page may browse and write captions in even where other computers can open it: those that the
    machine file names, uploaded images and what ships."""
    return (context.machine.datasets, *context.machine.folders, context.root / "presets")


def may_show(path: Path, context: Context) -> bool:
    """Whether the page may show and change what is in a file or folder of the user's: all of them where nobody but the
    user of this computer can open it, else what lies below `roots`, links followed."""
    if context.local:
        return True
    try:
        real = Path(path).resolve()
        return any(real.is_relative_to(folder.resolve()) for folder in roots(context))
    except (OSError, ValueError, RuntimeError):
        return False


def below(context: Context) -> Iterator[Path]:
    """The folders to offer: what lies directly in the roots, each root first."""
    for root in roots(context):
        if root.is_dir():
            yield root
            yield from sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
