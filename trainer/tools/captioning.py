"""Captions for images by a local model: tags or sentences, into text files beside the images.

What is written goes through `plan/captionfiles.py`, so that what was there before can be had back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from trainer import device as machines
from trainer.bench import ROOT
from trainer.contract import preset as presets
from trainer.contract.events import Event, Phase, Warned
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset
from trainer.contract.tasks import CAPTIONS, Captioning, Done
from trainer.plan import captionfiles
from trainer.plan.captioners import Captioner, recognise
from trainer.plan.pixels import BrokenImage, open_image

Emit = Callable[[Event], None]
WRITE_EVERY = 25
"""Captions that are written together: one change of the folder's history, and the most that a crash can lose."""

PROGRESS_S = 0.3


class Model(Protocol):
    """A captioning model in memory."""

    @property
    def device(self) -> str:
        """What it computes on, for people."""
        ...

    def captions(self, images: Sequence[Image.Image]) -> list[str]:
        """One text an image, in order."""
        ...


@dataclass
class _Count:
    """What was done so far."""

    written: int = 0
    kept: int = 0
    broken: int = 0
    empty: int = 0


def work(run: RunDir, task: Captioning, emit: Emit) -> Done:
    """Caption the task's images. A request to stop is obeyed between two of them; what is done stays."""
    captioner = recognise(task.model)
    if not task.images:
        raise Problems([Problem("images", "there are none to caption", "choose some", "data")])
    wanted = list(task.images)
    if task.whom == "images without a caption" and not task.dry:
        wanted = [image for image in task.images if not _has_text(caption_file(image, task))]
    count = _Count(kept=len(task.images) - len(wanted))
    if not wanted:
        return Done("done", "every image has a caption already: nothing was changed")
    emit(Phase(text=f"loading {captioner.name}"))
    model = load(captioner, task)
    run.update_state(device=model.device, versions=machines.versions())
    stopped = _all(run, task, model, wanted, count, emit)
    said = _said(task, count)
    return Done("stopped", f"stopped: {said}", CAPTIONS) if stopped else Done("done", said, CAPTIONS)


def load(captioner: Captioner, task: Captioning) -> Model:
    """The model in memory. Problems where it cannot be used."""
    if captioner.kind == "tagger":
        from .captioning_tagger import Tagger

        return Tagger(captioner.folder, task)
    from .captioning_text import Writer

    device, _ = machines.join(presets.with_values(Preset(), {"hardware.gpus": task.gpus, "precision.compute": "float"}))
    return Writer(captioner, task, device)


def caption_file(image: str, task: Captioning) -> Path:
    """Where the image's caption stands."""
    return Path(image).with_suffix(task.extension)


def _has_text(path: Path) -> bool:
    try:
        return bool((captionfiles.read(path) or "").strip())
    except Problems:
        return True  # what cannot be read is not written over unasked


def _all(run: RunDir, task: Captioning, model: Model, wanted: list[str], count: _Count, emit: Emit) -> bool:
    """Caption and write, some at a time; True where it was asked to stop."""
    texts: dict[str, str] = {}
    told = 0.0
    try:
        for done, batch in _batches(wanted, task.batch_size):
            if run.peek("stop") is not None or run.peek("pause") is not None:
                return True
            if time.monotonic() - told >= PROGRESS_S:
                told = time.monotonic()
                emit(Phase(text="captioning images", done=done, of=len(wanted)))
            texts |= _captioned(run, batch, model, task, count, emit)
            if len(texts) >= WRITE_EVERY or (task.dry and texts):
                _write(run, task, texts, count)
                texts = {}
    except KeyboardInterrupt:
        return True
    finally:
        _write(run, task, texts, count)
    emit(Phase(text="captioning images", done=len(wanted), of=len(wanted)))
    return False


def _batches(wanted: list[str], size: int) -> Iterator[tuple[int, list[str]]]:
    return ((at, wanted[at : at + size]) for at in range(0, len(wanted), size))


def _captioned(
    run: RunDir, batch: list[str], model: Model, task: Captioning, count: _Count, emit: Emit
) -> dict[str, str]:
    """Texts of the images that can be read; the others are told and left out."""
    images: dict[str, Image.Image] = {}
    for file in batch:
        try:
            images[file] = open_image(Path(file))
        except BrokenImage as error:
            count.broken += 1
            emit(Warned(text=f"{file} is skipped: {error.why}"))
            _note(run, [{"image": file, "skipped": error.why}])
    if not images:
        return {}
    return {file: _prefixed(text, task.prefix) for file, text in zip(images, model.captions(list(images.values())))}


def _prefixed(text: str, prefix: str) -> str:
    first = prefix.strip().rstrip(",").rstrip()
    return ", ".join(part for part in (first, text.strip()) if part)


def _write(run: RunDir, task: Captioning, texts: dict[str, str], count: _Count) -> None:
    """Write captions into their files, and note them in the run folder. One that somebody wrote meanwhile stays."""
    rows, files = [], {}
    for image, text in texts.items():
        path = caption_file(image, task)
        before = _before(path)
        kept = task.whom == "images without a caption" and _has_text(path)
        row = {"image": image, "text": text, "before": before, "written": not (task.dry or kept or not text)}
        rows.append(row)
        count.empty += not text
        count.kept += bool(kept and not task.dry)
        if row["written"]:
            files[path] = text
    for folder, group in _by_folder(files, task).items():
        what = f"captions by {Path(task.model).name}, {run.id}"
        captionfiles.write(folder, group, what, captionfiles.history_file(ROOT, folder))
    count.written += len(files)
    _note(run, rows)


def _before(path: Path) -> str | None:
    try:
        return captionfiles.read(path)
    except Problems:
        return None


def _by_folder(files: dict[Path, str], task: Captioning) -> dict[Path, dict[Path, str | None]]:
    """Files by the folder whose history tells of them: the one that the page shows, else their own."""
    found: dict[Path, dict[Path, str | None]] = {}
    shown = Path(task.folder).resolve() if task.folder else None
    for path, text in files.items():
        inside = shown is not None and path.resolve().is_relative_to(shown)
        found.setdefault(shown if inside and shown else path.parent.resolve(), {})[path] = text
    return found


def _note(run: RunDir, rows: list[dict[str, Any]]) -> None:
    with open(run.path / CAPTIONS, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _said(task: Captioning, count: _Count) -> str:
    parts = [_counted(count.written, "caption written", "captions written")]
    if task.dry:
        parts = ["shown only, nothing was written"]
    if count.kept:
        parts.append(_counted(count.kept, "kept as it was", "kept as they were"))
    if count.empty:
        parts.append(_counted(count.empty, "came out empty", "came out empty"))
    if count.broken:
        parts.append(_counted(count.broken, "image could not be read", "images could not be read"))
    return ", ".join(parts)


def _counted(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
