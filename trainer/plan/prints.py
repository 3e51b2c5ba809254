"""What is known of image files without looking again: the hash of their content and their print.

Both are kept in memory, and in the machine's cache folder: a file per folder of images, entries by name, length and
time of change, so that a file that was changed counts as another. Prints are made by threads that go on behind a caller
who does not wait for them: the page's preview.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from trainer.contract.rundir import write_whole

from .scan import ImageFile

_EDGE_BYTES = 65536
_VERSION = 1
"""Of the prints on disk. Raise it when `likeness.print_of` comes to give other ones."""

_Key = tuple[str, int, float]
_contents: dict[_Key, bytes] = {}
_prints: dict[_Key, bytes] = {}
_loaded: set[Path] = set()
_told: dict[Path, int] = {}
"""File of a folder -> number of prints that it holds."""


def _key(image: ImageFile) -> _Key:
    return str(image.path), image.bytes, image.mtime


def content_hash(image: ImageFile) -> bytes:
    """Hash of a file's length, first and last 64 KiB: enough to tell images apart, without reading gigabytes for a
    preview."""
    key = _key(image)
    if key not in _contents:
        with open(image.path, "rb") as file:
            data = file.read(_EDGE_BYTES)
            if image.bytes > 2 * _EDGE_BYTES:
                file.seek(-_EDGE_BYTES, 2)
            data += file.read(_EDGE_BYTES)
        _contents[key] = blake2b(image.bytes.to_bytes(8, "big") + data, digest_size=16).digest()
    return _contents[key]


def load(images: Sequence[ImageFile], cache: Path) -> None:
    """Take what earlier programs have left in the cache folder for the folders of these images."""
    for folder in {image.path.parent for image in images}:
        file = _file(cache, folder)
        if file not in _loaded:
            _loaded.add(file)
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                _told[file] = _load(folder, json.loads(file.read_text(encoding="utf-8")))


def _load(folder: Path, kept: dict[str, Any]) -> int:
    if kept["version"] != _VERSION:
        return 0
    for name, (size, changed, content, found) in kept["images"].items():
        key = (str(folder / name), int(size), float(changed))
        _contents.setdefault(key, bytes.fromhex(content))
        _prints.setdefault(key, bytes.fromhex(found))
    return len(kept["images"])


def keep(images: Sequence[ImageFile], cache: Path) -> None:
    """Write what is known of these images into the cache folder, where that is more than before. A disk that is full or
    cannot be written loses the cache's gain only."""
    folders: dict[Path, list[ImageFile]] = {}
    for image in images:
        if _key(image) in _prints:
            folders.setdefault(image.path.parent, []).append(image)
    for folder, known in folders.items():
        file = _file(cache, folder)
        if _told.get(file) == len(known):
            continue
        _told[file] = len(known)
        rows = {image.path.name: _row(image) for image in known}
        with contextlib.suppress(OSError):
            write_whole(file, json.dumps({"version": _VERSION, "images": rows}, ensure_ascii=False))


def _row(image: ImageFile) -> list[Any]:
    return [image.bytes, image.mtime, content_hash(image).hex(), _prints[_key(image)].hex()]


def _file(cache: Path, folder: Path) -> Path:
    return Path(cache) / "prints" / f"{blake2b(str(folder).encode(), digest_size=16).hexdigest()}.json"


class _Comparer:
    """Threads that make prints: as many as the computer has cores, at most eight. They end when nothing is left, and
    with the program, whatever is left."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._wanted: dict[_Key, Path] = {}
        self._working = 0

    def make(self, images: Sequence[ImageFile], patience_s: float | None) -> None:
        """Have the prints of these images made; wait for them, or for `patience_s`."""
        with self._turn:
            self._wanted |= {_key(image): image.path for image in images}
            for _ in range(min(len(self._wanted), 8, os.cpu_count() or 1) - self._working):
                self._working += 1
                threading.Thread(target=self._work, name="likeness", daemon=True).start()
            self._turn.wait_for(lambda: not self._working, patience_s)

    def _work(self) -> None:
        from .likeness import print_of

        while True:
            with self._turn:
                if not self._wanted:
                    self._working -= 1
                    self._turn.notify_all()
                    return
                key = next(iter(self._wanted))
                path = self._wanted.pop(key)
            _prints[key] = print_of(path)


_comparer = _Comparer()


def prints(images: Sequence[ImageFile], cache: Path | None, patience_s: float | None = None) -> list[bytes | None]:
    """The print of each image; None where it was not made within `patience_s` (None: however long that takes)."""
    if cache is not None:
        load(images, cache)
    missing = [image for image in images if _key(image) not in _prints]
    if missing:
        _comparer.make(missing, patience_s)
    if cache is not None:
        keep(images, cache)
    return [_prints.get(_key(image)) for image in images]
