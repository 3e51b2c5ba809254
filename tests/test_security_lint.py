"""What no file of this project may do: hand text to a shell, run text as code, unpickle. Found in the syntax tree, so
neither a comment nor another name for an import hides or fakes it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("gui", "trainer", "benchmarks", "tests")

FORBIDDEN = {
    "os.system": "hands text to a shell",
    "os.popen": "hands text to a shell",
    "subprocess.getoutput": "hands text to a shell",
    "subprocess.getstatusoutput": "hands text to a shell",
    "asyncio.create_subprocess_shell": "hands text to a shell",
    "eval": "runs text as code",
    "exec": "runs text as code",
    "builtins.eval": "runs text as code",
    "builtins.exec": "runs text as code",
    "pickle.load": "unpickles",
    "pickle.loads": "unpickles",
    "pickle.Unpickler": "unpickles",
    "dill.load": "unpickles",
    "joblib.load": "unpickles",
    "shelve.open": "unpickles",
    "marshal.loads": "unpickles",
    "yaml.load": "builds any object",
    "yaml.unsafe_load": "builds any object",
}

ALLOWED = {
    ("tests/unit/families/test_recognise_models.py", "pickle.loads"): "proves that the test's own bomb is a real one"
}


def files() -> list[Path]:
    own = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return sorted([ROOT / "launch.py", *own])


def names_of(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for: `from os import system as s` makes `s` os.system."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                names[one.asname or one.name.partition(".")[0]] = one.name if one.asname else one.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                names[one.asname or one.name] = f"{node.module}.{one.name}"
    return names


def full_name(node: ast.expr, names: dict[str, str]) -> str:
    """`sp.run` as "subprocess.run"; "" for what is no plain name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        before = full_name(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    return ""


def faults(source: str) -> Iterator[tuple[int, str]]:
    """Line and fault of every forbidden use."""
    tree = ast.parse(source)
    names = names_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            name = full_name(node, names)
            if name in FORBIDDEN:
                yield node.lineno, f"{name} {FORBIDDEN[name]}"
        if isinstance(node, ast.Call):
            yield from call_faults(node, full_name(node.func, names))


def call_faults(node: ast.Call, name: str) -> Iterator[tuple[int, str]]:
    given = {word.arg: word.value for word in node.keywords}
    shell = given.get("shell")
    if shell is not None and not (isinstance(shell, ast.Constant) and not shell.value):
        yield node.lineno, f"{name}(shell=...) hands text to a shell"
    if name == "torch.load" and not is_true(given.get("weights_only")):
        yield node.lineno, "torch.load without weights_only=True unpickles"
    if name in ("numpy.load", "np.load") and is_true(given.get("allow_pickle")):
        yield node.lineno, "numpy.load(allow_pickle=True) unpickles"


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_dangerous_is_used(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    allowed = {use for file, use in ALLOWED if file == name}
    told = faults(path.read_text(encoding="utf-8"))
    found = [f"line {line}: {fault}" for line, fault in told if fault.split()[0] not in allowed]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.system('x')",
        "from os import system as s\ns('x')",
        "import subprocess as sp\nsp.run('x', shell=True)",
        "import subprocess\nsubprocess.Popen('x', shell=bool(1))",
        "eval('1')",
        "f = exec",
        "import pickle\npickle.load(open('x'))",
        "from pickle import loads\nmap(loads, [])",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
    ],
)
def test_the_check_finds(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "import subprocess\nsubprocess.run(['x'], shell=False)",
        "import torch\ntorch.load('x', weights_only=True)",
        "import pickletools\npickletools.genops(b'')",
        "# os.system('x')",
    ],
)
def test_the_check_lets_pass(source: str) -> None:
    assert list(faults(source)) == []
