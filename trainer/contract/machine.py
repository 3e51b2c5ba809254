"""What belongs to one computer and never to a preset: where runs and caches lie, what the page may open.

The file is `presets/user/machine.toml` of the checkout, ignored by git. Every value has a default: it need not exist.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import tomlkit

from .problems import Problem, Problems
from .rundir import write_whole

ENVIRONMENT = "LORATORY_MACHINE"
"""Environment variable that names another machine file, for a second set of folders on the same computer."""


@dataclass(frozen=True)
class Machine:
    """`runs`: where run folders are made. `cache`: encoded images and captions, shared by all runs, at most
    `cache_limit_gb` (10^9 bytes) large. `folders`: further folders whose pictures the page may show, browse and write
    captions in. `datasets`: where images go that are uploaded to the page. `models`: folders of checkpoints, or whole
    installations of ComfyUI, A1111 or Forge, which also take finished adapters. `captioners`: folders of captioning
    models. `sd_scripts`: the user's own checkout of sd-scripts; `sd_scripts_python`: the Python that runs it, None for
    that of its virtual environment."""

    runs: Path
    cache: Path
    cache_limit_gb: float = 20.0
    folders: tuple[Path, ...] = ()
    datasets: Path = Path("datasets")
    models: tuple[Path, ...] = ()
    captioners: tuple[Path, ...] = ()
    sd_scripts: Path | None = None
    sd_scripts_python: Path | None = None


_COMMENTS = {
    "runs": "where run folders are made",
    "cache": "encoded images and captions, shared by all runs; safe to delete while nothing trains",
    "cache_limit_gb": "the oldest entries are removed beyond this size",
    "folders": "further folders of images that the page may browse, show and write captions in",
    "datasets": "where images go that are uploaded to the page",
    "models": "folders of checkpoints, or whole installations of ComfyUI, A1111 or Forge",
    "captioners": "folders of captioning models",
    "sd_scripts": "your own checkout of sd-scripts, which can train the same presets; empty: none",
    "sd_scripts_python": "the Python that runs it; empty: that of its virtual environment",
}

_LISTS = ("folders", "models", "captioners")
_OPTIONAL = ("sd_scripts", "sd_scripts_python")


def machine_file(root: Path) -> Path:
    """The machine file that counts for the checkout at `root`."""
    named = os.environ.get(ENVIRONMENT, "")
    return Path(named) if named else Path(root) / "presets" / "user" / "machine.toml"


def load_machine(root: Path) -> Machine:
    """The machine's settings; relative paths in the file are relative to `root`. Problems names what is wrong in it."""
    root, file = Path(root), machine_file(Path(root))
    values: dict[str, Any] = {}
    if file.is_file():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Problems([Problem(str(file), f"not readable as TOML: {error}", "correct or delete it")]) from None
    problems = _problems(values, file)
    if problems:
        raise Problems(problems)
    return Machine(
        runs=_path(values.get("runs", "runs"), root),
        cache=_path(values.get("cache", "cache"), root),
        cache_limit_gb=float(values.get("cache_limit_gb", Machine.cache_limit_gb)),
        datasets=_path(values.get("datasets", "datasets"), root),
        **{name: tuple(_path(folder, root) for folder in values.get(name, [])) for name in _LISTS},  # type: ignore[arg-type]
        **{name: _program(values.get(name, ""), root) for name in _OPTIONAL},  # type: ignore[arg-type]
    )


def _path(text: str, root: Path) -> Path:
    return (root / Path(text).expanduser()).resolve()


def _program(text: str, root: Path) -> Path | None:
    """As `_path`, but a link stays one: a virtual environment's Python is a link to the system's."""
    return Path(os.path.abspath(root / Path(text.strip()).expanduser())) if text.strip() else None


def _problems(values: dict[str, Any], file: Path) -> list[Problem]:
    kinds: dict[str, tuple[type, ...]] = {
        "runs": (str,),
        "cache": (str,),
        "datasets": (str,),
        "cache_limit_gb": (int, float),
        **dict.fromkeys(_OPTIONAL, (str,)),
    }
    known = [f.name for f in fields(Machine)]
    found = [
        Problem(f"{file.name}: {name}", "there is no such setting", "one of " + ", ".join(known))
        for name in values
        if name not in known
    ]
    for name, types in kinds.items():
        value = values.get(name)
        if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
            wanted = "a number" if float in types else "text in quotes"
            found.append(Problem(f"{file.name}: {name}", f"{value!r} does not fit", f"write {wanted}"))
    for name in _LISTS:
        listed = values.get(name, [])
        if not isinstance(listed, list) or not all(isinstance(folder, str) for folder in listed):
            found.append(Problem(f"{file.name}: {name}", f"{listed!r} does not fit", 'write ["/one", "/two"]'))
    limit = values.get("cache_limit_gb", 1.0)
    if isinstance(limit, (int, float)) and limit <= 0:
        found.append(Problem(f"{file.name}: cache_limit_gb", f"{limit} is not above 0", "20 is usual"))
    return found


def save_machine(root: Path, machine: Machine) -> None:
    """Write the machine file, each value under what it means; comments that the user put there are kept."""
    file = machine_file(Path(root))
    text = file.read_text(encoding="utf-8-sig") if file.is_file() else ""
    document = tomlkit.parse(text)
    values = {
        "runs": str(machine.runs),
        "cache": str(machine.cache),
        "cache_limit_gb": machine.cache_limit_gb,
        "datasets": str(machine.datasets),
        **{name: [str(folder) for folder in getattr(machine, name)] for name in _LISTS},
        **{name: str(getattr(machine, name) or "") for name in _OPTIONAL},
    }
    for name, value in values.items():
        if name not in document:
            document.add(tomlkit.comment(_COMMENTS[name]))
        document[name] = value
    write_whole(file, tomlkit.dumps(document))
