"""The run folder: the only thing that the page and the trainer share. Its layout, its control files, its state."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from .shape import fitting

State = Literal["starting", "running", "done", "stopped", "paused", "failed", "interrupted"]
Request = Literal["stop", "pause", "save", "sample"]
Kind = Literal[
    "training", "preflight", "captioning", "generating", "inspect", "merge", "merge-into", "extract", "resize",
    "convert", "metadata", "verify", "upload",
]  # fmt: skip

SAME_START_S = 10.0
"""Two readings of one process's start time differ by less, even where the clock was set meanwhile (WSL, NTP)."""

LATEST_S = 3e10
"""The year 2920: no system's calendar goes much further."""

EXIT_DONE, EXIT_CRASHED, EXIT_SETTINGS, EXIT_DATA, EXIT_RED, EXIT_STOPPED = 0, 1, 2, 3, 4, 130


def write_whole(path: Path, data: bytes | str, sync: bool = False) -> None:
    """Write a file whole or not at all: a temporary neighbour, then `os.replace`, tried again for two seconds where
    another process holds the old one open (Windows). Two threads may write the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
    try:
        with open(beside, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        replace_file(beside, path)
        if sync:
            sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def replace_file(source: Path, target: Path, patience_s: float = 2.0) -> None:
    """`os.replace` that waits for a reader to let go of the target."""
    until = time.monotonic() + patience_s
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def sync_folder(folder: Path) -> None:
    """Let a file's new name outlast a power cut; Windows does that by itself, some file systems not at all."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def read_patiently(path: Path, patience_s: float = 0.5) -> str:
    """A small UTF-8 file, tried again for a moment where it is just being replaced (Windows refuses access then)."""
    until = time.monotonic() + patience_s
    while True:
        try:
            return path.read_text(encoding="utf-8")
        except PermissionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


class Content(Protocol):
    """What a file of a run folder is to hold."""

    def write(self, path: Path) -> None:
        """Write the file whole or not at all; OSError where it cannot be written."""
        ...

    def hold(self) -> int:
        """Own all data, since it will be written later only; returns their bytes."""
        ...


@dataclass(frozen=True)
class Whole:
    """The content of a file that is in memory anyway."""

    data: bytes
    sync: bool = False

    def write(self, path: Path) -> None:
        """Write the file whole or not at all."""
        write_whole(path, self.data, self.sync)

    def hold(self) -> int:
        """Bytes never change: nothing to do."""
        return len(self.data)


@dataclass(frozen=True)
class RunState:
    """What `run.json` holds. `pid` with `process_started` names the trainer's process beyond doubt. `kind`: what the
    trainer is to do, with the folder's preset or its task (`trainer/contract/tasks.py`). `worked_s`: seconds at work
    before it was last gone on with. `engine`: the other program that trains, "" for our own trainer."""

    name: str
    kind: Kind = "training"
    state: State = "starting"
    pid: int = 0
    process_started: float = 0.0
    created: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    worked_s: float = 0.0
    exit_code: int | None = None
    cause: str = ""
    step: int = 0
    total_steps: int = 0
    threads: int = 0
    device: str = ""
    adapter: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    preset_title: str = ""
    engine: str = ""

    def text(self) -> str:
        """As it stands in the file."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)


_TIMES = ("process_started", "created", "started", "ended")


def slug(name: str) -> str:
    """A name that every file system takes: letters, digits, `._-`, at most 80 characters, never empty."""
    cleaned = re.sub(r"[^\w.-]+", "-", name, flags=re.UNICODE).strip("-. ")[:80]
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", cleaned)
    return f"_{cleaned}" if reserved else (cleaned or "run")


class RunDir:
    """Paths and small files of one run folder. Creating the object touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.preset = self.path / "preset.toml"
        self.task = self.path / "task.json"
        self.state_file = self.path / "run.json"
        self.events = self.path / "events.jsonl"
        self.console = self.path / "console.log"
        self.control = self.path / "control"
        self.samples = self.path / "samples"
        self.checkpoints = self.path / "checkpoints"
        self._taken: dict[str, tuple[int, int]] = {}
        self.report = self.path / "report.html"

    @classmethod
    def create(cls, runs: Path, name: str) -> RunDir:
        """A new folder `<runs>/<name>-<date>-<time>`, with a number behind it if two start in the same second.

        OSError where `runs` cannot be written."""
        run = cls.reserve(runs, name)
        run.furnish(name)
        return run

    @classmethod
    def reserve(cls, runs: Path, name: str) -> RunDir:
        """As `create`, with nothing in the folder: it counts as a run once it is furnished."""
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        for number in range(1, 1000):
            path = Path(runs) / (f"{slug(name)}-{stamp}" + (f"-{number}" if number > 1 else ""))
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            return cls(path)
        raise FileExistsError(f"{runs} holds a thousand runs of this second")

    def furnish(self, name: str) -> None:
        """Put into a new folder what every run has."""
        for folder in (self.control, self.samples):
            folder.mkdir(parents=True, exist_ok=True)
        self.write_state(RunState(name=slug(name), created=time.time()))

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    def inside(self, file: str) -> Path | None:
        """The file of the folder that an event names, or None where it would lie outside: the folder may come from
        anybody."""
        try:
            path = (self.path / file).resolve()
            return path if path.is_relative_to(self.path.resolve()) else None
        except (OSError, ValueError):
            return None

    def read_state(self) -> RunState:
        """`run.json` as it is; FileNotFoundError or ValueError where there is none."""
        try:
            values = fitting(RunState, json.loads(read_patiently(self.state_file)))
            if not all(0 <= float(values.get(name, 0)) < LATEST_S for name in _TIMES):
                raise ValueError("its times are none")
            return RunState(**values)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{self.state_file} is damaged: {error}") from None

    def write_state(self, state: RunState) -> None:
        """Replace `run.json` as a whole."""
        self.put(self.state_file, Whole(state.text().encode(), sync=True))

    def put(self, path: Path, content: Content, then: Callable[[], None] = lambda: None) -> None:
        """Write a file of this folder, then call `then`. OSError where that fails: `trainer/saving/keep.py` has the
        folder of a run at work, which holds what cannot be written."""
        content.write(path)
        then()

    def state_wanted(self) -> bool:
        """Whether a full state should be written now because those before are gone; asked once after each step."""
        return False

    def get(self, path: Path) -> bytes:
        """What `put` was given for a file, or what is in it."""
        return path.read_bytes()

    def update_state(self, **changes: Any) -> RunState:
        """Change some values of `run.json`; returns the new state."""
        state = replace(self.read_state(), **changes)
        self.write_state(state)
        return state

    def events_bytes(self) -> int:
        """Length of `events.jsonl`; 0 where there is none yet."""
        return self.events.stat().st_size if self.events.is_file() else 0

    def request(self, what: Request, text: str = "") -> None:
        """Ask the trainer for something; it is read at the next step boundary."""
        write_whole(self.control / what, text)

    def peek(self, what: Request) -> str | None:
        """The text of a pending request, which stays; None without one."""
        try:
            path = self.control / what
            return None if self._taken.get(what) == _mark(path) else path.read_text(encoding="utf-8")
        except OSError:
            return None

    def take(self, what: Request) -> str | None:
        """The text of a pending request, which is thereby taken; None without one. For the trainer's rank 0.

        One that cannot be removed (another program has it open, or the disk is read-only now) is not taken again."""
        path, text = self.control / what, self.peek(what)
        if text is not None:
            with contextlib.suppress(OSError):
                self._taken[what] = _mark(path)
                path.unlink()
                del self._taken[what]
        return text

    def process_runs(self) -> bool:
        """Whether the trainer that wrote `run.json` is alive: same pid *and* same start time."""
        state = self.read_state()
        return state.pid > 0 and abs(process_start(state.pid) - state.process_started) < SAME_START_S

    def current_state(self) -> RunState:
        """`run.json`, with "interrupted" for a run whose process is gone without a word. A run that has not written its
        pid within two minutes counts as gone too."""
        state = self.read_state()
        if state.state in ("starting", "running"):
            young = state.pid == 0 and time.time() - max(state.created, state.started) < 120
            if not young and not self.process_runs():
                return replace(state, state="interrupted", cause=state.cause or "its process is gone")
        return state


def rescue_folders(run_id: str) -> list[Path]:
    """Where a run's files are put while its own folder cannot be written: the first of them that can be."""
    return [home / "loratory-rescued" / run_id for home in (Path.home(), Path(tempfile.gettempdir()))]


def _mark(path: Path) -> tuple[int, int]:
    """What tells a file from one of the same name that is written later."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_ino


def process_start(pid: int) -> float:
    """Start time of a process in seconds since 1970, or 0.0 where it is gone (a zombie counts as gone)."""
    import psutil

    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return 0.0


def find_runs(runs: Path) -> list[RunDir]:
    """All run folders below `runs`, newest first."""
    if not Path(runs).is_dir():
        return []
    found = [RunDir(path) for path in Path(runs).iterdir() if (path / "run.json").is_file()]
    return sorted(found, key=_created, reverse=True)


def _created(run: RunDir) -> float:
    try:
        return run.read_state().created
    except (OSError, ValueError, TypeError):
        return 0.0
