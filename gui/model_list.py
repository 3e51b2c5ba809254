"""The base models on this computer, for the list beside the field: found by name, known by their headers.

Headers are read in a thread of its own, one file after the other, and what they say is kept (by the file's date and
size) beside the machine file: a second look at 500 files is a matter of their dates. No Gradio in here.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gui import models
from gui.context import Context
from gui.form.session import user_folder
from trainer.contract import families
from trainer.contract.families import Recognised, by_name, never_trained, recognise
from trainer.contract.families.recognise import cached_snapshot, is_hub_id, part_weights
from trainer.contract.preset import absolute_paths, with_values
from trainer.contract.problems import Problems
from trainer.contract.rundir import write_whole
from trainer.contract.settings import Preset
from trainer.report.words import size

AGAIN_S = 20.0
"""A listing younger than this is not made again unless the machine's folders have changed."""

Standing = Literal["trained", "untrained", "faulty", "no model"]


@dataclass(frozen=True)
class Facts:
    """What a model file's header says. `standing`: "no model" is a LoRA, a VAE and the like."""

    standing: Standing
    about: str
    mark: str = ""


@dataclass(frozen=True)
class Entry:
    """A line of the list. `path` is what goes into the field; `place` the heading that it stands under."""

    path: str
    name: str
    place: str
    facts: Facts


@dataclass(frozen=True)
class Listing:
    """What is known now. `busy`: further files are being read. `others`: files that are no base model. `cut`: a folder
    holds more than is looked at. `version` changes with the rest."""

    entries: tuple[Entry, ...] = ()
    others: int = 0
    cut: bool = False
    busy: bool = False
    version: int = 0


class Catalogue:
    """The listing of one page, made in the background and made again when asked after a while."""

    def __init__(self, context: Context) -> None:
        self._context, self._lock = context, threading.Lock()
        self._listing, self._done_for, self._done_at = Listing(), None, 0.0
        self._known = Headers(user_folder(context) / "models.json")

    _done_for: tuple[Path, ...] | None

    def look(self) -> Listing:
        """What is known now, without waiting; what may have changed is looked at behind it."""
        with self._lock:
            stale = time.monotonic() - self._done_at > AGAIN_S or self._done_for != self._context.machine.models
            if stale and not self._listing.busy:
                self._listing = replace(self._listing, busy=True, version=self._listing.version + 1)
                threading.Thread(target=self._make, name="models", daemon=True).start()
            return self._listing

    def _make(self) -> None:
        folders = self._context.machine.models
        try:
            with self._lock:
                first = self._done_for is None
            self._gather(folders, tell=first)
        finally:
            self._known.keep()
            with self._lock:
                self._done_for, self._done_at = folders, time.monotonic()
                self._listing = replace(self._listing, busy=False, version=self._listing.version + 1)

    def _gather(self, folders: tuple[Path, ...], tell: bool) -> None:
        """Go through all places. `tell`: show what has been found so far from time to time (the first time: later, what
        is there already stays until all is known)."""
        entries, others, cut, told = [], 0, False, time.monotonic()
        for place, path, named, name in self._all(folders):
            if path is None:
                cut = True
                continue
            facts = self._known.of(path)
            others += facts.standing == "no model"
            if facts.standing != "no model":
                entries.append(Entry(named, name, place, facts))
            if tell and time.monotonic() - told > 0.3:
                self._show(entries, others, cut, busy=True)
                told = time.monotonic()
        self._show(entries, others, cut, busy=True)

    def _show(self, entries: list[Entry], others: int, cut: bool, busy: bool) -> None:
        order = {place: number for number, place in enumerate(dict.fromkeys(entry.place for entry in entries))}
        standing = ("trained", "untrained", "faulty")
        ordered = sorted(
            {entry.path: entry for entry in entries}.values(),
            key=lambda e: (order[e.place], standing.index(e.facts.standing), e.name.lower()),
        )
        with self._lock:
            self._listing = Listing(tuple(ordered), others, cut, busy, self._listing.version + 1)

    def _all(self, folders: tuple[Path, ...]) -> Iterator[tuple[str, Path | None, str, str]]:
        """(heading, file or folder, what goes into the field, name); a path of None: a folder holds more."""
        for folder in folders:
            place = models.recognise_folder(folder)
            found = models.find_checkpoints(place)
            for path in found.paths:
                yield place.title, path, str(path), path.name
            if found.cut:
                yield place.title, None, "", ""
        for hub_id, snapshot in hub_models():
            yield "Hugging Face cache", snapshot, hub_id, hub_id
        demo = self._context.root / "presets" / "demo" / "model"
        if demo.is_dir():
            yield "Shipped with Loratory", demo, str(demo), "tiny demo model"


_CATALOGUES: dict[str, Catalogue] = {}
_MAKING = threading.Lock()


def catalogue(context: Context) -> Catalogue:
    """The listing of this page, the same one for all of its visitors."""
    with _MAKING:
        return _CATALOGUES.setdefault(str(user_folder(context)), Catalogue(context))


class Headers:
    """What headers say, remembered by path, date and size; forgotten when the code that reads them changes."""

    def __init__(self, file: Path, read: Callable[[str], Recognised] = recognise) -> None:
        self._file, self._read, self._new = file, read, False
        self._facts: dict[str, Facts] | None = None

    def of(self, path: Path) -> Facts:
        """What the model at `path` is; read only where it has changed since."""
        if self._facts is None:
            self._facts = self._load()
        mark, bytes = _mark(path)
        known = self._facts.get(str(path))
        if known is None or known.mark != mark:
            known = replace(examine(path, bytes, self._read), mark=mark)
            self._facts[str(path)], self._new = known, True
        return known

    def keep(self) -> None:
        """Write what was learned; a folder that cannot be written costs the next page's first look."""
        if not self._new or self._facts is None:
            return
        rows = {path: asdict(facts) for path, facts in self._facts.items() if os.path.exists(path)}
        try:
            write_whole(self._file, json.dumps({"code": _code(), "files": rows}, ensure_ascii=False))
            self._new = False
        except OSError:
            return

    def _load(self) -> dict[str, Facts]:
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            if kept["code"] == _code():
                return {str(path): Facts(**row) for path, row in kept["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        return {}


def _code() -> str:
    """A mark of the code that recognises families: what it said before it changed counts no longer."""
    here = Path(families.__file__).parent
    texts = b"".join(path.read_bytes() for path in sorted([*here.glob("*.py"), Path(__file__)]))
    return hashlib.blake2b(texts, digest_size=8).hexdigest()


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    folders = [path, *(entry for entry in sorted(path.iterdir()) if entry.is_dir())]
    parts = [weights for folder in folders if (weights := part_weights(folder))]
    return [*parts, *(file for name in ("model_index.json", "unet/config.json") if (file := path / name).is_file())]


def _mark(path: Path) -> tuple[str, int]:
    """What changes when a model does: names, dates and sizes of its files; and their bytes together."""
    try:
        facts = [(file.name, file.stat()) for file in _files(path)]
    except OSError:
        return "gone", 0
    mark = "|".join(f"{name} {stat.st_mtime_ns} {stat.st_size}" for name, stat in facts)
    return hashlib.blake2b(mark.encode(), digest_size=8).hexdigest(), sum(stat.st_size for _, stat in facts)


def examine(path: Path, bytes: int, read: Callable[[str], Recognised] = recognise) -> Facts:
    """What one model is, as a line: "<family>, epsilon, 2.1 GB", with what it lacks, or what is wrong with it."""
    try:
        model = read(str(path))
    except Problems as error:
        why = error.problems[0].why
        if why.endswith("not a base model"):
            return Facts("no model", why)
        return Facts("faulty", why.removeprefix(f"{path.name} "))
    except Exception as error:  # files come from anywhere; one that breaks a reader must not end the list
        return Facts("faulty", f"cannot be read: {type(error).__name__}")
    said = (model.family, _noising(model), _inside(model), size(bytes) if bytes else "")
    line = ", ".join(part for part in said if part)
    if model.trained:
        return Facts("trained", line)
    return Facts(
        "untrained", f"{line}: {'cannot be trained alone' if never_trained(model.family) else 'not trained yet'}"
    )


def _noising(model: Recognised) -> str:
    return f"{model.prediction}, zero terminal SNR" if model.zero_snr else model.prediction


def _inside(model: Recognised) -> str:
    """What a single file lacks, since a complete one is the rule."""
    parts = by_name(model.family).parts if model.trained and model.contents else ()
    lacking = [_PARTS[part] for part in parts if part not in model.contents]
    return f"without {' and '.join(lacking)}" if lacking else ""


_PARTS = {"unet": "U-Net", "te1": "text encoder", "te2": "second text encoder", "vae": "VAE"}


def hub_models() -> list[tuple[str, Path]]:
    """(hub id, folder) of the models in diffusers' layout that are complete in the local hub cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    found = []
    for folder in sorted(Path(HF_HUB_CACHE).glob("models--*--*")):
        hub_id = "/".join(folder.name.split("--")[1:])
        snapshot = cached_snapshot(hub_id) if is_hub_id(hub_id) else None
        if snapshot is not None and models.is_diffusers(snapshot):
            found.append((hub_id, snapshot))
    return found


def about(path: str, context: Context) -> tuple[str, str]:
    """What the text in the field means: (a class of page.css, one line). Empty for an empty field."""
    if not path.strip():
        return "quiet", ""
    try:
        full = absolute_paths(with_values(Preset(), {"model.path": path}), context.root).model.path
        if os.path.exists(full):
            return _told(Path(full), Path(full).name)
        snapshot = cached_snapshot(full) if is_hub_id(full) else None
        if snapshot is not None:
            return _told(snapshot, full)
        if is_hub_id(full):
            return (
                "quiet",
                "A model of the Hugging Face hub, not on this computer yet: Start downloads gigabytes, once.",
            )
        recognise(full)
    except Problems as error:
        problem = error.problems[0]
        return "bad", f"{problem.why}; {problem.fix}" if problem.fix else problem.why
    return "quiet", ""


def _told(place: Path, name: str) -> tuple[str, str]:
    facts = examine(place, _mark(place)[1])
    line = facts.about if facts.about.startswith(name) else f"{name}: {facts.about}"
    return ("good" if facts.standing == "trained" else "bad"), line


def told(context: Context, known: Any) -> dict[str, Any]:
    """The listing for the browser; nothing but "same" where it has this version already."""
    listing = catalogue(context).look()
    if known == listing.version:
        return {"same": True, "busy": listing.busy}
    rows = [
        {"path": e.path, "name": e.name, "place": e.place, "standing": e.facts.standing, "about": e.facts.about}
        for e in listing.entries
    ]
    return {
        "models": rows,
        "others": listing.others,
        "cut": listing.cut,
        "busy": listing.busy,
        "version": listing.version,
        "folders": len(context.machine.models),
    }
