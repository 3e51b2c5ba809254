"""The environment itself: make it, lock it, finish and probe it, and update the checkout. Standard library only."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer import setup_pip, setup_stamp
from trainer.contract.lock import try_lock
from trainer.setup_machine import PipConfig, parse_pip_config
from trainer.setup_pip import InstallFailed, say
from trainer.setup_stamp import Stamp, site_packages, venv_python

VC_REDISTRIBUTABLE = (
    "\nOn Windows this is most often the missing Microsoft Visual C++ Redistributable: install "
    "https://aka.ms/vs/17/release/vc_redist.x64.exe and start again."
)


def make(venv: Path) -> None:
    """Create the environment; make it anew where its Python no longer starts (the system's Python was replaced)."""
    python = venv_python(venv)
    if python.exists() and _output([str(python), "-m", "pip", "--version"])[0] == 0:
        return
    code, text = _output([sys.executable, "-m", "venv", "--clear", str(venv)])
    if code:
        raise setup_pip.failure(text, "Making the environment", venv / "install.log")


def pip_config(python: str) -> PipConfig:
    """The user's own pip settings, as pip itself reads them from its files and PIP_* variables."""
    return parse_pip_config(_output([python, "-m", "pip", "--disable-pip-version-check", "config", "list"])[1])


def finish(root: Path, venv: Path, stamp: Stamp, log: Path) -> Path:
    """Check that everything is there and that torch starts; then, last of all, write the stamp."""
    python, where = venv_python(venv), site_packages(venv)
    lacking = setup_stamp.missing(root, stamp.extras, where)
    if lacking:
        raise InstallFailed(f"After the installation these are still missing: {', '.join(lacking)}. The log: {log}")
    output = setup_pip.run([str(python), "-c", "import torch; print(torch.__version__)"], "First start of PyTorch", log)
    if output is not None:
        text = str(setup_pip.failure(output, "Starting PyTorch", log))
        raise InstallFailed(text + (VC_REDISTRIBUTABLE if sys.platform == "win32" else ""))
    stamp.torch_build = setup_stamp.torch_build(where)
    stamp.probes = {"xformers": _xformers_probe(python, where)}
    setup_stamp.write(venv, stamp)
    say("The environment is complete.")
    return python


def probes(root: Path) -> dict[str, dict[str, Any]]:
    """See trainer.install.probes."""
    venv = root / ".venv"
    ours = Path(sys.prefix) == venv or sys.prefix == sys.base_prefix
    stamp = setup_stamp.read(venv) if ours else None
    python, where = (venv_python(venv), site_packages(venv)) if stamp else (Path(sys.executable), sys.path)
    known = stamp.probes.get("xformers", {}) if stamp else {}
    if known.get("version", "never asked") != setup_stamp.installed_version("xformers", where):
        known = _xformers_probe(python, where)
        if stamp:
            stamp.probes["xformers"] = known
            setup_stamp.write(venv, stamp)
    return {"xformers": {"works": known["works"], "reason": known["reason"]}}


def _xformers_probe(python: Path, where: list[str]) -> dict[str, Any]:
    version = setup_stamp.installed_version("xformers", where)
    works, reason = (False, "xformers is not installed") if version is None else xformers_works(python)
    return {"works": works, "reason": reason, "version": version}


def xformers_works(python: Path) -> tuple[bool, str]:
    """Import it in a process of its own: a mismatched build crashes or prints instead of raising."""
    check = (
        "import torch, xformers.ops\n"
        "from xformers import _cpp_lib\n"
        "error = getattr(_cpp_lib, '_cpp_library_load_exception', None)\n"
        "assert error is None, error\n"
        "assert torch.cuda.is_available(), 'xformers needs an NVIDIA GPU'\n"
        "q = torch.zeros(1, 16, 1, 64, device='cuda', dtype=torch.float16)\n"
        "xformers.ops.memory_efficient_attention(q, q, q)\n"
    )
    code, text = _output([str(python), "-c", check], timeout_s=120)
    if code == 0:
        return True, "xformers works"
    last = (text.strip().splitlines() or [f"exit code {code}"])[-1]
    if "No module named 'xformers'" in last:
        return False, "xformers is not installed"
    return False, f"xformers does not work with this PyTorch: {last[:200]}"


def pull(root: Path) -> str:
    """Bring a git checkout to its newest state, only where that is a plain step forward; says what it did."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return "This folder is no git checkout: only the packages are updated. Newer Loratory: download it again."
    code, text = _output([git, "-C", str(root), "pull", "--ff-only"], timeout_s=300)
    last = (text.strip().splitlines() or ["no output"])[-1]
    return (
        f"git pull: {last}" if code == 0 else f"Loratory itself was not updated (git pull: {last}); the packages are."
    )


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """One installation at a time (a second double-click while the first works); the system frees it at any end."""
    try:
        file = (root / ".install.lock").open("w", encoding="utf-8")
    except OSError:
        yield  # not writable: the checks that follow say so in better words
        return
    with file:
        if not try_lock(file.fileno()):
            say("Another window is installing already; waiting for it ...")
            while not try_lock(file.fileno(), wait=True):
                pass
        yield


def _output(argv: list[str], timeout_s: float = 600) -> tuple[int, str]:
    """Exit code and everything printed; a program that cannot start or hangs is exit code 1 with the reason."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**setup_pip.clean_environment(), "GIT_TERMINAL_PROMPT": "0"},
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout.decode("utf-8", "replace")
