"""The lines of `model.adapters`: a file, and how strongly it is added."""

from __future__ import annotations

ENDINGS = (".safetensors", ".ckpt", ".pt")


def parse_line(line: str) -> tuple[str, float]:
    """ "style.safetensors @ 0.8" -> ("style.safetensors", 0.8); without a strength 1. ValueError for a line without a
    file or with a strength that is no number."""
    path, _, strength = line.rpartition("@")
    if not path.strip().strip("\"'").lower().endswith(ENDINGS):  # an @ within a folder's name
        path, strength = line, "1"
    if not path.strip():
        raise ValueError("it names no file")
    try:
        value = float(strength)
    except ValueError:
        value = float("nan")
    if not -100 <= value <= 100:
        raise ValueError("what stands behind the @ is no strength")
    return path.strip().strip("\"'"), value


def is_line(line: str) -> bool:
    """Whether a line is understood."""
    try:
        return bool(parse_line(line))
    except ValueError:
        return False


def make_line(path: str, strength: float) -> str:
    """The line of a file and its strength."""
    return path if strength == 1 else f"{path} @ {strength:g}"
