"""Make the environment that Loratory runs in: `ensure(root)` returns its Python. Standard library only.

A checkout gets its own `.venv`, unless the Python that starts it already has everything in the pinned versions. PyTorch
comes first, in the build that suits the machine; the rest follows with `-c trainer/constraints.txt`. What is decided
(`choose_build`, `pip_commands`) is pure, from a `Machine` record; what is done stands in `ensure` and below.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from trainer import setup_pip, setup_problems, setup_stamp, setup_venv
from trainer.setup_machine import Card, Machine, PipConfig, nvidia_cards, probe
from trainer.setup_pip import InstallFailed, say
from trainer.setup_stamp import Stamp, site_packages, venv_python

TORCH_VERSION = "2.13.0"
TORCH_INDEX = "https://download.pytorch.org/whl/"


@dataclass(frozen=True)
class Build:
    """One published build of PyTorch. Sizes are of the whole installation; only the CPU's on Linux was measured."""

    name: str  # the folder of PyTorch's index and the version's suffix: cpu, cu130
    download_gb: float
    disk_gb: float
    measured: bool = False
    driver: int = 0  # oldest NVIDIA driver, major version
    capabilities: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))  # lowest and highest, inclusive


# Builds of 2.13: CUDA 12.6, 13.0 (13.2 experimental: only with --torch), ROCm 7.2, and the cards in each, from
# PyTorch's RELEASE.md (pytorch/pytorch pull requests 187075 and 182849): 12.6 has Maxwell 5.0 to Hopper 9.0, 13.0 has
# Turing 7.5 to Blackwell 12.0 and later. CUDA 12.8 is no longer built. Oldest drivers: 525 for CUDA 12, 580 for 13
# (docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html). The newest that fits comes first.
CUDA_BUILDS = (
    Build("cu130", 2.7, 7.0, driver=580, capabilities=((7, 5), (99, 9))),
    Build("cu126", 3.0, 8.0, driver=525, capabilities=((5, 0), (9, 0))),
)
ROCM_BUILD = Build("rocm7.2", 5.5, 18.0)
CPU_BUILD = Build("cpu", 0.4, 1.7, measured=True)
DEFAULT_BUILD = Build("default", 0.4, 1.8)  # no suffix: what the index gives; on a Mac the only one
BUILDS = {build.name: build for build in (*CUDA_BUILDS, ROCM_BUILD, CPU_BUILD, DEFAULT_BUILD)}

# GPUs in the ROCm 7 builds: PYTORCH_ROCM_ARCH (pytorch/pytorch pull requests 148562, 147761, 167299). Others, such as
# the graphics inside many Ryzen processors (gfx90c, gfx1036, gfx1103), are not in it and hang or crash when overridden.
ROCM_GPUS = frozenset(
    ("gfx908", "gfx90a", "gfx942", "gfx950", "gfx1030", "gfx1100")
    + ("gfx1101", "gfx1102", "gfx1150", "gfx1151", "gfx1200", "gfx1201")
)


def choose_build(machine: Machine, torch: str | None = None) -> tuple[Build, str]:
    """The build for this machine and one sentence why. `torch` is the user's own choice and always wins.

    Raises InstallFailed where a card is there but its driver is too old: a CPU build would be a silent disappointment.
    """
    if torch:
        return BUILDS.get(torch, Build(torch, 3.0, 8.0)), "chosen with --torch"
    if machine.system == "Darwin":
        return DEFAULT_BUILD, "Apple silicon"
    cards = nvidia_cards(machine.nvidia_smi)
    if cards:
        return _cuda_build(cards)
    usable = [gfx for gfx in machine.amd_gfx if gfx in ROCM_GPUS]
    if usable and machine.system == "Linux":
        return ROCM_BUILD, f"AMD GPU {', '.join(usable)}"
    return CPU_BUILD, _why_cpu(machine)


def _cuda_build(cards: list[Card]) -> tuple[Build, str]:
    names = ", ".join(card.name for card in cards)
    driver = min(card.driver for card in cards)

    def fitting(build: Build) -> int:
        low, high = build.capabilities
        return sum(card.capability is None or low <= card.capability <= high for card in cards)

    usable = [build for build in CUDA_BUILDS if driver >= build.driver and fitting(build)]
    if usable:
        return max(usable, key=fitting), f"{names}, driver {driver}"  # of equals, max takes the first: the newest
    wanted = [build.driver for build in CUDA_BUILDS if fitting(build)]
    if wanted:
        raise InstallFailed(
            f"The NVIDIA driver {driver} is too old for {names} with PyTorch {TORCH_VERSION}: install driver "
            f"{min(wanted)} or newer from nvidia.com and start again, or train on the processor alone with --torch cpu."
        )
    return CPU_BUILD, f"{names} is older than what PyTorch {TORCH_VERSION} supports (compute capability 5.0)"


def _why_cpu(machine: Machine) -> str:
    if machine.nvidia_smi is not None:
        first = (machine.nvidia_smi.splitlines() or ["no output"])[0]
        return f"nvidia-smi finds no working NVIDIA card ({first}): once it does, start with --torch cu130"
    if machine.amd_gfx:
        return f"the AMD GPU {', '.join(machine.amd_gfx)} is not in PyTorch's ROCm build"
    return "no NVIDIA card, nor an AMD one on Linux, was found; training on the processor is slow"


class Step(NamedTuple):
    """One phase of the installation: what is told, and pip commands of which the first that works is enough."""

    what: str
    tries: list[list[str]]


def pip_commands(
    python: str, root: Path, machine: Machine, config: PipConfig, extras: Iterable[str] = (), torch: str | None = None
) -> list[Step]:
    """The pip commands as argv lists; nothing is run.

    The user's own sources are asked first, with no index of ours: for the exact build, then for a plain torch where the
    public registry's plain build is the one wanted. Then PyTorch's index is *added* to pip's sources, because it lacks
    the pinned versions of the other packages; the suffix (2.13.0+cu130) then decides which build is taken.
    """
    build, _ = choose_build(machine, torch)
    pip = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    pip += ["--prefer-binary", "-c", str(root / "trainer" / "constraints.txt")]
    plain = [*pip, f"torch=={TORCH_VERSION}"]
    exact = [*pip, f"torch=={TORCH_VERSION}+{build.name}"]
    ours = [*exact, "--extra-index-url", TORCH_INDEX + build.name]
    if build is DEFAULT_BUILD:
        tries = [plain]
    elif config.no_index:
        tries = [exact, plain]
    elif not config.own_source:
        tries = [ours]
    elif build.name == ("cu130" if machine.system == "Linux" else "cpu"):  # what a plain torch 2.13.0 is
        tries = [exact, plain, ours]
    else:
        tries = [exact, ours, plain]
    torch_step = Step(f"PyTorch {TORCH_VERSION} ({build.name})", tries)
    rest = Step("The other packages", [[*pip, *setup_stamp.requirements(root, extras)]])
    return [torch_step, rest]


def ready(root: Path, extras: Iterable[str] = (), torch: str | None = None) -> Path | None:
    """The Python of a complete environment, or None; installs nothing (about 1 ms with a valid stamp).

    The user's own activated environment goes before ours, ours before what the system's Python may happen to have.
    """
    venv = root / ".venv"
    ours_runs = Path(sys.prefix) == venv
    valid = setup_stamp.valid(root, venv, extras, torch)
    if valid and (ours_runs or sys.prefix == sys.base_prefix):
        return venv_python(venv)
    if torch is None and not ours_runs and not setup_stamp.missing(root, extras, sys.path):
        return Path(sys.executable)
    return venv_python(venv) if valid else None


def ensure(root: Path, extras: Iterable[str] = (), torch: str | None = None, update: bool = False) -> Path:
    """The Python to run Loratory with; makes or repairs the environment first where needed.

    Raises InstallFailed with a text for the user. Presets and runs are never touched.
    """
    wanted, venv = frozenset(extras), root / ".venv"
    if update:
        say(setup_venv.pull(root))
    python = ready(root, wanted, torch)
    if python is not None and not update:
        return python
    if python is not None and python != venv_python(venv):
        say(f"This Python's packages are your own and up to date: {python}")
        return python
    with setup_venv.lock(root):
        if not update and setup_stamp.valid(root, venv, wanted, torch):  # another window made it meanwhile
            return venv_python(venv)
        return _install(root, wanted, torch, update)


def _install(root: Path, extras: frozenset[str], torch: str | None, update: bool) -> Path:
    venv, machine = root / ".venv", probe(root)
    before = setup_stamp.read(venv)
    if before:  # what was asked for once stays, until something else is asked
        extras, torch = extras | set(before.extras), torch or before.torch_asked
    build = _tell(machine, venv, torch)
    setup_venv.make(venv)
    setup_stamp.remove(venv)
    log, python = venv / "install.log", str(venv_python(venv))
    log.write_text("", encoding="utf-8")
    torch_step, rest = pip_commands(python, root, machine, setup_venv.pip_config(python), extras, torch)
    upgrade = ["--upgrade"] if update else []
    _install_torch(torch_step, build, venv, log, upgrade)
    output = setup_pip.run([*rest.tries[0], *upgrade], rest.what, log)
    if output is not None:
        raise setup_pip.failure(output, rest.what, log)
    stamp = Stamp(setup_stamp.key_of(root, venv), sorted(extras), torch)
    return setup_venv.finish(root, venv, stamp, log)


def _tell(machine: Machine, venv: Path, torch: str | None) -> Build:
    """Say what is about to happen and what it costs; raise where it cannot work."""
    build, why = choose_build(machine, torch)
    problems, repairing = setup_problems.find(machine), (venv / "pyvenv.cfg").exists()
    full = setup_problems.disk_too_full(machine.free_gb, build.disk_gb + build.download_gb, machine.root)
    if full and not repairing:
        problems.append(full)
    if problems:
        raise InstallFailed("\n".join(problems))
    for warning in setup_problems.find(machine, setup_problems.WARNINGS):
        say(warning)
    say(f"{'Completing' if repairing else 'Making'} Loratory's own environment in {venv}")
    say(f"PyTorch build: {build.name} ({why})")
    how = "measured" if build.measured else "estimated"
    say(f"At most about {build.download_gb:g} GB to download and {build.disk_gb:g} GB of disk ({how}).")
    return build


def _install_torch(step: Step, build: Build, venv: Path, log: Path, upgrade: list[str]) -> None:
    """Try the sources in turn until one gave a build that can use this machine's GPU."""
    output: str | None = "no source was tried"
    for number, argv in enumerate(step.tries):
        what = step.what if number == 0 else f"{step.what}, from another source"
        output = setup_pip.run([*argv, *upgrade], what, log)
        suits = build.name in ("cpu", "default") or setup_stamp.torch_build(site_packages(venv)) != "cpu"
        if output is None and suits:
            return
    if not setup_stamp.torch_build(site_packages(venv)):
        raise setup_pip.failure(output or "", step.what, log)
    say(f"Only PyTorch's build for the processor could be had, not {build.name}: training will be slow.")


def probes(root: Path) -> dict[str, dict[str, Any]]:
    """What the installation found out, as `{"xformers": {"works": bool, "reason": str}}`; read from the stamp.

    Asked again (a subprocess of some seconds, then remembered) only where xformers was added or changed since.
    """
    return setup_venv.probes(root)


def torch_build(where: list[str]) -> str:
    """Which build of torch lies in these folders, without importing it: cpu, cu130, rocm7.2, or ""."""
    return setup_stamp.torch_build(where)


def xformers_works(python: Path) -> tuple[bool, str]:
    """Does xformers load beside this torch? And why not, in one sentence."""
    return setup_venv.xformers_works(python)
