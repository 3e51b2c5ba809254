"""Pictures and captions that are uploaded to the page: what is let in, under which name, and what is refused.

Nothing of what a sender says is trusted: names are made anew from their last part (and a `10_name` folder above it),
lengths are counted while reading, links and encrypted parts are refused, a picture is decoded to its last pixel before
it is kept, and a file that is there is never replaced.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from trainer.plan.pixels import BrokenImage, open_image
from trainer.plan.scan import EXTENSIONS

TEXTS = frozenset({".txt", ".caption"})
MOST_PARTS = 50_000
"""Files in one ZIP."""
MOST_PICTURE_BYTES = 300_000_000
MOST_TEXT_BYTES = 1_000_000
MOST_ZIP_BYTES = 60_000_000_000
"""Unpacked, over all parts."""
_SPARE_BYTES = 1_000_000_000
"""What has to stay free on the disk."""
_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_REPEATS = re.compile(r"[1-9]\d*_.")
_PIECE = 1 << 20
_ONE_AT_A_TIME = threading.Lock()


@dataclass
class Arrived:
    """`kept`: paths inside the folder. `refused`: what was sent -> why it was not kept. `done` of `parts`: how far a
    ZIP has been unpacked."""

    kept: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    done: int = 0
    parts: int = 0


class Refused(Exception):
    """A file that is not kept, and why."""


def folder_name(text: str) -> str:
    """A folder name out of what somebody typed; "" where nothing is left of it."""
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', " ", text).strip(" .")
    name = re.sub(r"\s+", " ", name)[:80].strip(" .")
    return f"my {name}" if _RESERVED.match(name) else name


def place_for(sent: str) -> str:
    """Path inside the folder for a file that was sent as `sent` (with the folders that it lay in). Refused where the
    name leads out of a folder, or is of no kind that is kept."""
    if "\0" in sent or sent.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", sent):
        raise Refused("its name is an absolute path")
    parts = [part for part in re.split(r"[/\\]", sent) if part not in ("", ".")]
    if not parts or ".." in parts:
        raise Refused("its name leads out of the folder")
    name = folder_name(parts[-1])
    if PurePosixPath(name).suffix.lower() not in EXTENSIONS | TEXTS:
        raise Refused("it is neither a picture (png, jpg, webp, bmp, avif, heic) nor a caption (txt, caption)")
    if parts[-1].startswith(".") or "__MACOSX" in parts:
        raise Refused("it is a hidden file of the system")
    above = folder_name(parts[-2]) if len(parts) > 1 else ""
    return f"{above}/{name}" if _REPEATS.match(above) else name


def keep_file(sent: str, path: Path, folder: Path, arrived: Arrived) -> None:
    """Take one uploaded file into the folder."""
    with open(path, "rb") as source:
        _keep(sent, source, folder, arrived)


def _keep(sent: str, source: IO[bytes], folder: Path, arrived: Arrived) -> None:
    try:
        place = place_for(sent)
        _write(place, source, folder)
    except Refused as error:
        arrived.refused[sent] = str(error)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        arrived.refused[sent] = f"it cannot be read or written: {error}"
    except Exception as error:  # decompressors raise what the damage leads them to
        arrived.refused[sent] = f"it is damaged ({type(error).__name__})"
    else:
        arrived.kept.append(place)


def _write(place: str, source: IO[bytes], folder: Path) -> None:
    target = folder / place
    target.parent.mkdir(parents=True, exist_ok=True)
    if _is_there(target):
        raise Refused("a file of that name is there already")
    is_text = target.suffix.lower() in TEXTS
    part = target.with_name(f".{target.name}.part")
    try:
        _copy(source, part, MOST_TEXT_BYTES if is_text else MOST_PICTURE_BYTES)
        (_check_text if is_text else _check_picture)(part, target)
        with _ONE_AT_A_TIME:
            if _is_there(target):
                raise Refused("a file of that name is there already")
            os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _is_there(target: Path) -> bool:
    """Also under another spelling, which some file systems take for the same name."""
    if target.exists():
        return True
    wanted = target.name.casefold()
    return any(entry.name.casefold() == wanted for entry in os.scandir(target.parent))


def _copy(source: IO[bytes], target: Path, most: int) -> None:
    total = 0
    with open(target, "wb") as file:
        while piece := source.read(_PIECE):
            total += len(piece)
            if total > most:
                raise Refused(f"it is larger than {most // 1_000_000} MB")
            file.write(piece)
    if not total:
        raise Refused("it is empty")


def _check_text(part: Path, target: Path) -> None:
    try:
        part.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused("it is not UTF-8 text") from None


def _check_picture(part: Path, target: Path) -> None:
    try:
        open_image(target, part.read_bytes()).close()
    except BrokenImage as error:
        raise Refused(error.why) from None


def unpack(archive: Path, folder: Path, start: int, count: int, arrived: Arrived) -> None:
    """Take `count` parts of a ZIP into the folder, from part number `start` on, so that a page can tell how far it is.
    Refused where the whole is none that may be unpacked."""
    with _zip(archive) as whole:
        parts = [part for part in whole.infolist() if not part.is_dir()]
        arrived.parts = len(parts)
        if start == 0:
            _check_zip(parts, folder)
        for part in parts[start : start + count]:
            _take(whole, part, folder, arrived)
        arrived.done = min(start + count, len(parts))


def _zip(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Refused(f"it is no ZIP that can be read: {error}") from None


def _check_zip(parts: list[zipfile.ZipInfo], folder: Path) -> None:
    if len(parts) > MOST_PARTS:
        raise Refused(f"it holds {len(parts):,} files; at most {MOST_PARTS:,} are taken")
    total = sum(part.file_size for part in parts)
    if total > MOST_ZIP_BYTES:
        raise Refused(f"it unpacks to {total / 1e9:.0f} GB; at most {MOST_ZIP_BYTES // 10**9} GB are taken")
    free = shutil.disk_usage(_existing(folder)).free
    if total + _SPARE_BYTES > free:
        raise Refused(f"it unpacks to {total / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on that disk")


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _take(whole: zipfile.ZipFile, part: zipfile.ZipInfo, folder: Path, arrived: Arrived) -> None:
    name = part.orig_filename
    if stat.S_ISLNK(part.external_attr >> 16):
        arrived.refused[name] = "it is a link"
    elif part.flag_bits & 0x1:
        arrived.refused[name] = "it is encrypted"
    else:
        for source in _opened(whole, part, name, arrived):
            _keep(name, source, folder, arrived)


def _opened(whole: zipfile.ZipFile, part: zipfile.ZipInfo, name: str, arrived: Arrived) -> Iterator[IO[bytes]]:
    try:
        source = whole.open(part)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, ValueError) as error:
        arrived.refused[name] = f"it cannot be unpacked: {error}"
        return
    with source:
        yield source
