"""Small pictures of a folder's images, made by a few threads and kept on disk by path, date and length of the file."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from trainer.plan.scan import ImageFile, register_heif

SIDE_PX = 224
_THREADS = max(2, min(4, (os.cpu_count() or 2) - 1))
_VERSION = 1
"""Raise it when other pictures would be made of the same file."""


def folder_of(cache: Path) -> Path:
    """Where the thumbnails of the machine's cache lie; nothing else lies there, so that the page may hand out all of
    it."""
    return Path(cache) / "thumbnails"


class Thumbnails:
    """Makes thumbnails when asked, each once."""

    def __init__(self, cache: Path) -> None:
        self.folder = folder_of(cache)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="thumbnails")
        self._busy: dict[Path, Future[None]] = {}
        self._broken: dict[Path, str] = {}
        self._lock = threading.Lock()

    def path(self, image: ImageFile) -> Path:
        """Where an image's thumbnail lies or will lie."""
        key = f"{_VERSION}|{image.path}|{image.mtime!r}|{image.bytes}"
        name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:40]
        return self.folder / name[:2] / f"{name}.jpg"

    def ready(self, image: ImageFile) -> Path | None:
        """The thumbnail if it has been made."""
        path = self.path(image)
        return path if path.is_file() else None

    def broken(self, image: ImageFile) -> str:
        """Why none can be made; "" where that has not turned out."""
        return self._broken.get(self.path(image), "")

    def make(self, images: Sequence[ImageFile], seconds: float) -> None:
        """Let those be made that are missing, and wait for them for so long; the rest are made behind."""
        wait([future for image in images if (future := self._ask(image))], timeout=seconds)

    def _ask(self, image: ImageFile) -> Future[None] | None:
        path = self.path(image)
        with self._lock:
            if path in self._broken or path.is_file():
                return None
            if path not in self._busy:
                self._busy[path] = self._pool.submit(self._make, image.path, path)
            return self._busy[path]

    def _make(self, source: Path, path: Path) -> None:
        try:
            small(source, path)
        except Exception as error:  # decoders raise whatever the damage leads them to
            self._broken[path] = str(error).strip().splitlines()[0][:120] if str(error).strip() else "it is damaged"
        finally:
            with self._lock:
                self._busy.pop(path, None)


def small(source: Path, path: Path) -> None:
    """Write a JPEG of at most `SIDE_PX` a side; transparent parts become white. Raises what Pillow raises."""
    from PIL import Image

    from trainer.plan.pixels import to_rgb, upright

    if source.suffix.lower() in (".heic", ".heif"):
        register_heif()
    with Image.open(source) as image:
        image.draft("RGB", (2 * SIDE_PX, 2 * SIDE_PX))
        picture = upright(image)
        if picture.mode not in ("RGB", "RGBA", "L"):  # palettes and deep greys cannot be scaled smoothly
            picture = to_rgb(picture)
        picture.thumbnail((SIDE_PX, SIDE_PX), reducing_gap=2.0)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.stem}.{os.getpid()}.{threading.get_ident()}.part")
        to_rgb(picture).save(part, "JPEG", quality=82)
    os.replace(part, path)
