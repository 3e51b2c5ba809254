"""Where models and adapters lie on this computer: installations of other programs and plain folders, told apart by what
lies in them. Only names of files are looked at; what a checkpoint is, `gui/model_list.py` finds out. No Gradio in here.

Layouts: ComfyUI's `folder_paths.py` and `extra_model_paths.yaml.example`, A1111's and Forge's `models/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.contract.machine import Machine

WEIGHTS = (".safetensors", ".ckpt")
DEEPEST, MOST_FILES, MOST_SEEN = 6, 2000, 50_000
"""A plain folder is looked through down to this many levels, up to this many model files and entries."""


@dataclass(frozen=True)
class Layout:
    """How a program lays out its models. `signs`: any of these beside `models` shows the program. `checkpoints` and
    `loras`: folders of its own, the first one of `loras` that is there takes adapters."""

    name: str
    signs: tuple[str, ...]
    checkpoints: tuple[str, ...]
    loras: tuple[str, ...]


# The first row that fits wins: Forge holds all that A1111 holds.
LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "ComfyUI",
        ("comfy", "custom_nodes", "extra_model_paths.yaml.example"),
        ("models/checkpoints", "models/diffusers"),
        ("models/loras",),
    ),
    Layout("Forge", ("modules_forge",), ("models/Stable-diffusion",), ("models/Lora",)),
    Layout("A1111", ("webui.py", "webui-user.bat", "webui-user.sh"), ("models/Stable-diffusion",), ("models/Lora",)),
)
PLAIN = "plain folder"


@dataclass(frozen=True)
class Place:
    """One entry of the machine's list of model folders, recognised. `checkpoints`: where to look for models; `loras`:
    where adapters go, none for a plain folder. `notes`: what is in the way."""

    folder: Path
    kind: str
    checkpoints: tuple[Path, ...] = ()
    loras: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the place is called in lists: the program, else the folder's name."""
        return self.folder.name or str(self.folder) if self.kind == PLAIN else self.kind


@dataclass
class Found:
    """Model files and diffusers folders. `cut`: there is more, beyond the limits."""

    paths: list[Path] = field(default_factory=list)
    cut: bool = False


def recognise_folder(folder: Path) -> Place:
    """What kind of model folder this is. A folder that is missing is a plain one with a note."""
    folder = Path(folder)
    if not os.path.isdir(folder):
        return Place(folder, PLAIN, notes=("there is no such folder",))
    for root in (folder, folder / "ComfyUI"):  # the portable build keeps its program one level deeper
        for layout in LAYOUTS:
            if (root / "models").is_dir() and any((root / sign).exists() for sign in layout.signs):
                return _installation(root, folder, layout)
    if (folder / "models" / "checkpoints").is_dir():  # ComfyUI's folders without the program (a shared models folder)
        return _installation(folder, folder, LAYOUTS[0])
    if (folder / "models" / "Stable-diffusion").is_dir():
        return _installation(folder, folder, LAYOUTS[2])
    return Place(folder, PLAIN, (folder,))


def _installation(root: Path, named: Path, layout: Layout) -> Place:
    checkpoints = [path for name in layout.checkpoints if (path := root / name).is_dir()]
    loras = [root / name for name in layout.loras]
    notes: list[str] = []
    if layout.name == "ComfyUI":
        more, notes = _extra_paths(root / "extra_model_paths.yaml")
        checkpoints += [path for path in more["checkpoints"] if path.is_dir()]
        loras += [path for path in more["loras"] if path.is_dir()]
    return Place(named, layout.name, tuple(dict.fromkeys(checkpoints)), tuple(dict.fromkeys(loras)), tuple(notes))


def _extra_paths(file: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """The folders of checkpoints and LoRAs that ComfyUI's own settings add, read as ComfyUI reads them; and what could
    not be read."""
    found: dict[str, list[Path]] = {"checkpoints": [], "loras": []}
    if not file.is_file():
        return found, []
    import yaml  # comes with Gradio

    try:
        blocks = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return found, [f"{file.name} is not readable: {str(error).splitlines()[0]}"]
    for block in blocks.values() if isinstance(blocks, dict) else []:
        if isinstance(block, dict):
            for kind, paths in found.items():
                paths += _listed(block, kind, file.parent)
    return found, []


def _listed(block: dict[str, Any], kind: str, beside: Path) -> Iterator[Path]:
    base = os.path.expandvars(os.path.expanduser(str(block.get("base_path") or "")))
    for line in str(block.get(kind) or "").splitlines():
        if line.strip():
            yield Path(os.path.normpath(beside / base / line.strip()))


def find_checkpoints(place: Place) -> Found:
    """What may be a model in a place: weight files, and folders in diffusers' layout. Names only, links followed once,
    hidden folders left out."""
    found, seen, entries = Found(), set[str](), 0
    todo = [(path, 0) for path in reversed(place.checkpoints)]
    while todo:
        folder, depth = todo.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        if is_diffusers(folder):
            found.paths.append(folder)
            continue
        try:
            listed = sorted(os.scandir(folder), key=lambda entry: entry.name.lower())
        except OSError:
            continue
        entries += len(listed)
        found.paths += [Path(entry.path) for entry in listed if _is_weights(entry)]
        folders = [Path(entry.path) for entry in listed if not entry.name.startswith(".") and _is_folder(entry)]
        if len(found.paths) > MOST_FILES or entries > MOST_SEEN or (folders and depth == DEEPEST):
            found.cut = True
        if len(found.paths) > MOST_FILES or entries > MOST_SEEN:
            break
        if depth < DEEPEST:
            todo += [(path, depth + 1) for path in reversed(folders)]
    del found.paths[MOST_FILES:]
    return found


def is_diffusers(folder: Path) -> bool:
    """Whether a folder is laid out as diffusers saves a model."""
    return (folder / "model_index.json").is_file() or (folder / "unet" / "config.json").is_file()


def _is_weights(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.name.lower().endswith(WEIGHTS) and not entry.name.startswith(".") and entry.is_file()
    except OSError:
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def places(machine: Machine) -> list[Place]:
    """The machine's model folders, recognised, in the user's order."""
    return [recognise_folder(folder) for folder in machine.models]


@dataclass(frozen=True)
class LoraFolder:
    """Where adapters go in an installation. `title` is what the page calls it ("ComfyUI")."""

    title: str
    folder: Path


def lora_folders(machine: Machine) -> list[LoraFolder]:
    """Where finished adapters go: one folder for each recognised installation, a folder that is there before one that
    would be made; two of one name are told apart by where they lie."""
    chosen = []
    for place in places(machine):
        if place.loras:
            folder = next((path for path in place.loras if path.is_dir()), place.loras[0])
            chosen.append((place, folder))
    names = [place.title for place, _ in chosen]
    return [
        LoraFolder(place.title if names.count(place.title) == 1 else f"{place.title} in {place.folder}", folder)
        for place, folder in chosen
    ]


USUAL = re.compile(
    r"(?i)^(comfyui(_windows_portable)?|stable-diffusion-webui(-forge|-reforge)?|sd-webui.*|forge|a1111|automatic1111"
    r"|webui_forge.*|sd\.webui)$"
)
"""What these programs' folders are called, as they are cloned or unpacked."""


def suggestions(machine: Machine, where: Iterable[Path] | None = None) -> list[Place]:
    """Installations in usual places that the machine file does not name yet: folders of a usual name directly in the
    home folder, its Documents, Downloads and Desktop, or on a drive. Nothing deeper is looked at."""
    known = {os.path.realpath(folder) for folder in machine.models}
    found: dict[str, Place] = {}
    for parent in usual_parents() if where is None else where:
        try:
            names = sorted(os.listdir(parent))
        except OSError:
            continue
        for name in names:
            for folder in _candidates(parent / name) if USUAL.match(name) else ():
                place, real = recognise_folder(folder), os.path.realpath(folder)
                if place.kind != PLAIN and real not in known:
                    found.setdefault(real, place)
    return list(found.values())


def _candidates(folder: Path) -> tuple[Path, ...]:
    return (folder, folder / "webui")  # A1111's and Forge's one-click packages keep the program in `webui`


def usual_parents() -> list[Path]:
    """Folders in which programs are unpacked: of the user, and the roots of Windows' drives."""
    home = Path.home()
    own = [home, *(home / name for name in ("Documents", "Downloads", "Desktop", "AI", "ai"))]
    if os.name == "nt":
        return own + [Path(f"{letter}:\\") for letter in "CDEFGH" if os.path.isdir(f"{letter}:\\")]
    return [*own, Path("/opt"), Path("/workspace")]
