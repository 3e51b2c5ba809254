"""The shape of the code, held mechanically: who may import whom, where families may be named, what stays torch-free."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("gui/**/*.py"), *ROOT.glob("trainer/**/*.py"), ROOT / "launch.py"])

ROOMS = ("families", "networks", "noise", "data", "optim", "validation", "sampling", "saving", "sinks")
"""Rooms that never import each other."""

LAYERS = {
    "contract": 0,
    "plan": 1,
    "report": 2,
    "parts": 2,
    "parallel": 2,
    "timing": 3,
    **dict.fromkeys(ROOMS, 4),
    "control": 4,
    "awake": 4,
    "device": 4,
    "update": 5,
    "resume": 5,
    "prepare": 5,
    "loop": 6,
    "bench": 6,
    "autopsy": 6,
    "moments": 7,
    "rescue": 7,
    "trained": 7,
    "course": 8,
    "run": 9,
    "preflight": 10,
    "tools": 10,
}
"""Room -> height: a room imports only what lies lower (or itself)."""

STANDARD_ONLY = ("trainer.install", "trainer.commandline", "trainer.testing", "trainer.doubleclick")


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at any depth, relative ones made absolute."""
    package = list(path.relative_to(ROOT).with_suffix("").parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: -node.level] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def room(module: str) -> str | None:
    """`trainer.noise.loss` -> "noise"; None for what is not in the trainer or is part of set-up."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "trainer" and parts[1] in LAYERS else None


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_downwards(path: Path) -> None:
    own = room(module_of(path))
    for module in imports(path):
        other = room(module)
        if own is None or other is None or other == own:
            continue
        assert LAYERS[other] < LAYERS[own], f"{module_of(path)} imports {module}: {own} may not import {other}"


@pytest.mark.parametrize("path", sorted(ROOT.glob("gui/**/*.py")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_page_imports_only_torch_free_rooms(path: Path) -> None:
    allowed = ("trainer.contract", "trainer.plan", "trainer.report", "trainer.install")
    if path.name == "runner.py":
        allowed += ("trainer.awake",)  # torch-free: another trainer's runs keep the computer awake too
    wrong = [m for m in imports(path) if m.startswith("trainer.") and not m.startswith(allowed)]
    assert not wrong, f"{path.name} imports {wrong}"


def test_only_processes_and_set_up_start_processes() -> None:
    allowed = {"gui/processes.py", "launch.py"}
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        set_up = name.startswith(("trainer/setup_", "trainer/install", "trainer/testing"))
        if name in allowed or set_up:
            continue
        assert "subprocess" not in imports(path), f"{name} starts processes"
        assert "multiprocessing" not in imports(path), f"{name} starts processes"


FAMILY_WORDS = re.compile(
    r"\b(sdxl|sd[ _]?1\.?[x5]?|sd15|flux|lumina|chroma|stable.?diffusion.?(1|xl|2|3))", re.IGNORECASE
)


def code_words(path: Path) -> list[str]:
    """Names and non-docstring strings of a file: help texts may name families, code may not."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    words = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    words += [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    words += [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    return words


def test_family_names_stand_only_where_they_may() -> None:
    allowed = ("trainer/families/", "trainer/contract/families/", "trainer/contract/catalog.py")
    allowed += ("trainer/contract/importers/", "trainer/tools/demo_model/", "gui/help/")
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(allowed):
            continue
        wrong = [word for word in code_words(path) if FAMILY_WORDS.search(word)]
        assert not wrong, f"{name} names a family: {wrong}"


def blocked(*modules: str) -> str:
    """Python text that makes importing these modules an error."""
    return f"import sys\nfor name in {modules!r}: sys.modules[name] = None\n"


TORCH_FREE = (
    "gui.app",
    "gui.headless",
    "gui.jobs",
    "trainer.contract.preset",
    "trainer.plan.plan",
    "trainer.report.view",
)


@pytest.mark.parametrize("module", TORCH_FREE)
def test_imports_without_torch(module: str) -> None:
    code = blocked("torch", "diffusers", "transformers", "accelerate") + f"import {module}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", STANDARD_ONLY)
def test_set_up_needs_only_the_standard_library(module: str) -> None:
    code = f"import sys\nsys.path = [p for p in sys.path if 'site-packages' not in p]\nimport {module}"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_stay_readable() -> None:
    """No file of code outgrows 400 lines; tables of data may."""
    long = {p.relative_to(ROOT).as_posix(): len(p.read_text(encoding="utf-8").splitlines()) for p in SOURCES}
    assert not {name: lines for name, lines in long.items() if lines > 400 and "optimizer_" not in name}
