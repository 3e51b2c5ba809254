"""What the pixels of image files say: whether they can be decoded, how sharp they are, whether a camera turned them.

Kept in memory and in the machine's cache folder, by path, length and time of change, so that an image is decoded once.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from hashlib import blake2b
from pathlib import Path

from trainer.contract.rundir import write_whole

from ..headers import register_heif
from ..scan import ImageFile

_VERSION = 1
"""Of the looks on disk. Raise it when `look` or `sharpness` comes to give other ones."""
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Look:
    """`sharp`: 0 to 1, None where it cannot be judged. `turned`: EXIF says that it is shown turned or mirrored.
    `broken`: why it cannot be decoded, "" where it can."""

    sharp: float | None = None
    turned: bool = False
    broken: str = ""


_Key = tuple[str, int, float, int]
_known: dict[_Key, Look] = {}
_loaded: set[Path] = set()


def look_at(
    images: Sequence[ImageFile], side_px: int, cache: Path, stop: threading.Event, patience_s: float = 0.3
) -> Iterator[int]:
    """Decode all images that are not known yet, on as many threads as there are cores (at most eight); yields how many
    are known whenever `patience_s` has gone by. `side_px`: they are judged at this training size. `stop` ends it; what
    was seen is kept."""
    _load(images, side_px, cache)
    missing = [image for image in images if _key(image, side_px) not in _known]
    if missing:
        yield from _look(missing, len(images), side_px, stop, patience_s)
        _keep(images, side_px, cache)


def _look(
    missing: Sequence[ImageFile], of: int, side_px: int, stop: threading.Event, patience_s: float
) -> Iterator[int]:
    def one(image: ImageFile) -> None:
        if not stop.is_set():
            _known[_key(image, side_px)] = look(image.path, side_px)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "linter") as pool:
        tasks = [pool.submit(one, image) for image in missing]
        try:
            while not all(task.done() for task in tasks):
                yield of - len(missing) + sum(task.done() for task in tasks)
                stop.wait(patience_s)
        finally:
            if not all(task.done() for task in tasks):
                stop.set()
                pool.shutdown(cancel_futures=True)


def seen(image: ImageFile, side_px: int) -> Look | None:
    """What is known of an image; None before it was looked at."""
    return _known.get(_key(image, side_px))


def look(path: Path, side_px: int) -> Look:
    """Decode one file wholly and judge it. Never raises."""
    import numpy as np
    from PIL import Image, ImageOps

    from .sharpness import sharpness

    try:
        if path.suffix.lower() in (".heic", ".heif"):
            register_heif()
        with Image.open(path) as image:
            image.draft("RGB" if image.mode == "RGB" else None, (side_px, side_px))
            turned = "exif" in image.info and image.getexif().get(_ORIENTATION, 1) not in (0, 1)
            image.load()
            grey = ImageOps.grayscale(image)
            scale = side_px / max((grey.width * grey.height) ** 0.5, 1)
            if scale < 1:
                size = max(1, round(grey.width * scale)), max(1, round(grey.height * scale))
                grey = grey.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
            return Look(sharpness(np.asarray(grey, dtype=np.float32)), turned)
    except Exception as error:  # decoders raise whatever the damage leads them to
        said = str(error).strip().splitlines()
        return Look(broken=said[0][:120] if said else "it is damaged")


def _key(image: ImageFile, side_px: int) -> _Key:
    return str(image.path), image.bytes, image.mtime, side_px


def _file(cache: Path, folder: Path, side_px: int) -> Path:
    return cache / "looks" / f"{blake2b(str(folder).encode(), digest_size=16).hexdigest()}-{side_px}.json"


def _load(images: Sequence[ImageFile], side_px: int, cache: Path) -> None:
    for folder in {image.path.parent for image in images}:
        file = _file(cache, folder, side_px)
        if file in _loaded:
            continue
        _loaded.add(file)
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            kept = json.loads(file.read_text(encoding="utf-8"))
            if kept["version"] == _VERSION:
                for name, (size, changed, *values) in kept["images"].items():
                    _known.setdefault((str(folder / name), int(size), float(changed), side_px), Look(*values))


def _keep(images: Sequence[ImageFile], side_px: int, cache: Path) -> None:
    folders: dict[Path, dict[str, list[object]]] = {}
    for image in images:
        found = seen(image, side_px)
        if found is not None:
            row = [image.bytes, image.mtime, *astuple(found)]
            folders.setdefault(image.path.parent, {})[image.path.name] = row
    for folder, rows in folders.items():
        with contextlib.suppress(OSError):  # a full disk loses the cache's gain only
            text = json.dumps({"version": _VERSION, "images": rows}, ensure_ascii=False)
            write_whole(_file(cache, folder, side_px), text)
