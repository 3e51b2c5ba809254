"""Which images there are and how large, from file headers alone."""

from __future__ import annotations

import difflib
import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainer.contract.preset import folder_name
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Folder

from .buckets import Size
from .headers import Measure
from .headers import register_heif as register_heif

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".heic", ".heif"})

ASIDE = "set aside"
"""A folder of this name holds what the linter moved out of the way: it is passed over without a word."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image. `folder`: index of its row. `key`: folder name and path inside it, which identifies the image in all
    draws. `class_name`: the folder's name without its number. `bytes`, `mtime`: of the file, when it was looked at.
    `mask`: the file that its mask is read from; its own path where that is its alpha channel (`masks`)."""

    path: Path
    key: str
    size: Size
    folder: int
    class_name: str
    repeats: int
    caption_file: Path | None
    bytes: int
    mtime: float
    mask: Path | None = None


@dataclass(frozen=True)
class Unreadable:
    """A file that looks like an image by its name but cannot be used, and why."""

    path: Path
    why: str


@dataclass(frozen=True)
class Scan:
    """All images of all rows, sorted by name within each folder; `notes` are for people to read."""

    images: tuple[ImageFile, ...]
    unreadable: tuple[Unreadable, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Place:
    """A folder of images: that of a row itself, or a `10_name` folder in it."""

    path: Path
    key: str
    row: int
    class_name: str
    repeats: int


def scan(folders: Sequence[Folder], extension: str = ".txt") -> Scan:
    """Read the headers of all images. `extension`: of the caption files.

    Problems (kind "data") for missing folders, folders without images, or where no image can be read; single bad files
    are skipped and named. `benchmarks/scan.py` prints the speed."""
    problems: list[Problem] = []
    images: list[ImageFile] = []
    unreadable: list[Unreadable] = []
    notes: list[str] = []
    for row, folder in enumerate(folders):
        wrong = check_folder(folder.path, row)
        if wrong:
            problems.append(replace(wrong, change=_instead(folders, row)))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of very large images; they are scaled down anyway
            found, bad, said = _scan_row(folder, row, extension)
        images += found
        unreadable += bad
        notes += said
        if not found:
            problems.append(_nothing_found(folder, bad, said))
    if not folders:
        problems.append(Problem("dataset.folders", "no folder of images is given", "add one"))
    if problems:
        raise Problems(problems)
    return Scan(tuple(images), tuple(unreadable), tuple(notes))


def without(found: Scan, broken: Sequence[Unreadable]) -> Scan:
    """The scan without images that cannot be decoded though their headers look well. Problems (kind "data") if none is
    left."""
    gone = {unreadable.path: unreadable for unreadable in broken}
    kept = tuple(image for image in found.images if image.path not in gone)
    if gone and not kept:
        first = broken[0]
        why = f"none of the images can be decoded; {first.path.name}: {first.why}"
        raise Problems([Problem("dataset.folders", why, "replace the damaged files", kind="data")])
    return replace(found, images=kept, unreadable=(*found.unreadable, *gone.values())) if gone else found


def check_folder(text: str, row: int = 0) -> Problem | None:
    """What is wrong with the folder of a row, before its content is looked at."""
    name = "dataset.folders"
    if not text.strip():
        return Problem(name, f"row {row + 1} has no folder", "choose one or remove the row")
    path = Path(text)
    try:
        if path.is_dir():
            return None
        is_file = path.is_file()
    except OSError:
        is_file = False
    if os.name != "nt" and re.search(r"(^|/)[A-Za-z]:[\\/]|(^|/)\\\\\w", text):
        return Problem(name, f"{text} is a path of a Windows computer", "give the folder's path on this one", "data")
    if is_file:
        return Problem(name, f"{path} is a file", f"give the folder it is in: {path.parent}", "data")
    return Problem(name, f"there is no folder {path}", _did_you_mean(path), "data")


def _did_you_mean(path: Path) -> str:
    close = _close_to(path)
    if close is not None:
        return f"did you mean {close}?"
    missing = next((p for p in reversed(path.parents) if not p.exists()), None)
    return f"{missing} does not exist either" if missing is not None else "check the path"


def _close_to(path: Path) -> Path | None:
    """The folder beside it that is called most like it."""
    try:
        siblings = [entry.name for entry in os.scandir(path.parent) if entry.is_dir()]
    except OSError:
        return None
    close = difflib.get_close_matches(path.name, siblings, 1, 0.6)
    return path.parent / close[0] if close else None


def _instead(folders: Sequence[Folder], row: int) -> tuple[tuple[str, Any], ...]:
    """The rows with the folder that was probably meant in place of a missing one, as a change of the setting."""
    text = folders[row].path
    if not text.strip():
        return ()
    try:
        path = Path(text)
        meant = path.parent if path.is_file() else _close_to(path)
    except (OSError, ValueError):
        return ()
    if meant is None:
        return ()
    rows = [folder.model_copy(update={"path": str(meant)}) if i == row else folder for i, folder in enumerate(folders)]
    return (("dataset.folders", rows),)


def _scan_row(folder: Folder, row: int, extension: str) -> tuple[list[ImageFile], list[Unreadable], list[str]]:
    """The images of a row: those in its folder, and those in Kohya's `10_name` folders inside it."""
    root = Path(folder.path)
    own_name, own_number = folder_name(folder.path)
    repeats = folder.repeats if isinstance(folder.repeats, int) else own_number
    factor = 1 if repeats == own_number else repeats
    places = [_Place(root, root.name, row, own_name, repeats)]
    ignored = []
    for child in sorted(entry.name for entry in os.scandir(root) if entry.is_dir()):
        if re.match(r"[1-9]\d*_.", child):
            name, number = folder_name(child)
            places.append(_Place(root / child, f"{root.name}/{child}", row, name, number * factor))
        elif not child.startswith(".") and child != ASIDE:
            ignored.append(child)
    images: list[ImageFile] = []
    unreadable: list[Unreadable] = []
    for place in places:
        found, bad = _scan_place(place, extension)
        images += found
        unreadable += bad
    return images, unreadable, _notes(root, [name for name in ignored if _has_images(root / name)])


def _notes(root: Path, ignored: Sequence[str]) -> list[str]:
    return [
        f"The images in {root / name} are not used: add that folder as a row, or name it like 1_{name}."
        for name in ignored
    ]


def _has_images(path: Path) -> bool:
    try:
        return any(_is_image(entry.name) for entry in os.scandir(path))
    except OSError:
        return False


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS and not name.startswith(".")


def _scan_place(place: _Place, extension: str) -> tuple[list[ImageFile], list[Unreadable]]:
    entries = sorted(os.scandir(place.path), key=lambda entry: entry.name)
    names = {entry.name.lower(): entry.name for entry in entries}
    names |= {entry.name: entry.name for entry in entries}
    images, unreadable = [], []
    measure = Measure()
    folder = str(place.path)
    for entry in entries:
        if not _is_image(entry.name) or not entry.is_file():
            continue
        try:
            size = measure(entry.path)
            status = entry.stat()
        except CANNOT_READ as error:
            unreadable.append(Unreadable(Path(entry.path), reason(error)))
            continue
        wanted = os.path.splitext(entry.name)[0] + extension
        caption = names.get(wanted) or names.get(wanted.lower())
        images.append(
            ImageFile(
                Path(entry.path),
                f"{place.key}/{entry.name}",
                size,
                place.row,
                place.class_name,
                place.repeats,
                Path(folder, caption) if caption else None,
                status.st_size,
                status.st_mtime,
            )
        )
    return images, unreadable


CANNOT_READ = (OSError, ValueError, SyntaxError, EOFError, TypeError, KeyError, IndexError, RuntimeError, ImportError)
"""What Pillow and its plug-ins raise for damaged files; UnidentifiedImageError is an OSError."""


def reason(error: BaseException) -> str:
    """Why a file cannot be read, in a few words, from what reading it raised."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "it is no image, or it is damaged"
    if isinstance(error, Image.DecompressionBombError):
        return "it is too large"
    if isinstance(error, ImportError):
        return "HEIC files need the package pillow-heif"
    if isinstance(error, PermissionError):
        return "it may not be read"
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else "it is damaged"


def _nothing_found(folder: Folder, unreadable: Iterable[Unreadable], notes: Sequence[str]) -> Problem:
    bad = list(unreadable)
    if bad:
        first = f"{bad[0].path.name}: {bad[0].why}"
        why = f"none of the {len(bad)} images in {folder.path} can be read ({first})"
        return Problem("dataset.folders", why, "open one in an image viewer to see what is wrong", "data")
    fix = "give a folder with pictures" if not notes else "add its sub-folder as a row, or name it like 1_name"
    return Problem(
        "dataset.folders",
        f"there are no images in {folder.path} (png, jpg, jpeg, webp, bmp, avif, heic)",
        fix,
        "data",
    )
