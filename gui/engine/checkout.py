"""The user's own sd-scripts: where it lies, which Python runs it, what is in it. Nothing of it is imported or run here,
but for its Python, which is asked for the versions of its packages."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from trainer.contract.machine import Machine
from trainer.contract.problems import Problem, Problems

NAME = "sd-scripts"
"""What the engine is called on the command line and in `run.json`."""

MARK = "train_network.py"
"""The script by which a folder is known."""

NEEDED = ("torch", "accelerate", "diffusers", "transformers", "safetensors")
"""Packages without which none of its scripts begins."""

OTHERS = ("tensorboard", "bitsandbytes", "xformers", "lycoris-lora")
"""Packages that some settings need."""

VERSIONS = (
    "import importlib.metadata as m, json, sys\n"
    "found = {}\n"
    "for name in sys.argv[1:]:\n"
    "    try: found[name] = m.version(name)\n"
    "    except m.PackageNotFoundError: pass\n"
    "print(json.dumps({'python': sys.version.split()[0], **found}))"
)
"""What the other Python is asked; the names come as arguments of their own."""

_VENVS = ("venv", ".venv", "../venv", "../.venv")


@dataclass(frozen=True)
class Checkout:
    """`folder` of its scripts, `python` that runs them, `version` as its README says ("" where it does not), `commit`
    its short hash, `scripts` the LoRA trainers in it."""

    folder: Path
    python: Path
    version: str = ""
    commit: str = ""
    scripts: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """Version and commit in a few words."""
        return " ".join(filter(None, [self.version, f"({self.commit})" if self.commit else ""])) or "unknown version"


def is_named(machine: Machine) -> bool:
    """Whether this computer's settings name one at all."""
    return machine.sd_scripts is not None


def found(machine: Machine) -> Checkout:
    """The checkout that this computer's settings name. Problems says what is missing."""
    if machine.sd_scripts is None:
        fix = "name its folder in the Computer tab, or as sd_scripts in presets/user/machine.toml"
        raise Problems([Problem(NAME, "this computer's settings name no sd-scripts", fix)])
    folder = scripts_folder(machine.sd_scripts)
    if folder is None:
        fix = "name the folder that holds train_network.py"
        raise Problems([Problem(NAME, f"there is no sd-scripts in {machine.sd_scripts}", fix)])
    python = machine.sd_scripts_python or own_python(folder)
    if python is None or not python.is_file():
        what = f"{python} is no file" if python else f"no virtual environment is found in {folder} or beside it"
        fix = "name its Python in the Computer tab, or as sd_scripts_python in presets/user/machine.toml"
        raise Problems([Problem(NAME, f"its Python is not known: {what}", fix)])
    return Checkout(folder, python, version(folder), commit(folder), scripts(folder))


def scripts_folder(path: Path) -> Path | None:
    """The folder with the scripts: itself, or the one that kohya_ss has in it."""
    return next((place for place in (path, path / "sd-scripts") if (place / MARK).is_file()), None)


def own_python(folder: Path) -> Path | None:
    """The Python of a virtual environment in the checkout, or beside it as kohya_ss has it."""
    names = ("Scripts/python.exe",) if os.name == "nt" else ("bin/python",)
    places = [Path(os.path.normpath(folder / venv / name)) for venv in _VENVS for name in names]
    return next((place for place in places if place.is_file()), None)


def has_package(python: Path, name: str) -> bool:
    """Whether a virtual environment has a package, by its folder; True where that cannot be seen."""
    root = python.parent.parent
    places = [place for pattern in ("lib/python*/site-packages", "Lib/site-packages") for place in root.glob(pattern)]
    return not places or any((place / name).is_dir() for place in places)


def scripts(folder: Path) -> tuple[str, ...]:
    """The LoRA trainers of the checkout, by file name."""
    return tuple(sorted(path.name for path in folder.glob("*train_network.py")))


def version(folder: Path) -> str:
    """The newest version that its README names."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8", errors="replace")[:200_000]
    except OSError:
        return ""
    named = re.search(r"\bVersion\s+v?(\d+(?:\.\d+)+)", text)
    return f"v{named[1]}" if named else ""


def commit(folder: Path) -> str:
    """The short hash of the commit that is checked out, read from git's own files; "" where there are none."""
    try:
        git = folder / ".git"
        if git.is_file():  # a submodule: "gitdir: ../.git/modules/sd-scripts"
            git = (folder / git.read_text(encoding="utf-8").partition(":")[2].strip()).resolve()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if head.startswith("ref: "):
            head = _ref(git, head[5:])
    except (OSError, UnicodeDecodeError):
        return ""
    return head[:8] if re.fullmatch(r"[0-9a-f]{40,64}", head) else ""


def _ref(git: Path, name: str) -> str:
    loose = git / name
    if ".." not in name and loose.is_file():
        return loose.read_text(encoding="utf-8").strip()
    packed = (git / "packed-refs").read_text(encoding="utf-8").splitlines()
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")
