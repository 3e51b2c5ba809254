"""Pictures inside a page: scaled down, as data URIs, within a number of bytes for all of them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image, features

BUDGET = 3_300_000
"""Bytes of all pictures of a report; as text they take a third more, and the whole file stays below 5 MB."""

TRIES = ((1.0, 84), (0.75, 78), (0.5, 72), (0.35, 60))
"""Share of the wanted size and quality, tried until a picture takes no more than its part of the budget."""


class Embedder:
    """Makes data URIs of `count` pictures."""

    def __init__(self, count: int, budget: int | None = None) -> None:
        self._each = (BUDGET if budget is None else budget) // max(1, count)
        self._kind = "WEBP" if features.check("webp") else "JPEG"

    def uri(self, path: Path, side_px: int) -> str:
        """The picture with its longer side at most `side_px`; "" where it cannot be read."""
        try:
            with Image.open(path) as image:
                picture = image.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError):
            return ""
        data, side_px = b"", min(side_px, max(picture.size))
        for share, quality in TRIES:
            data = self._encoded(picture, max(16, round(side_px * share)), quality)
            if len(data) <= self._each:
                break
        else:
            return ""
        return f"data:image/{self._kind.lower()};base64,{base64.b64encode(data).decode()}"

    def _encoded(self, picture: Image.Image, side_px: int, quality: int) -> bytes:
        smaller = picture.copy()
        smaller.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        smaller.save(buffer, self._kind, quality=quality)
        return buffer.getvalue()
