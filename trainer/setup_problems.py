"""Why an installation would fail on this machine, each in one sentence with the fix, before anything is downloaded.

Pure functions over a `Machine`, so that the Windows ones are tested as a table of recorded machines.
"""

from __future__ import annotations

from collections.abc import Callable

from trainer.setup_machine import Machine

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 14)
GOOD_PYTHON = "Python 3.12 (64-bit) from python.org"

# The longest path below the checkout after an installation is 207 characters on Linux (a licence inside torch);
# Windows' own layout (Lib\site-packages) is 11 shorter.
LONGEST_INSTALLED = 196
WINDOWS_PATH_LIMIT = 259


def python_too_old(m: Machine) -> str | None:
    if m.python >= OLDEST_PYTHON:
        return None
    return (
        f"Loratory needs Python 3.11 or newer and this is {_version(m)}: install {GOOD_PYTHON} and start again with it."
    )


def python_too_new(m: Machine) -> str | None:
    if m.python <= NEWEST_PYTHON:
        return None
    return (
        f"This is Python {_version(m)}, for which not all pinned packages are known to exist (tried up to "
        f"{NEWEST_PYTHON[0]}.{NEWEST_PYTHON[1]}): install {GOOD_PYTHON} beside it and start with that one."
    )


def python_32_bit(m: Machine) -> str | None:
    if m.bits == 64:
        return None
    return f"This is a 32-bit Python, for which PyTorch does not exist: install {GOOD_PYTHON} and start again with it."


def python_free_threaded(m: Machine) -> str | None:
    if not m.free_threaded:
        return None
    return f"This is a free-threaded Python, for which not all packages exist: install the ordinary {GOOD_PYTHON}."


def store_python(m: Machine) -> str | None:
    prefix = m.base_prefix.replace("/", "\\").lower()
    if not (m.windows and "\\windowsapps\\" in prefix + "\\"):
        return None
    return (
        "This is the Microsoft Store's Python, which keeps its files where other programs cannot see them: "
        f"install {GOOD_PYTHON}, tick 'Add python.exe to PATH', and start again."
    )


def ensurepip_missing(m: Machine) -> str | None:
    if m.has_ensurepip:
        return None
    major, minor = m.python
    return (
        "This Python cannot make environments because its 'venv' part is missing: on Debian or Ubuntu run "
        f"'sudo apt install python{major}.{minor}-venv', elsewhere install {GOOD_PYTHON}, and start again."
    )


def mac_with_intel(m: Machine) -> str | None:
    if m.system != "Darwin" or m.arch == "arm64":
        return None
    return (
        "PyTorch no longer exists for Intel Macs, nor for an Intel Python on Apple silicon: "
        f"on an M-series Mac install the universal {GOOD_PYTHON}; on an Intel Mac Loratory cannot run."
    )


def path_too_long(m: Machine) -> str | None:
    if not m.windows or m.long_paths or len(m.root) + 1 + LONGEST_INSTALLED <= WINDOWS_PATH_LIMIT:
        return None
    longest = WINDOWS_PATH_LIMIT - LONGEST_INSTALLED - 1
    return (
        f"The folder's path has {len(m.root)} characters, so that installed files would pass Windows' limit of 260: "
        f"move Loratory to a shorter path (at most {longest} characters, such as C:\\Loratory)."
    )


def inside_onedrive(m: Machine) -> str | None:
    root = m.root.replace("/", "\\").lower() + "\\"
    folders = [folder.replace("/", "\\").lower().rstrip("\\") + "\\" for folder in m.onedrive]
    named_so = any(part == "onedrive" or part.startswith("onedrive - ") for part in root.split("\\"))
    if not m.windows or not (named_so or any(root.startswith(folder) for folder in folders)):
        return None
    return (
        "Loratory lies in a OneDrive folder, which would upload gigabytes and lock files while training: "
        "move it out, for example to C:\\Loratory."
    )


def not_writable(m: Machine) -> str | None:
    if m.root_writable:
        return None
    return f"Nothing can be written in {m.root}: move Loratory to a folder of your own, or correct its permissions."


def non_ascii_path(m: Machine) -> str | None:
    if not m.windows or m.root.isascii():
        return None
    return (
        f"The path {m.root} holds letters beyond plain English ones, which some compiled libraries cannot open on "
        "Windows: if something fails, move Loratory to a plain path such as C:\\Loratory."
    )


Check = Callable[[Machine], "str | None"]
BLOCKING: tuple[Check, ...] = (
    python_too_old,
    python_too_new,
    python_32_bit,
    python_free_threaded,
    store_python,
    ensurepip_missing,
    mac_with_intel,
    path_too_long,
    inside_onedrive,
    not_writable,
)
WARNINGS: tuple[Check, ...] = (non_ascii_path,)


def find(machine: Machine, checks: tuple[Check, ...] = BLOCKING) -> list[str]:
    """All sentences that hold for this machine, in the table's order."""
    return [sentence for check in checks if (sentence := check(machine))]


def disk_too_full(free_gb: float, needed_gb: float, root: str) -> str | None:
    if free_gb >= needed_gb:
        return None
    return (
        f"The disk of {root} has {free_gb:.1f} GB free and the installation needs about {needed_gb:.1f} GB: "
        "free some space, or move Loratory to a larger disk."
    )


def _version(m: Machine) -> str:
    return f"{m.python[0]}.{m.python[1]}"
