"""Which in-between files are kept."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from trainer.contract.families.base import read_header
from trainer.plan.names import diffusers_file


def in_between_files(folder: Path, name: str) -> list[Path]:
    """The in-between adapters of a run, in the order of their steps (`ss_steps` in the file, for epoch and step
    numbering can stand side by side)."""
    numbered = re.compile(re.escape(name) + r"-(\d{6,}|step\d{8,})\.safetensors")
    return sorted((path for path in folder.glob("*.safetensors") if numbered.fullmatch(path.name)), key=_step)


def _step(path: Path) -> tuple[int, str]:
    try:
        return int(read_header(path)[1].get("ss_steps", "0")), path.name
    except (OSError, ValueError):
        return 0, path.name


def prune(folder: Path, name: str, keep_last: int, step: int) -> list[Path]:
    """Remove all but the last `keep_last` in-between files up to `step` (0 keeps all); returns those removed. The final
    file never counts, nor do those of later steps, which a resumed run is about to do again. One that another program
    holds open stays until the next time."""
    files = [path for path in in_between_files(folder, name) if _step(path)[0] <= step]
    removed = []
    for path in files[: max(len(files) - keep_last, 0)] if keep_last else []:
        with contextlib.suppress(OSError):
            path.unlink()
            removed.append(path)
        with contextlib.suppress(OSError):
            path.with_name(diffusers_file(path.name)).unlink()
    return removed
