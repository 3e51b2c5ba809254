"""What a fix does to files. Pictures are never changed or deleted: at most they are moved into a folder that the
scanner passes over, from which they can be put back. Captions are written with their history, which undoes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Captions

from .. import captionfiles
from ..captions import joiner
from ..counting import count_of
from ..scan import ASIDE, EXTENSIONS


def set_aside(images: Sequence[Path], extension: str) -> str:
    """Move images and their caption files into a folder `set aside` beside them; what was done, in words."""
    moved = [image for image in images if _move(image, image.parent / ASIDE, extension)]
    return f"{count_of(len(moved), 'image')} moved into the folder {ASIDE!r}, with captions."


def put_back(folders: Sequence[Path], extension: str) -> str:
    """Move all that was set aside back to where it came from; an image whose name is taken by now stays aside."""
    images = aside(folders)
    moved = [image for image in images if _move(image, image.parent.parent, extension, rename=False)]
    left = len(images) - len(moved)
    stays = f" {count_of(left, 'image')} could not be moved: there is a file of that name." if left else ""
    for place in {image.parent for image in moved}:
        if not any(place.iterdir()):
            place.rmdir()
    return f"{count_of(len(moved), 'image')} put back.{stays}"


def aside(folders: Sequence[Path]) -> list[Path]:
    """The images that were set aside from these folders and from those in them."""
    found: list[Path] = []
    for folder in folders:
        if folder.is_dir():
            places = [folder, *(child for child in sorted(folder.iterdir()) if child.is_dir() and child.name != ASIDE)]
            for place in places:
                if (place / ASIDE).is_dir():
                    found += sorted(p for p in (place / ASIDE).iterdir() if p.suffix.lower() in EXTENSIONS)
    return found


def _move(image: Path, into: Path, extension: str, rename: bool = True) -> bool:
    """Move one image and its caption; False where it is gone, or where its name is taken and must not be another."""
    if not image.is_file():
        return False
    caption = image.with_suffix(extension)
    try:
        into.mkdir(exist_ok=True)
        stem = next(stem for stem in _stems(image.stem) if not (into / f"{stem}{image.suffix}").exists())
        if stem != image.stem and not rename:
            return False
        has_caption = caption.is_file() and not (into / f"{stem}{extension}").exists()
        os.rename(image, into / f"{stem}{image.suffix}")
        if has_caption and not _shared(caption, image):
            os.rename(caption, into / f"{stem}{extension}")
    except OSError as error:
        raise Problems([Problem(str(image), f"it cannot be moved: {error}", "check the folder's rights")]) from None
    return True


def _shared(caption: Path, image: Path) -> bool:
    """Whether another image of that name (photo.png beside photo.jpg) needs the caption too."""
    return any(caption.with_suffix(ending).is_file() for ending in EXTENSIONS if ending != image.suffix)


def _stems(stem: str) -> Sequence[str]:
    return [stem, *(f"{stem} ({number})" for number in range(2, 1000))]


def write_caption(
    folder: Path, images: Sequence[Path], text: str, rules: Captions, history: Path
) -> captionfiles.Change | None:
    """Let images that have no caption, or an empty one, have this one; others keep theirs."""
    files = [image.with_suffix(rules.extension) for image in images]
    texts = {file: f"{text}\n" for file in files if not (captionfiles.read(file) or "").strip()}
    return captionfiles.write(folder, texts, f"caption {text!r} where there was none", history)


def add_to_captions(
    folder: Path, files: Sequence[Path], text: str, rules: Captions, history: Path
) -> captionfiles.Change | None:
    """Put a word first in every line of the captions."""
    put = text + joiner(rules.separator)
    return _each_line(folder, files, lambda line: put + line, f"{text!r} added", history)


def remove_tag(
    folder: Path, files: Sequence[Path], text: str, rules: Captions, history: Path
) -> captionfiles.Change | None:
    """Take a tag out of every line of the captions."""

    def without(line: str) -> str:
        tags = [tag.strip() for tag in line.split(rules.separator)]
        kept = [tag for tag in tags if tag and tag.lower() != text.lower()]
        return line if len(kept) == len([tag for tag in tags if tag]) else joiner(rules.separator).join(kept)

    return _each_line(folder, files, without, f"tag {text!r} removed", history)


def _each_line(
    folder: Path, files: Sequence[Path], change: Callable[[str], str], what: str, history: Path
) -> captionfiles.Change | None:
    texts: dict[Path, str | None] = {}
    for file in files:
        said = captionfiles.read(file)
        if said is not None:
            lines = [change(line.strip()) if line.strip() else line for line in said.splitlines()]
            texts[file] = "\n".join(lines) + ("\n" if said.endswith("\n") else "")
    return captionfiles.write(folder, texts, what, history)
