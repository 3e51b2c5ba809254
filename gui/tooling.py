"""What the Tools tab knows and does: known files, a glance at one, tasks from what was typed, runs. No Gradio."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from gui import jobs, model_list
from gui.context import Context
from gui.models import lora_folders, places
from gui.runs.watch import Row, Watcher
from trainer.contract import tasks
from trainer.contract.adapter_tasks import TOOLS, Result, Tool, Upload, load_result, shown
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import Kind, RunDir
from trainer.plan.adapters.facts import facts, metadata_rows
from trainer.plan.adapters.look import look

MOST_KNOWN = 400
"""Adapters offered in a list, newest first."""

Known = list[dict[str, str]]


def known_adapters(context: Context, watching: Watcher) -> Known:
    """Adapter files of runs, newest run first, then those in other programs' folders. Names only."""
    found: Known = []
    for row in watching.rows():
        files = sorted((watching.runs / row.id).glob("*.safetensors"), key=_date, reverse=True)
        found += [{"group": row.state.name, "name": file.name, "path": str(file)} for file in files]
        if len(found) > MOST_KNOWN:
            return found[:MOST_KNOWN]
    for folder in lora_folders(context.machine):
        files = sorted(folder.folder.rglob("*.safetensors"), key=_date, reverse=True) if folder.folder.is_dir() else []
        found += [{"group": folder.title, "name": file.name, "path": str(file)} for file in files[:MOST_KNOWN]]
    return found[:MOST_KNOWN]


def _date(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def known_models(context: Context) -> Known:
    """Checkpoints that the list of base models knows by now; it is made in the background."""
    rows: Sequence[Mapping[str, Any]] = model_list.told(context, None).get("models", [])
    kept = [row for row in rows if row["standing"] in ("trained", "untrained") and os.path.exists(row["path"])]
    return [{"group": row["place"], "name": row["name"], "path": row["path"]} for row in kept][:MOST_KNOWN]


def glance(path: str, context: Context) -> dict[str, Any]:
    """What an adapter's header says, at once: one line, facts and metadata; or why it cannot be read."""
    path = path.strip().strip('"')
    if not path:
        return {}
    try:
        allowed(path, context)
        place = Path(path).expanduser()
        mark = place.stat() if place.is_file() else None
        return _glance(str(place), (mark.st_mtime_ns, mark.st_size) if mark else (0, 0))
    except Problems as error:
        return {"wrong": error.problems[0].why}


@lru_cache(maxsize=64)
def _glance(path: str, _mark: tuple[int, int]) -> dict[str, Any]:
    found = look(path)
    told = dict(facts(found))
    line = [
        told["Kind"],
        told["Base model"],
        *([f"rank {told['Rank']}"] if told["Rank"] != "none" else []),
        told["Size"],
    ]
    return {
        "line": " · ".join(line),
        "facts": list(told.items()),
        "metadata": metadata_rows(found.file.metadata),
    }


def task_of(name: Kind, values: Mapping[str, Any], context: Context) -> Tool:
    """The task that a form asks for; values as they were typed. Problems names every field that does not fit."""
    problems: list[Problem] = []
    given: dict[str, Any] = {}
    fields = shown(TOOLS[name])
    for field, (how, about) in fields.items():
        typed = values.get(field, about.default if how.input == "switch" else "")
        try:
            parsed = _parsed(how.input, about, typed)
        except ValueError:
            problems.append(Problem(how.title, f"{typed!r} is not a number", "write one"))
            continue
        if parsed is None and not about.is_required():
            continue
        if about.is_required() and not parsed:
            problems.append(Problem(how.title, "nothing is given", "choose or type one"))
        given[field] = parsed
    if problems:
        raise Problems(problems)
    task = tasks.make(name, given)
    assert isinstance(task, Tool)
    for field, (how, _) in fields.items():
        if how.input in ("adapter", "adapters", "model", "out"):
            for path in _paths(getattr(task, field)):
                allowed(path, context)
                if how.input != "out" and not os.path.exists(os.path.expanduser(path)):
                    problems.append(Problem(how.title, f"there is no file {path}", "check the path"))
    if problems:
        raise Problems(problems)
    if isinstance(task, Upload) and task.send:
        raise Problems([Problem("upload", "look first at what would be sent", "run it, then press Send")])
    return task


def _parsed(kind: str, about: Any, typed: Any) -> Any:
    """A typed value as the task has it; None for an empty field, which takes the default."""
    if kind == "switch":
        return bool(typed)
    text = str(typed).strip()
    if kind in ("adapters", "lines"):
        return tuple(line.strip().strip('"') for line in text.splitlines() if line.strip()) or None
    if kind == "numbers":
        return tuple(float(word) for word in text.replace(",", " ").replace(";", " ").split()) or None
    if kind == "number" and text:
        return int(text) if about.annotation is int else float(text)
    return text.strip('"') or None


def _paths(value: str | tuple[str, ...]) -> Iterator[str]:
    yield from (each for each in ((value,) if isinstance(value, str) else value) if each)


def allowed(path: str, context: Context) -> None:
    """Problems for a file that whoever opened the page may not use: on a page that other computers can open only what
    lies in the runs folder and in the machine's folders of models."""
    if context.local:
        return
    homes = [context.runs, *(place.folder for place in places(context.machine))]
    homes += [folder.folder for folder in lora_folders(context.machine)]
    try:
        real = Path(os.path.expanduser(path)).resolve()
        if any(real.is_relative_to(Path(home).resolve()) for home in homes):
            return
    except (OSError, ValueError, RuntimeError):
        pass
    why = "this page can be opened from other computers: only files of runs and of the model folders can be used"
    raise Problems(
        [Problem("file", why, "add the folder in the Computer tab, or open the page on this computer alone")]
    )


def begin(task: Tool, watching: Watcher) -> RunDir:
    """Start a tool. Problems where another is at work."""
    busy = next((row for row in of_tools(watching) if row.state.state in jobs.AT_WORK), None)
    if busy is not None:
        raise Problems([Problem("tool", "another tool is at work", "wait for it, or stop it")])
    return jobs.start_task(_whole(task), tasks.kind_of(task), watching.runs)


def _whole(task: Tool) -> Tool:
    """The task with whole paths: its run has another working folder."""
    changed: dict[str, Any] = {}
    for field, (how, _) in shown(type(task)).items():
        value = getattr(task, field)
        if how.input in ("adapter", "model", "out") and value:
            changed[field] = str(Path(value).expanduser().absolute())
        if how.input == "adapters":
            changed[field] = tuple(str(Path(each).expanduser().absolute()) for each in value)
    return task.model_copy(update=changed)


def sent(run: RunDir) -> Tool:
    """The upload that a dry run showed, to be sent. Problems where the run is none."""
    task = loaded(run)
    if not isinstance(task, Upload):
        raise Problems([Problem("upload", "there is nothing to send", "show first what would be sent")])
    return task.model_copy(update={"send": True})


def loaded(run: RunDir) -> Tool | None:
    """The task of a tool's run; None where it cannot be read."""
    try:
        task = tasks.load(run.task, run.read_state().kind)
    except (Problems, OSError, ValueError, TypeError, KeyError):
        return None
    return task if isinstance(task, Tool) else None


def of_tools(watching: Watcher) -> list[Row]:
    """Runs of tools, newest first."""
    return [row for row in watching.rows() if row.state.kind in TOOLS]


def result_of(run: RunDir) -> Result | None:
    """What a tool's run found or made."""
    return load_result(run.path)


def first_file(task: Tool) -> str:
    """The name of the first file that a task is about."""
    for field, (how, _) in shown(type(task)).items():
        paths = list(_paths(getattr(task, field))) if how.input in ("adapter", "adapters", "model") else []
        if paths:
            return Path(paths[0]).name
    return ""
