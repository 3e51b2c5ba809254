"""What the captioning panel knows and does: models of this computer, the task, how far it is, what came out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gui import jobs
from gui.context import Context
from gui.roots import may_show
from gui.runs import panels
from gui.runs.watch import Row, Watcher
from gui.text import paragraph, problem_list
from trainer.contract import tasks
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Folder
from trainer.contract.tasks import CAPTIONS, Captioning
from trainer.plan import captioners, captionfiles
from trainer.plan.scan import scan
from trainer.report.view import RunView
from trainer.report.words import escape

PREVIEWED = 3
SHOWN_RESULTS = 60


@dataclass(frozen=True)
class Asked:
    """What the panel holds. `path` wins over `model`; `selected`: names inside `folder`, () for all images."""

    folder: str
    selected: tuple[str, ...]
    model: str
    path: str
    whom: str
    prefix: str
    threshold: float
    characters: float
    no_tags: str
    question: str
    prompt: str
    extension: str = ".txt"


def models(context: Context) -> list[captioners.Captioner]:
    """The captioning models in the folders that the machine file names."""
    return captioners.find(context.machine.captioners)


def says(path: str) -> tuple[str, str]:
    """What a model folder is, as HTML, and its kind; "" where it is none."""
    if not path.strip():
        return "", ""
    try:
        found = captioners.recognise(path)
    except Problems as error:
        return problem_list(error.problems, "This model cannot be used"), ""
    return f'<p class="good"><b translate="no">{escape(found.name)}</b>: {escape(found.says)}</p>', found.kind


def which_work(context: Context) -> str:
    """Which models work and where they are put, for people who have none yet."""
    rows = "".join(
        f'<tr><td>{escape(kind)}</td><td translate="no"><code>{escape(name)}</code></td><td>{escape(take)}</td>'
        f"<td>{escape(writes)}</td></tr>"
        for kind, name, take, writes in captioners.KNOWN
    )
    named = ", ".join(str(folder) for folder in context.machine.captioners)
    where = f'<p>They are looked for in <span translate="no">{escape(named)}</span></p>' if named else ""
    return (
        "<details><summary>Which models work, and where to put them</summary>"
        "<p>Models run on this computer alone and are not downloaded for you. Put each into a folder of its own; type "
        "that folder's path below, or name the folder above it in the Computer tab to have its models listed.</p>"
        f'{where}<div class="try-scroll"><table class="plain"><thead><tr><th>Kind</th><th>For example</th><th>What to '
        f"take</th><th>What it writes</th></tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def task(asked: Asked, context: Context, dry: bool) -> Captioning:
    """What is to be done. `dry`: the first images are shown, nothing is written. Problems says what is missing."""
    found = captioners.recognise(asked.path or asked.model)
    images = _images(asked, context)
    values: dict[str, Any] = {
        "model": str(found.folder.resolve()),
        "images": images[:PREVIEWED] if dry else images,
        "folder": asked.folder,
        "whom": asked.whom,
        "extension": asked.extension,
        "prefix": asked.prefix,
        "threshold": asked.threshold,
        "characters": asked.characters,
        "no_tags": tuple(tag.strip() for tag in asked.no_tags.split(",") if tag.strip()),
        "prompt": {"task": asked.question, "text": asked.prompt}.get(found.kind, ""),
        "dry": dry,
    }
    made = tasks.make("captioning", values)
    assert isinstance(made, Captioning)
    return made


def _images(asked: Asked, context: Context) -> list[str]:
    """The chosen images of the open folder, all without a choice. Problems where there is none."""
    folder = Path(asked.folder) if asked.folder else None
    if folder is None or not folder.is_dir() or not may_show(folder, context):
        raise Problems([Problem("images", "no folder is open", "open one above", "data")])
    found = {
        image.key.partition("/")[2]: image.path for image in scan([Folder(path=str(folder))], asked.extension).images
    }
    names = [name for name in asked.selected if name in found] or list(found)
    paths = [str(found[name]) for name in names if may_show(found[name], context)]
    if not paths:
        raise Problems([Problem("images", "the folder holds no image", "add some", "data")])
    return paths


def begin(made: Captioning, watching: Watcher) -> RunDir:
    """Start captioning. Problems where another captioning is at work."""
    rows = [row for row in watching.rows() if row.state.kind == "captioning"]
    if any(row.state.state in jobs.AT_WORK for row in rows):
        raise Problems([Problem("captioning", "another captioning is at work", "wait for it, or stop it")])
    return jobs.start_task(made, "captions", watching.runs)


def results(run: RunDir) -> list[dict[str, Any]]:
    """What the run has found so far, a row an image."""
    try:
        lines = (run.path / CAPTIONS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("image"), str):
            rows.append(row)
    return rows


def written(run: RunDir, folder: str) -> list[str]:
    """Names inside the folder of the images whose captions were written."""
    names = []
    for row in results(run):
        path = Path(row["image"])
        if row.get("written") is True and path.is_relative_to(folder):
            names.append(path.relative_to(folder).as_posix())
    return names


def undo(run: RunDir, context: Context, folder: str) -> int:
    """Take back all that a run has written, as far as its changes are the newest; how many changes that were."""
    place, history, count = Path(folder), captionfiles.history_file(context.root, Path(folder)), 0
    while (last := captionfiles.undoable(history)) is not None and last.what.endswith(f", {run.id}"):
        captionfiles.undo(place, history)
        count += 1
    return count


def shown(row: Row, run: RunDir, view: RunView, asked: bool) -> str:
    """How far a captioning is, and what came out."""
    alive = row.state.state in jobs.AT_WORK
    line = "stopping, what is done stays" if asked and alive else view.phase if alive else row.state.cause
    found, done = results(run), [each for each in results(run) if each.get("written") is True]
    moves = _button("stop", "Stop") if alive and not asked else ""
    if not alive and done:
        moves = _button("show", "Show them") + _button("undo", "Undo these captions")
    head = (
        f'<div class="try-head" role="status">{panels.state_mark(row.state.state)}<span class="line">'
        f'{escape(line)}</span><span class="moves">{moves}</span></div>'
    )
    bar = panels.task_bar(view, "captioning") if alive else ""
    return head + bar + _failed(view) + _rows(found)


def _failed(view: RunView) -> str:
    if view.failed is None:
        return ""
    return f'<div class="problems" role="alert"><strong>{escape(view.failed.cause)}</strong></div>'


def _rows(found: Sequence[dict[str, Any]]) -> str:
    """The newest texts, each under its image's name, with what was there before where that is kept."""
    items = "".join(_item(row) for row in list(reversed(found))[:SHOWN_RESULTS])
    return f'<ul class="caption-results">{items}</ul>' if items else ""


def _item(row: dict[str, Any]) -> str:
    name = f'<b translate="no">{escape(Path(row["image"]).name)}</b>'
    if "skipped" in row:
        return f'<li>{name} <span class="bad">skipped: {escape(str(row["skipped"]))}</span></li>'
    before = str(row.get("before") or "")
    kept = (
        f'<p class="quiet">Now: <span translate="no">{escape(before)}</span></p>'
        if before and not row.get("written")
        else ""
    )
    text = str(row.get("text") or "")
    said = f'<p translate="no">{escape(text)}</p>' if text else paragraph("nothing was found in this image")
    return f"<li>{name}{said}{kept}</li>"


def _button(what: str, word: str) -> str:
    return f'<button type="button" class="small" data-what="{what}" data-try="captions">{word}</button>'
