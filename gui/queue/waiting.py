"""The queue: runs that wait for their turn, as files in `<runs>/.queue/`, for page, terminal and worker alike.

`queue.json` holds all entries in their order and is written whole, so that one write is one change and nothing can stop
in between two halves of it. `<id>.toml` beside it is an entry's preset, resolved as it was when it was added. Whoever
changes something holds the lock; the worker (`gui/queue/worker.py`) is only one of them.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from trainer.contract import preset as presets
from trainer.contract.lock import try_lock
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import read_patiently, write_whole
from trainer.contract.settings import Preset
from trainer.contract.shape import fitting

State = Literal["waiting", "held", "running", "paused", "done", "stopped", "failed", "removed"]

UNSTARTED: tuple[State, ...] = ("waiting", "held")
OVER: tuple[State, ...] = ("done", "stopped", "failed")

KEPT_REMOVED_S = 86400.0
"""How long an entry that was removed can be put back."""


@dataclass(frozen=True)
class Entry:
    """One run of the queue. `gpus`: its `hardware.gpus`. `run`: id of its run folder, "" before it was started.
    `cause`: why it failed or stopped. `engine`: the other program that trains it, "" for our own.
    `last`: nothing behind it starts, and the queue is held once it has ended.
    `tries`: how often it was found interrupted at `at_step` and gone on with. `was`: its state before removal."""

    id: str
    name: str
    gpus: str = "auto"
    state: State = "waiting"
    added: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    run: str = ""
    cause: str = ""
    engine: str = ""
    last: bool = False
    tries: int = 0
    at_step: int = 0
    was: State = "waiting"


@dataclass(frozen=True)
class Queue:
    """All entries in their order. `on`: whether waiting ones are started."""

    entries: tuple[Entry, ...] = ()
    on: bool = True

    def of(self, *states: State) -> list[Entry]:
        """The entries in these states, in their order."""
        return [entry for entry in self.entries if entry.state in states]

    def find(self, id: str) -> Entry:
        """The entry of this id. Problems where there is none (any more)."""
        for entry in self.entries:
            if entry.id == id:
                return entry
        raise Problems([Problem("queue", "that entry is not in the queue any more", "look at the list again")])

    def with_entry(self, entry: Entry) -> Queue:
        """The queue with an entry's new values in its place."""
        return replace(self, entries=tuple(entry if old.id == entry.id else old for old in self.entries))

    def text(self) -> str:
        """As it stands in the file."""
        values = {"on": self.on, "entries": [asdict(entry) for entry in self.entries]}
        return json.dumps(values, indent=1, ensure_ascii=False)


def folder_of(runs: Path) -> Path:
    """Where the queue of a runs folder lies."""
    return Path(runs) / ".queue"


def preset_file(runs: Path, entry: Entry) -> Path:
    """The preset of an entry as it was when it was added."""
    return folder_of(runs) / f"{entry.id}.toml"


def read(runs: Path) -> Queue:
    """The queue as it is; an empty one where there is none. Problems where its file is damaged."""
    path = folder_of(runs) / "queue.json"
    try:
        values = json.loads(read_patiently(path))
        entries = tuple(Entry(**fitting(Entry, each)) for each in values["entries"])
        if not all(_plain(entry.id) and (not entry.run or _plain(entry.run)) for entry in entries):
            raise ValueError("a name in it is none")
        return Queue(entries, bool(values.get("on", True)))
    except FileNotFoundError:
        return Queue()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        fix = "move that file away to begin a new queue; the presets of the old one stay beside it"
        raise Problems([Problem("queue", f"{path} cannot be read: {error}", fix)]) from None


def _plain(name: str) -> bool:
    return name not in ("", ".", "..") and not set(name) & set("/\\:\0")


@contextmanager
def locked(runs: Path) -> Iterator[None]:
    """Nobody else changes the queue meanwhile, in whatever process."""
    folder = folder_of(runs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "ab")  # noqa: SIM115 - closed below, and an error here is another than one inside
    except OSError as error:
        fix = "choose another folder with --runs, or make room or rights there"
        raise Problems([Problem("runs", f"the queue in {folder} cannot be written: {error}", fix)]) from None
    with file:
        if not try_lock(file.fileno(), wait=True):
            raise Problems([Problem("queue", f"{folder} is being changed by somebody else", "try again")])
        yield


def change(runs: Path, edit: Callable[[Queue], Queue]) -> Queue:
    """Replace the queue by what `edit` makes of it; returns that. Problems are those of `edit`, and where the queue
    cannot be read or written."""
    with locked(runs):
        before = read(runs)
        after = edit(before)
        if after != before:
            _write(runs, after)
        return after


def _write(runs: Path, queue: Queue) -> None:
    try:
        write_whole(folder_of(runs) / "queue.json", queue.text(), sync=True)
    except OSError as error:
        why = f"the queue in {folder_of(runs)} cannot be written: {error}"
        raise Problems([Problem("queue", why, "make room or rights there")]) from None


def add(runs: Path, resolved: Sequence[Preset], engine: str = "") -> list[Entry]:
    """Put presets, resolved and checked, behind all others; returns their entries. All of them or none. `engine`: the
    program that is to train them, "" for our own."""
    now = time.time()
    entries = [_entry(preset, now, engine) for preset in resolved]

    def edit(queue: Queue) -> Queue:
        for entry, preset in zip(entries, resolved):
            write_whole(preset_file(runs, entry), presets.dumps(preset), sync=True)
        return replace(_swept(runs, queue), entries=(*_swept(runs, queue).entries, *entries))

    try:
        change(runs, edit)
    except OSError as error:
        why = f"the queue in {folder_of(runs)} cannot be written: {error}"
        raise Problems([Problem("queue", why, "make room or rights there")]) from None
    return entries


def _entry(preset: Preset, now: float, engine: str) -> Entry:
    id = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
    return Entry(id, str(preset.saving.name), preset.hardware.gpus, added=now, engine=engine)


def _swept(runs: Path, queue: Queue) -> Queue:
    """Without what was removed long ago."""
    old = [entry for entry in queue.of("removed") if entry.ended < time.time() - KEPT_REMOVED_S]
    for entry in old:
        preset_file(runs, entry).unlink(missing_ok=True)
    return replace(queue, entries=tuple(entry for entry in queue.entries if entry not in old))


def _refuse_unless(entry: Entry, states: Sequence[State], what: str) -> None:
    if entry.state not in states:
        raise Problems([Problem("queue", f"{entry.name} cannot be {what}: it is {entry.state}", "look at the list")])


def hold(queue: Queue, id: str) -> Queue:
    """Let an entry keep its place and not be started."""
    entry = queue.find(id)
    _refuse_unless(entry, UNSTARTED, "held")
    return queue.with_entry(replace(entry, state="held"))


def release(queue: Queue, id: str) -> Queue:
    """Let an entry that was held wait for its turn again."""
    entry = queue.find(id)
    _refuse_unless(entry, UNSTARTED, "released")
    return queue.with_entry(replace(entry, state="waiting"))


def stop_after(queue: Queue, id: str) -> Queue:
    """Let the queue be held once this entry has ended; asked again, let it go on."""
    entry = queue.find(id)
    _refuse_unless(entry, (*UNSTARTED, "running", "paused"), "the last one")
    return queue.with_entry(replace(entry, last=not entry.last))


def retry(queue: Queue, id: str) -> Queue:
    """Let an entry that failed, stopped or paused wait again: a paused one in front, the others at the end. Its run
    goes on from its last full state, or begins anew where there is none."""
    entry = queue.find(id)
    _refuse_unless(entry, ("failed", "stopped", "paused"), "tried again")
    again = replace(entry, state="waiting", ended=0.0, cause="", tries=0, at_step=0)
    others = [old for old in queue.entries if old.id != id]
    return replace(queue, entries=tuple([again, *others] if entry.state == "paused" else [*others, again]))


def remove(queue: Queue, id: str) -> Queue:
    """Take an entry out of the list. Its run folder, if it has one, stays. `put_back` brings it back."""
    entry = queue.find(id)
    _refuse_unless(entry, (*UNSTARTED, *OVER, "paused"), "removed")
    return queue.with_entry(replace(entry, state="removed", was=entry.state, ended=time.time()))


def put_back(queue: Queue, id: str) -> Queue:
    """Undo `remove`, in the same place."""
    entry = queue.find(id)
    _refuse_unless(entry, ("removed",), "put back")
    return queue.with_entry(replace(entry, state=entry.was))


def clear(queue: Queue) -> Queue:
    """Take all entries that are over out of the list."""
    for entry in queue.of(*OVER):
        queue = remove(queue, entry.id)
    return queue


def place(queue: Queue, id: str, before: str = "") -> Queue:
    """Move an entry that has not begun before another one, or to the end."""
    entry = queue.find(id)
    _refuse_unless(entry, UNSTARTED, "moved")
    others = [old for old in queue.entries if old.id != id]
    names = [old.id for old in others]
    at = names.index(before) if before in names else len(others)
    return replace(queue, entries=(*others[:at], entry, *others[at:]))


def move(queue: Queue, id: str, by: Literal[-1, 1]) -> Queue:
    """Let an entry that has not begun change places with its neighbour, above (-1) or below (1)."""
    waiting = queue.of(*UNSTARTED)
    places = [entry.id for entry in waiting]
    if id not in places:
        _refuse_unless(queue.find(id), UNSTARTED, "moved")
    at = places.index(id) + by
    if not 0 <= at < len(waiting):
        return queue
    behind = at + 1 if by == 1 else at
    return place(queue, id, waiting[behind].id if behind < len(waiting) else "")


def switch(queue: Queue, on: bool) -> Queue:
    """Hold the whole queue: what is at work goes on, nothing more is started. Or let it go on."""
    return replace(queue, on=on)


def over(queue: Queue, id: str, state: State, cause: str = "") -> Queue:
    """An entry's run has ended so. One that is the last holds the queue."""
    entry = queue.find(id)
    ended = replace(entry, state=state, cause=cause, ended=time.time(), last=entry.last and state == "paused")
    return replace(queue.with_entry(ended), on=queue.on and not (entry.last and state != "paused"))


EDITS: dict[str, Callable[[Queue, str], Queue]] = {
    "up": lambda queue, id: move(queue, id, -1),
    "down": lambda queue, id: move(queue, id, 1),
    "hold": hold,
    "release": release,
    "stop-after": stop_after,
    "retry": retry,
    "remove": remove,
    "put-back": put_back,
    "clear": lambda queue, _: clear(queue),
    "pause": lambda queue, _: switch(queue, on=False),
    "go-on": lambda queue, _: switch(queue, on=True),
}
"""What a person can do with the queue, or with the entry of an id."""
