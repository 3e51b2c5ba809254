"""What this computer is, as one record: everything the installer decides follows from it.

Facts are gathered here (`probe`) and judged elsewhere (`install.choose_build`, `setup_problems.find`), so that every
decision can be tested from recorded probes of machines that the tests do not run on. Standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

NVIDIA_QUERY = ("--query-gpu=driver_version,name,compute_cap", "--format=csv,noheader")
KFD_NODES = Path("/sys/class/kfd/kfd/topology/nodes")


@dataclass(frozen=True)
class Machine:
    """Facts about a computer, its Python and the folder Loratory lies in; the defaults are an ordinary Linux PC."""

    system: str = "Linux"  # as platform.system(): Linux, Windows, Darwin
    arch: str = "x86_64"  # as platform.machine(): x86_64, AMD64, aarch64, arm64
    python: tuple[int, int] = (3, 12)
    bits: int = 64
    free_threaded: bool = False
    base_prefix: str = "/usr"  # the folder of the Python that would make the environment
    has_ensurepip: bool = True  # Debian splits it off into python3-venv
    root: str = "/home/ada/loratory"
    root_writable: bool = True
    long_paths: bool = True  # Windows: paths over 260 characters are allowed
    onedrive: tuple[str, ...] = ()  # Windows: the folders that OneDrive synchronises
    free_gb: float = 100.0
    nvidia_smi: str | None = None  # its output; None where the program is absent
    amd_gfx: tuple[str, ...] = ()  # targets of AMD GPUs that the Linux kernel offers, as gfx1100

    @property
    def windows(self) -> bool:
        return self.system == "Windows"


def probe(root: Path) -> Machine:
    """Look at this computer. Starts `nvidia-smi` where there is one (0.1-2 s, given up after 20 s)."""
    return Machine(
        system=platform.system(),
        arch=platform.machine(),
        python=sys.version_info[:2],
        bits=struct.calcsize("P") * 8,
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        base_prefix=sys.base_prefix,
        has_ensurepip=importlib.util.find_spec("ensurepip") is not None,
        root=str(root),
        root_writable=_writable(root),
        long_paths=_long_paths(),
        onedrive=tuple(sorted({os.environ[name] for name in _ONEDRIVE if os.environ.get(name)})),
        free_gb=shutil.disk_usage(root).free / 1e9,
        nvidia_smi=run_nvidia_smi(nvidia_smi_paths(os.environ)),
        amd_gfx=read_kfd(KFD_NODES),
    )


_ONEDRIVE = ("OneDrive", "OneDriveConsumer", "OneDriveCommercial")


def _writable(folder: Path) -> bool:
    """Write for real: on Windows `os.access` does not see the folder's access list."""
    trial = folder / f".write-test-{os.getpid()}"
    try:
        trial.write_bytes(b"")
        trial.unlink()
    except OSError:
        return False
    return True


def _long_paths() -> bool:
    if sys.platform != "win32":
        return True
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return winreg.QueryValueEx(key, "LongPathsEnabled")[0] == 1
    except OSError:
        return False


def nvidia_smi_paths(environ: dict[str, str] | os._Environ[str]) -> list[str]:
    """Where `nvidia-smi` may lie: on PATH, in Windows' system folder (not always on PATH), in WSL's own folder."""
    places = [shutil.which("nvidia-smi", path=environ.get("PATH"))]
    if environ.get("SystemRoot"):
        places.append(str(Path(environ["SystemRoot"]) / "System32" / "nvidia-smi.exe"))
    places.append("/usr/lib/wsl/lib/nvidia-smi")
    return [place for place in places if place and Path(place).is_file()]


def run_nvidia_smi(paths: list[str], timeout_s: float = 20) -> str | None:
    """The output of the first `nvidia-smi`; its error text where the driver does not answer; None without one."""
    for path in paths:
        try:
            done = subprocess.run(
                [path, *NVIDIA_QUERY],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {timeout_s:g} s"
        except OSError as error:
            return str(error)
        return done.stdout.decode("utf-8", "replace").strip()
    return None


def read_kfd(nodes: Path) -> tuple[str, ...]:
    """AMD GPU targets from the kernel's own list; `gfx_target_version 90010` is 9.0.10, written gfx90a."""
    found = []
    for properties in sorted(nodes.glob("*/properties")):
        try:
            text = properties.read_text(encoding="utf-8")
        except OSError:
            continue
        match = re.search(r"^gfx_target_version (\d+)$", text, re.MULTILINE)
        if match and int(match[1]):
            major, rest = divmod(int(match[1]), 10000)
            minor, stepping = divmod(rest, 100)
            found.append(f"gfx{major}{minor:x}{stepping:x}")
    return tuple(found)


@dataclass(frozen=True)
class Card:
    """One NVIDIA card: driver major version (the same for all cards), name, compute capability."""

    driver: int
    name: str
    capability: tuple[int, int] | None


def nvidia_cards(smi_output: str | None) -> list[Card]:
    """Rows of `driver, name, capability`; a row that is none (an error text) is no card. Names may hold commas."""
    cards = []
    for line in (smi_output or "").splitlines():
        match = re.fullmatch(r"(\d+)\.[\d.]+, (.+), (?:(\d+)\.(\d+)|\[.*\])", line.strip())
        if match:
            driver, name, major, minor = match.groups()
            cards.append(Card(int(driver), name, (int(major), int(minor)) if major else None))
    return cards


@dataclass(frozen=True)
class PipConfig:
    """What matters of the user's own pip configuration: does it name sources, does it forbid indexes."""

    own_source: bool = False
    no_index: bool = False


def parse_pip_config(text: str) -> PipConfig:
    """Read the output of `pip config list`, which holds files and PIP_* variables alike (as `:env:.`).

    Only whether a source is named is kept: such addresses may hold passwords.
    """
    keys = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.strip().rpartition(".")
        if section in ("global", "install", ":env:"):
            keys[key.replace("_", "-")] = value.strip().strip("'\"")
    no_index = keys.get("no-index", "").lower() in ("1", "true", "yes", "on")
    sources = ("index-url", "extra-index-url", "find-links")
    return PipConfig(own_source=no_index or any(keys.get(key) for key in sources), no_index=no_index)
