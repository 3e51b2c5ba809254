"""One opened folder of images: what is in it, its captions, and looking through them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainer.contract.problems import Problems
from trainer.contract.settings import Dataset, Folder
from trainer.plan import captionfiles
from trainer.plan.buckets import Placed
from trainer.plan.place import place_all
from trainer.plan.scan import ImageFile, Scan, Unreadable, scan

from .captions import Deed, changed, counted, tags_of, words

May = Callable[[Path], bool]


@dataclass(frozen=True)
class Shown:
    """One image of a folder. `name`: its path inside the folder, with "/". `caption`: None where there is no file.
    `placed`: None where it is too small for any bucket."""

    name: str
    image: ImageFile
    caption: str | None
    placed: Placed | None


@dataclass(frozen=True)
class Rules:
    """How captions are written here: the ending of their files, and what stands between tags."""

    extension: str = ".txt"
    separator: str = ","


@dataclass
class Opened:
    """A folder as it was when it was read. Names that come from the page are looked up in `rows`, never joined to a
    path. `unread`: caption files that are no UTF-8 text, which are shown as no caption and never written."""

    path: Path
    rules: Rules
    found: Scan
    rows: dict[str, Shown] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    read_at: float = field(default_factory=time.time)

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """Files that look like images and cannot be used."""
        return self.found.unreadable

    def counts(self) -> Counter[str]:
        """Tag -> captions that have it."""
        return counted((row.caption or "" for row in self.rows.values()), self.rules.separator)

    def caption_file(self, name: str) -> Path:
        """Where the caption of an image is or will be."""
        image = self.rows[name].image
        return image.caption_file or image.path.with_suffix(self.rules.extension)

    def write(self, texts: Mapping[str, str | None], what: str, history: Path) -> captionfiles.Change | None:
        """Let images have these captions. Problems where one cannot be written."""
        blocked = [name for name in texts if name in self.unread]
        if blocked:
            raise Problems([self._not_text(name) for name in blocked])
        files = {self.caption_file(name): _ended(text) for name, text in texts.items()}
        change = captionfiles.write(self.path, files, what, history)
        self.refresh(texts)
        return change

    def _not_text(self, name: str) -> captionfiles.Problem:
        return captionfiles.Problem(str(self.caption_file(name)), self.unread[name], "save it as UTF-8 text")

    def refresh(self, names: Sequence[str] | Mapping[str, object]) -> None:
        """Read the captions of these images again. Two images may share one caption file, a.png and a.jpg."""
        files = {self.caption_file(name) for name in names}
        for name, row in list(self.rows.items()):
            if self.caption_file(name) in files:
                self.rows[name] = replace(row, **_caption(self, name))  # type: ignore[arg-type]

    def after(self, deed: Deed, names: Sequence[str]) -> dict[str, tuple[str, str]]:
        """What a deed would change: name -> (caption before, after); only those that it changes."""
        counts = self.counts() if deed.kind == "sort" else {}
        told: dict[str, tuple[str, str]] = {}
        for name in names:
            before = self.rows[name].caption or ""
            text = changed(before, deed, counts)
            if text != before and name not in self.unread:
                told[name] = (before, text)
        return told

    def do(self, deed: Deed, names: Sequence[str], history: Path) -> captionfiles.Change | None:
        """Do what `after` tells, as one change that can be undone."""
        texts = {name: text for name, (_, text) in self.after(deed, names).items()}
        return self.write(texts, words(deed, len(texts)), history) if texts else None


def _ended(text: str | None) -> str | None:
    """Line ends as editors write them; None for a caption that says nothing and whose file may go."""
    return None if text is None else text.replace("\r\n", "\n")


def _caption(opened: Opened, name: str) -> dict[str, object]:
    image = opened.rows[name].image
    path = image.caption_file or image.path.with_suffix(opened.rules.extension)
    try:
        text = captionfiles.read(path)
    except Problems as error:
        opened.unread[name] = error.problems[0].why
        return {"caption": None}
    opened.unread.pop(name, None)
    return {"caption": text, "image": replace(image, caption_file=path if text is not None else None)}


def open_folder(path: Path, rules: Rules, dataset: Dataset, may: May | None = None) -> Opened:
    """Read a folder: headers of all images, all captions. `dataset`: resolved settings, for the buckets; `may`: whether
    a file may be shown (a link may lead anywhere), None for all of them. Problems where it cannot be read or holds no
    image."""
    found = scan([Folder(path=str(path))], rules.extension)
    opened = Opened(Path(path), rules, found)
    places = placed(found, dataset)
    for image in found.images:
        if may is not None and not (may(image.path) and may(image.caption_file or image.path)):
            continue
        name = image.key.partition("/")[2]
        opened.rows[name] = Shown(name, image, None, places.get(image.key))
        if image.caption_file is not None:
            opened.rows[name] = replace(opened.rows[name], **_caption(opened, name))  # type: ignore[arg-type]
    return opened


def placed(found: Scan, dataset: Dataset) -> dict[str, Placed]:
    """Key of an image -> its bucket; those that are too small for any have none, and settings that make no bucket give
    none at all."""
    try:
        kept, places = place_all(found, dataset)
    except (Problems, ValueError, TypeError, ZeroDivisionError, IndexError):
        return {}
    return {image.key: place for image, place in zip(kept.images, places)}


class Folders:
    """The folders that pages have open, the last few; several pages share one."""

    def __init__(self, may: May | None = None, most: int = 4) -> None:
        self._may, self._most = may, most
        self._open, self._lock = dict[str, Opened](), threading.Lock()

    def open(self, path: Path, rules: Rules, dataset: Dataset) -> Opened:
        """Read a folder anew and keep it."""
        opened = open_folder(path, rules, dataset, self._may)
        with self._lock:
            self._open.pop(str(path), None)
            self._open[str(path)] = opened
            while len(self._open) > self._most:
                del self._open[next(iter(self._open))]
        return opened

    def get(self, path: Path, rules: Rules, dataset: Dataset) -> Opened:
        """The folder as it was last read; read where it has not been, or where captions are written otherwise now."""
        opened = self._open.get(str(path))
        return opened if opened is not None and opened.rules == rules else self.open(path, rules, dataset)


SORTS = ("name", "newest", "caption length", "size")


@dataclass(frozen=True)
class View:
    """What the grid shows: `caption`: "all", "with", "without"; `text`: words that the caption or name has; `tags`: all
    of them; `bucket`: as "512x768"; `only`: names, None for all; `sort`: one of `SORTS`."""

    caption: str = "all"
    text: str = ""
    tags: tuple[str, ...] = ()
    bucket: str = ""
    only: frozenset[str] | None = None
    sort: str = "name"


def look_through(opened: Opened, view: View) -> list[str]:
    """Names of the images that fit, in their order."""
    wanted = [tag.casefold() for tag in view.tags]
    text = view.text.casefold().strip()
    fitting = [row for row in opened.rows.values() if _fits(row, view, wanted, text, opened.rules.separator)]
    if view.sort == "newest":
        fitting.sort(key=lambda row: -row.image.mtime)
    elif view.sort == "caption length":
        fitting.sort(key=lambda row: len(row.caption or ""))
    elif view.sort == "size":
        fitting.sort(key=lambda row: row.image.size.area)
    return [row.name for row in fitting]


def _fits(row: Shown, view: View, wanted: Sequence[str], text: str, separator: str) -> bool:
    says = bool(row.caption and row.caption.strip())
    if view.only is not None and row.name not in view.only:
        return False
    if view.caption != "all" and says != (view.caption == "with"):
        return False
    if view.bucket and (row.placed is None or str(row.placed.bucket) != view.bucket):
        return False
    if text and text not in (row.caption or "").casefold() and text not in row.name.casefold():
        return False
    has = {tag.casefold() for tag in tags_of(row.caption or "", separator)} if wanted else set()
    return all(tag in has for tag in wanted)
