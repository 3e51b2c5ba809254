"""Is an environment complete? Answered from a small file, or from package metadata; nothing heavy is imported.

The stamp (`.venv/loratory.json`) is written last, so an interrupted installation has none and is repaired by the next
start. Its key covers everything that should cause a new installation: the pinned versions, the list of direct
dependencies, the environment's own Python, the platform.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

STAMP_NAME = "loratory.json"


@dataclass
class Stamp:
    """What an installation was made from and found out."""

    key: str
    extras: list[str] = field(default_factory=list)
    torch_asked: str | None = None  # what --torch said; None = chosen for the machine
    torch_build: str = ""  # what was installed: cpu, cu130 ...
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)


def venv_python(venv: Path) -> Path:
    return venv / "Scripts" / "python.exe" if sys.platform == "win32" else venv / "bin" / "python"


def site_packages(venv: Path) -> list[str]:
    if sys.platform == "win32":
        return [str(venv / "Lib" / "site-packages")]
    return [str(folder) for folder in sorted(venv.glob("lib/python3*/site-packages"))]


def key_of(root: Path, venv: Path) -> str:
    """A digest of pins, dependencies, the environment's Python version and the platform (about 1 ms)."""
    python_version = ""
    for line in _text(venv / "pyvenv.cfg").splitlines():
        name, _, value = line.partition("=")
        if name.strip().startswith("version"):
            python_version = value.strip()
    dependencies = re.search(r"^dependencies = \[.*?^\]", _text(root / "pyproject.toml"), re.MULTILINE | re.DOTALL)
    parts = [
        _text(root / "trainer" / "constraints.txt"),
        dependencies[0] if dependencies else "",
        python_version,
        sys.platform,
        platform.machine(),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read(venv: Path) -> Stamp | None:
    try:
        return Stamp(**json.loads(_text(venv / STAMP_NAME)))
    except (ValueError, TypeError):
        return None


def write(venv: Path, stamp: Stamp) -> None:
    """Whole or not at all: temp file, then replace."""
    temporary = venv / (STAMP_NAME + ".tmp")
    temporary.write_text(json.dumps(asdict(stamp), indent=1), encoding="utf-8", newline="\n")
    os.replace(temporary, venv / STAMP_NAME)


def remove(venv: Path) -> None:
    (venv / STAMP_NAME).unlink(missing_ok=True)


def valid(root: Path, venv: Path, extras: Iterable[str], torch: str | None) -> bool:
    """The environment is complete for what is asked now. More extras than asked do no harm."""
    stamp = read(venv)
    return (
        stamp is not None
        and venv_python(venv).exists()
        and stamp.key == key_of(root, venv)
        and set(extras) <= set(stamp.extras)
        and (torch is None or torch in (stamp.torch_asked, stamp.torch_build))
    )


def pins(root: Path) -> dict[str, str]:
    """name -> version from constraints.txt, names as pip compares them."""
    rows = (line.strip().partition("==") for line in _text(root / "trainer" / "constraints.txt").splitlines())
    return {_normal(name): version for name, equal, version in rows if equal and not name.startswith("#")}


def requirements(root: Path, extras: Iterable[str] = ()) -> list[str]:
    """Direct dependencies as pyproject.toml lists them, torch excluded (it is installed first, by build)."""
    import tomllib

    project = tomllib.loads(_text(root / "pyproject.toml"))["project"]
    rows = list(project["dependencies"])
    for extra in sorted(extras):
        rows += project["optional-dependencies"][extra]
    return [row for row in rows if _normal(_name(row)) != "torch"]


def missing(root: Path, extras: Iterable[str], where: list[str]) -> list[str]:
    """Direct dependencies that are absent from the folders `where`, or there in another version than the pinned one."""
    pinned, lacking = pins(root), []
    for row in ["torch", *requirements(root, extras)]:
        name = _normal(_name(row))
        version = installed_version(name, where)
        if version is None or (name in pinned and version.partition("+")[0] != pinned[name]):
            lacking.append(name)
    return lacking


def installed_version(name: str, where: list[str]) -> str | None:
    for found in importlib.metadata.Distribution.discover(name=name, path=where):
        return found.version
    return None


def torch_build(where: list[str]) -> str:
    """Which build of torch lies in these folders, from its own version.py, not imported: cpu, cu130, rocm7.2, or ""."""
    for folder in where:
        text = _text(Path(folder) / "torch" / "version.py")
        cuda = re.search(r"^cuda\b.*= '(\d+)\.(\d+)", text, re.MULTILINE)
        hip = re.search(r"^(?:rocm|hip)\b.*= '(\d+\.\d+)", text, re.MULTILINE)
        if cuda:
            return f"cu{cuda[1]}{cuda[2]}"
        if text:
            return f"rocm{hip[1]}" if hip else "cpu"
    return ""


def _name(requirement: str) -> str:
    return re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
