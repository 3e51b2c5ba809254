"""The machine file as a form: what each path is, whether it can be used, and saving it. No Gradio in here."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gui import jobs, models, processes
from gui.context import Context
from gui.engine import checkout
from gui.security import PICTURES
from trainer.contract.machine import Machine, load_machine, save_machine
from trainer.contract.problems import Problem, Problems
from trainer.report.words import size

Kind = Literal["folder", "folders", "file", "number"]


@dataclass(frozen=True)
class Row:
    """One setting of the machine file. `written`: the page or the trainer writes there, so it may be a folder that does
    not exist yet. `optional`: it may be left empty. `later`: when a change counts, where that is not at once."""

    name: str
    label: str
    help: str
    kind: Kind = "folder"
    written: bool = False
    optional: bool = False
    later: str = ""


ROWS: tuple[Row, ...] = (
    Row(
        "models",
        "Model folders",
        "Whole installations of ComfyUI, A1111 or Forge, or plain folders of checkpoints. Their checkpoints are listed "
        "under Base model, and finished adapters can be copied into the installations.",
        "folders",
    ),
    Row(
        "folders",
        "Image folders",
        "Folders whose pictures the page may show, browse and write captions in where other computers can open it.",
        "folders",
    ),
    Row("captioners", "Captioning models", "Folders of models that describe pictures.", "folders"),
    Row("datasets", "Uploaded images", "Where images go that are uploaded to the page.", written=True),
    Row(
        "runs",
        "Runs",
        "Where run folders are made. Runs that are there already stay where they are.",
        written=True,
        later="A change counts from the next start of Loratory.",
    ),
    Row(
        "cache",
        "Cache",
        "Encoded images and captions, shared by all runs: a folder of its own, since the oldest files in it are "
        "deleted at the limit.",
        written=True,
        later="A change counts from the next run.",
    ),
    Row(
        "cache_limit_gb",
        "Cache limit (GB)",
        "What was not used for longest is deleted beyond this size, when a run prepares.",
        "number",
        later="A change counts from the next run.",
    ),
    Row(
        "sd_scripts",
        "Your own sd-scripts",
        "The folder of sd-scripts, or of kohya_ss with sd-scripts in it. Once it is named, Start can train with it "
        "instead of Loratory's own trainer: the same form, the same run folder, its code.",
        optional=True,
    ),
    Row(
        "sd_scripts_python",
        "Its Python",
        "The Python of its virtual environment, where that is not the one in the folder or beside it: "
        "venv/bin/python, or venv\\Scripts\\python.exe on Windows.",
        "file",
        optional=True,
    ),
)
BY_NAME = {row.name: row for row in ROWS}

CACHE_PARTS = ("latents", "masks", "text", "prints", "looks", "held-out", "thumbnails", "hashes.json")
"""What lies in a cache folder of ours."""

ANSWER_S = 30.0
"""How long another Python may take to say which packages it has."""

_SAVING = threading.Lock()


@dataclass(frozen=True)
class Said:
    """What is said of one value. `ok` is False where it cannot be saved."""

    ok: bool
    text: str = ""


def plain(text: str) -> str:
    """A path as it is pasted: without the quotes that Windows' "Copy as path" puts around it."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def check(name: str, text: str, context: Context) -> Said:
    """Whether a value can be used, and what was found there."""
    row, text = BY_NAME[name], plain(text)
    if row.kind == "number":
        return _number(text)
    if not text:
        return Said(False, "type a path, or remove the row") if row.kind == "folders" else Said(True)
    if "\0" in text:
        return Said(False, "a path cannot hold this character")
    path = Path(context.root, os.path.expanduser(text))
    try:
        if row.kind == "file":
            return _program(path)
        return _folder(row, path, context)
    except (OSError, ValueError) as error:
        return Said(False, f"cannot be looked at: {getattr(error, 'strerror', None) or error}")


def _number(text: str) -> Said:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return Said(False, "write a number of gigabytes, such as 20")
    return Said(True) if 0 < value < 1e6 else Said(False, "write a number above 0; 20 is usual")


def _program(path: Path) -> Said:
    if path.is_dir():
        return Said(False, "this is a folder: name the program in it")
    if not path.is_file():
        return Said(False, "there is no such file")
    return Said(True) if os.access(path, os.X_OK) else Said(False, "this file may not be run: check its rights")


def _folder(row: Row, path: Path, context: Context) -> Said:
    if path.is_file():
        return Said(False, "this is a file: name its folder")
    if not path.is_dir():
        return _missing(row, path)
    if not os.access(path, os.R_OK | os.X_OK):
        return Said(False, "this folder may not be read: check its rights")
    if row.written and not os.access(path, os.W_OK):
        return Said(False, "this folder may not be written: check its rights")
    if row.name == "cache" and (other := _not_ours(path, context)):
        return Said(False, f"choose a folder of its own: this one holds {other}, and old files in a cache are deleted")
    return Said(True, _FINDERS.get(row.name, lambda path: "")(path))


def _missing(row: Row, path: Path) -> Said:
    above = next((parent for parent in path.parents if parent.exists()), None)
    if row.written and above is not None and above.is_dir():
        can = os.access(above, os.W_OK)
        return Said(
            can, "it is made when it is needed" if can else f"there is no such folder, and {above} is read-only"
        )
    if above == path.parent and above.is_dir():
        close = difflib.get_close_matches(path.name, os.listdir(above), 1, 0.6)
        if close:
            return Said(False, f"there is no such folder; did you mean {close[0]}?")
    return Said(False, "there is no such folder")


def _not_ours(path: Path, context: Context) -> str:
    """What lies in a folder that no cache of ours holds; "" for one that can be a cache."""
    if path.resolve() == context.machine.cache:
        return ""
    return next((name for name in sorted(os.listdir(path)) if name not in CACHE_PARTS and name[0] != "."), "")


def _models(path: Path) -> str:
    place = models.recognise_folder(path)
    found = models.find_checkpoints(place)
    count = f"{place.kind}: {len(found.paths)} checkpoints found"
    return ". ".join([count, *(["there are more"] if found.cut else []), *place.notes])


def _pictures(path: Path) -> str:
    names = [(entry.name, entry.is_dir()) for entry in os.scandir(path)]
    folders = sum(is_folder for name, is_folder in names if not name.startswith("."))
    pictures = sum(os.path.splitext(name)[1].lower() in PICTURES for name, is_folder in names if not is_folder)
    return f"{pictures} pictures and {folders} folders in it"


def _captioners(path: Path) -> str:
    places = [path, *(Path(entry.path) for entry in os.scandir(path) if entry.is_dir())]
    count = sum((place / "config.json").is_file() or any(place.glob("*.onnx")) for place in places)
    return f"{count} models found"


def _scripts(path: Path) -> str:
    folder = checkout.scripts_folder(path)
    if folder is None:
        raise OSError("there is no sd-scripts in it: name the folder that holds train_network.py")
    python = (
        ""
        if checkout.own_python(folder)
        else ". No virtual environment is in it or beside it: its Python has to be named below"
    )
    told = checkout.Checkout(folder, folder, checkout.version(folder), checkout.commit(folder)).told
    return f"sd-scripts {told}{python}"


def engine_facts(context: Context) -> list[str]:
    """What the sd-scripts of this computer is, line by line; its Python is asked for its packages. Problems where the
    page may not start it, where there is none, or where it does not answer."""
    if not context.local:
        raise Problems([Problem("sd-scripts", "other computers can open this page: no program is started here")])
    found = checkout.found(context.machine)
    names = (*checkout.NEEDED, *checkout.OTHERS)
    try:
        there = json.loads(processes.answer_of([str(found.python), "-c", checkout.VERSIONS, *names], ANSWER_S))
    except (OSError, ValueError) as error:
        raise Problems([Problem("Its Python", f"{found.python} does not answer: {error}")]) from None
    told = [f"sd-scripts {found.told} in {found.folder}", f"LoRA trainers: {', '.join(found.scripts)}"]
    told.append(", ".join(f"{name} {version}" for name, version in there.items()))
    missing = [name for name in checkout.NEEDED if name not in there]
    told += [f"Not installed there, and needed: {', '.join(missing)}"] if missing else ["It can be used."]
    if "tensorboard" not in there:
        told.append("tensorboard is not installed there: the loss is then that of its progress bar, a moving average")
    return told


_FINDERS = {"models": _models, "folders": _pictures, "captioners": _captioners, "sd_scripts": _scripts}


def shown(machine: Machine) -> dict[str, Any]:
    """The values as the form shows them."""
    values: dict[str, Any] = {}
    for row in ROWS:
        value = getattr(machine, row.name)
        values[row.name] = [str(path) for path in value] if row.kind == "folders" else str(value or "")
    return values | {"cache_limit_gb": f"{machine.cache_limit_gb:g}"}


def state(context: Context) -> dict[str, Any]:
    """All that the form needs, for the browser."""
    return {
        "rows": [asdict(row) for row in ROWS],
        "values": shown(context.machine),
        "open": context.local,
        "suggestions": [{"path": str(p.folder), "kind": p.kind} for p in models.suggestions(context.machine)]
        if context.local
        else [],
    }


def save(name: str, values: list[str], context: Context) -> None:
    """Check and write one setting, and let the page go by it. Problems says why not; nothing is written then.

    What stood there before is kept even where it cannot be reached now: a drive may only be unplugged."""
    if not context.local:
        raise Problems([Problem("computer", "other computers can open this page, so that paths are not changed here")])
    row = BY_NAME[name]
    with _SAVING:
        machine = load_machine(context.root)
        before = shown(machine)[name]
        kept = before if isinstance(before, list) else [before]
        given = [plain(value) for value in values if value.strip()]
        for value in given:
            if value not in kept and not (said := check(name, value, context)).ok:
                raise Problems([Problem(row.label, f"{value}: {said.text}")])
        if row.kind != "folders" and not given and not row.optional:
            raise Problems([Problem(row.label, "this cannot be empty")])
        machine = replace(machine, **{name: _value(row, given, context)})
        try:
            save_machine(context.root, machine)
        except OSError as error:
            raise Problems([Problem("machine.toml", f"cannot be written: {error.strerror or error}")]) from None
        context.machine = machine


def _value(row: Row, given: list[str], context: Context) -> Any:
    if row.kind == "number":
        return float(given[0].replace(",", "."))
    if row.optional:  # a virtual environment's Python is a link to the system's: it stays one
        return Path(os.path.abspath(Path(context.root, os.path.expanduser(given[0])))) if given else None
    paths = tuple(dict.fromkeys(Path(context.root, os.path.expanduser(text)).resolve() for text in given))
    return paths if row.kind == "folders" else paths[0]


_KEPT = re.compile(r"[0-9a-f]{32}\.safetensors")


def _cached(machine: Machine) -> Iterator[os.DirEntry[str]]:
    """The files that runs have put into the cache and could make again; nothing else that may lie there."""
    for part in ("latents", "masks", "text"):
        for folder in _scan(machine.cache / part):
            if folder.is_dir(follow_symlinks=False):
                yield from (entry for entry in _scan(Path(folder.path)) if _KEPT.fullmatch(entry.name))


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError:
        return []


def cache_line(context: Context) -> str:
    """How large the cache is now."""
    count = total = 0
    for entry in _cached(context.machine):
        with contextlib.suppress(OSError):
            count, total = count + 1, total + entry.stat().st_size
    return f"{size(total)} in {count} files" if count else "empty"


def empty_cache(context: Context) -> str:
    """Delete the encoded images and captions; which images were held out is remembered on. Problems while anything
    trains: it may read them."""
    if not context.local:
        raise Problems([Problem("computer", "other computers can open this page: the cache is not emptied here")])
    at_work = jobs.running(context.runs)
    if at_work:
        raise Problems([Problem("Cache", f"{at_work[0].id} is at work", "wait until it is done")])
    freed = 0
    for entry in _cached(context.machine):
        with contextlib.suppress(OSError):
            bytes = entry.stat().st_size
            os.unlink(entry.path)
            freed += bytes
    return f"{size(freed)} freed"
