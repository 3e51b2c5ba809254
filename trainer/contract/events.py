"""What a run says, as typed events; one JSON object a line in `events.jsonl`. Old readers ignore new kinds."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import Any, ClassVar

from .rundir import write_whole
from .shape import LARGEST, fitting


@dataclass(frozen=True, kw_only=True)
class Event:
    """`time`: seconds since 1970. `step`: optimizer updates done when it happened, cumulative over resumes."""

    kind: ClassVar[str] = "event"
    time: float = 0.0
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """Training is about to begin: what the plan says, on which device. `held_out_images`: file names of the held-out
    images, in the order of `Validated.per_image`."""

    kind: ClassVar[str] = "started"
    name: str
    total_steps: int
    steps_per_epoch: int
    total_epochs: float
    images: int
    held_out: int = 0
    held_out_images: list[str] = field(default_factory=list)
    device: str = ""
    trained_parameters: int = 0
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    """The run goes on after `step`; what events had been written after that step lie in `events.lost.jsonl`."""

    kind: ClassVar[str] = "resumed"


@dataclass(frozen=True, kw_only=True)
class Phase(Event):
    """A part of the start-up or end, for people to read: "loading the model", "encoding 12 of 40 images"."""

    kind: ClassVar[str] = "phase"
    text: str
    done: int = 0
    of: int = 0


@dataclass(frozen=True, kw_only=True)
class StepDone(Event):
    """One optimizer update. `learning_rate`: the one applied, by group ("unet", "text_encoder"); d x LR for Prodigy.
    `grad_norm` before clipping. `seconds` since the step before. `images` shown in it over all processes.
    `validation_loss`: of a small batch of held-out images drawn anew for each step, None where that is not asked for.
    `adapter_norm`: of the whole change that the adapter makes to the model's weights, None for most steps."""

    kind: ClassVar[str] = "step"
    epoch: float
    loss: float
    learning_rate: dict[str, float]
    grad_norm: float | None = None
    seconds: float = 0.0
    images: int = 0
    validation_loss: float | None = None
    adapter_norm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Validated(Event):
    """Mean loss of the held-out images on the fixed grid; `error` is its standard error over images; `train_loss` the
    same grid over as many training images. `per_timestep`: timestep as text -> loss, `train_per_timestep` likewise.
    `per_image`: loss of each held-out image, in the order of `RunStarted.held_out_images`."""

    kind: ClassVar[str] = "validated"
    loss: float
    error: float = 0.0
    train_loss: float | None = None
    per_timestep: dict[str, float] = field(default_factory=dict)
    train_per_timestep: dict[str, float] = field(default_factory=dict)
    per_image: list[float] = field(default_factory=list)
    lowest: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Likened(Event):
    """How like the held-out images (without any: training images) the sample pictures are: cosines of an embedding
    model's vectors, mean over the pictures; `per_picture` in the order of `Sampled.files`. `step`: of the adapter that
    drew them, so that for a kept one it is earlier than that of the event before."""

    kind: ClassVar[str] = "likened"
    similarity: float
    per_picture: list[float] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Sampled(Event):
    """Sample pictures on disk; `files` are relative to the run folder, one a prompt, in the prompts' order. `recipes`:
    for each what draws it elsewhere: sampler, steps, guidance, width, height, negative prompt, strength.
    `weights_step`: the step of the adapter that drew them, where that is an earlier one than `step`, which was kept.
    `asked`: of a prompt that somebody gave while the run was at work; not one of the run's own."""

    kind: ClassVar[str] = "sampled"
    files: list[str]
    prompts: list[str]
    seeds: list[int] = field(default_factory=list)
    recipes: list[dict[str, str | int | float]] = field(default_factory=list)
    seconds: float = 0.0
    weights_step: int | None = None
    asked: bool = False


@dataclass(frozen=True, kw_only=True)
class Saved(Event):
    """An adapter file, relative to the run folder. `what`: "in between", "final" or "lowest validation loss".
    `weights_step`: the step that its weights are of, where that is not `step` but an earlier one that was kept."""

    kind: ClassVar[str] = "saved"
    file: str
    bytes: int
    what: str = "in between"
    seconds: float = 0.0
    weights_step: int | None = None


@dataclass(frozen=True, kw_only=True)
class Timing(Event):
    """Where the time went since the Timing before (or since this process began to train), and what was in use.

    `seconds`: by part, in the order of `PARTS`; parts that did not happen may be missing. They add up to `wall_s`.
    `inside`: what of "data" was the `vae` and the `text` encoder, and seconds of the threads beside it that `read` and
    `decode` image files, which may come to more than the wall clock's. `steps` and `images` done in it.

    Bytes: `device_used` of the whole device by all programs, `device_own` by this process's tensors, `device_peak` the
    most of that so far, `device_total`, `host_used` by this process, `host_total`; a figure that cannot be had is
    missing. `device_use`: share of the time in which the device computed, 0 to 1."""

    kind: ClassVar[str] = "timing"
    PARTS: ClassVar[tuple[str, ...]] = (
        "data", "transfer", "forward", "backward", "optimizer", "validation", "sampling", "saving", "other",
    )  # fmt: skip
    MOMENTS: ClassVar[tuple[str, ...]] = ("validation", "sampling", "saving")  # between the steps
    seconds: dict[str, float]
    wall_s: float
    steps: int = 0
    images: int = 0
    inside: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    device_use: float | None = None


@dataclass(frozen=True, kw_only=True)
class Noted(Event):
    """Something good or neutral to know, in plain words: "validation fell below the base model: it is learning"."""

    kind: ClassVar[str] = "noted"
    text: str
    setting: str = ""


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """Something the user should know that does not stop the run."""

    kind: ClassVar[str] = "warned"
    text: str
    setting: str = ""


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """The run ended by an error: `problems` as text lines, `cause` in one sentence."""

    kind: ClassVar[str] = "failed"
    cause: str
    problems: list[str] = field(default_factory=list)
    exit_code: int = 1


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """The run ended by itself ("done"), by the user ("stopped", "paused") or by early stopping ("stopped early")."""

    kind: ClassVar[str] = "finished"
    how: str
    file: str = ""
    seconds: float = 0.0


KINDS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in (
        RunStarted, Resumed, Phase, StepDone, Validated, Likened, Sampled, Saved, Timing, Noted, Warned, Failed,
        Finished,
    )
}  # fmt: skip


def to_line(event: Event) -> str:
    """One JSON line, newline included. Not-a-number and infinite values become text, since JSON has none."""
    values = {"kind": event.kind, **asdict(event)}
    return json.dumps(json_values(values), ensure_ascii=False, separators=(",", ":")) + "\n"


def json_values(value: Any) -> Any:
    """Values as JSON has them: a number that is none, or infinite, becomes text."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, dict):
        return {key: json_values(item) for key, item in value.items()}
    return [json_values(item) for item in value] if isinstance(value, list) else value


def _number(annotation: Any, value: Any) -> Any:
    """What `json_values` turned into text, as numbers again; annotations are text here."""
    if annotation == "list[float]" and isinstance(value, list):
        return [float(item) for item in value]
    if annotation == "dict[str, float]" and isinstance(value, dict):
        return {name: float(item) for name, item in value.items()}
    return float(value) if isinstance(value, str) and str(annotation).startswith("float") else value


def from_line(line: str) -> Event | None:
    """The event of one line, or None for a kind or shape that this version does not know."""
    try:
        values = json.loads(line)
        name = values.pop("kind")
        if name == "step" and _is_plain_step(values):
            return StepDone(**values)
        kind, types = KINDS[name], _types(name)
        known = {key: _number(types[key], value) for key, value in values.items() if key in types}
        return kind(**fitting(kind, known))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


_STEP = {"time": float, "step": int, "epoch": float, "loss": float, "seconds": float, "images": int}


def _is_plain_step(values: dict[str, Any]) -> bool:
    """Whether every value has its plain type, as in nearly all lines: a closer look takes as long as all else."""
    return (
        values.keys() == _types("step").keys()
        and all(type(values[name]) is kind for name, kind in _STEP.items())
        and max(abs(values["step"]), abs(values["images"])) < LARGEST
        and type(rates := values["learning_rate"]) is dict
        and all(type(rate) is float for rate in rates.values())
        and all(type(values[name]) in (float, type(None)) for name in ("grad_norm", "validation_loss", "adapter_norm"))
    )


@lru_cache(maxsize=64)
def _types(name: str) -> dict[str, Any]:
    """The types of an event's values as they are written in its class."""
    return {one.name: one.type for one in fields(KINDS[name])}


class Writer:
    """Appends events to a file, whole lines in order. What cannot be written waits in memory and goes out first when
    that is possible again. A file that was deleted is made again with everything that was in it, read from
    the handle that is still open.

    `prepare()` makes the file's folder ready; OSError where it cannot be reached."""

    LIMIT = 1 << 26
    """Bytes that may wait; further events are counted in `dropped` only."""

    CHECK_S = 1.0
    """Seconds between two looks whether the file is still there."""

    def __init__(self, path: Path, prepare: Callable[[], None] = lambda: None) -> None:
        self._path, self._prepare = path, prepare
        self._waiting = bytearray()
        self._next_look = 0.0
        self.trouble: OSError | None = None
        self.dropped = 0
        self._file, self._bytes = self._open()

    def _open(self) -> tuple[FileIO, int]:
        """The file for appending, and its length. A line that a killed process left unfinished is cut off: the next one
        must not be glued to it."""
        file = open(self._path, "a+b", buffering=0)  # noqa: SIM115 - closed by close()
        end = size = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 4096)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
        return file, end

    @property
    def position(self) -> int:
        """Length of the file once everything is written."""
        return self._bytes + len(self._waiting)

    def write(self, event: Event) -> None:
        """Append one event; it is on its way to the disk when this returns, or waits (`trouble` says why)."""
        line = to_line(event).encode()
        if len(self._waiting) + len(line) > self.LIMIT:
            self.dropped += 1
        else:
            self._waiting += line
        if self.trouble is None:
            self.flush()

    def flush(self, sync: bool = False) -> bool:
        """Write what waits; True where nothing waits any more. `sync`: it outlasts a power cut too."""
        try:
            self._stay(now=sync)
            while self._waiting:  # a disk that is getting full takes a part of a line: the rest of it comes first then
                done = self._file.write(bytes(self._waiting)) or 0
                self._bytes += done
                del self._waiting[:done]
            if sync:
                os.fsync(self._file.fileno())
            self.trouble = None
        except OSError as error:
            self.trouble = error
        return self.trouble is None

    def _stay(self, now: bool) -> None:
        """See to it that the open file is the one in the folder. OSError where there can be none now."""
        if self.trouble is None and not now and time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + self.CHECK_S
        try:
            if os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno())):
                return
        except FileNotFoundError:
            self._prepare()
            write_whole(self._path, self._all(), sync=True)
        before = self._file
        self._file, self._bytes = self._open()
        before.close()

    def everything(self) -> bytes:
        """All events as the file would hold them; those on a disk that is gone are not among them."""
        return self._all() + bytes(self._waiting)

    def _all(self) -> bytes:
        """What is in the file, deleted or not; nothing where its disk is gone."""
        try:
            self._file.seek(0)
            return self._file.read() or b""
        except OSError:
            return b""

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class Reader:
    """Reads what has been added to an event file since the last call; an unfinished last line waits for its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0  # bytes read so far: whole lines only

    def new(self) -> Iterator[Event]:
        """Events added since the last call, in order. A missing file has none. Line by line: the text of a hundred
        thousand steps, whole and cut into lines, would take eighty megabytes for a moment."""
        try:
            file = open(self.path, "rb")  # noqa: SIM115 - closed below
        except FileNotFoundError:
            return
        with file:
            self.offset = self.offset if file.seek(0, 2) >= self.offset else 0
            file.seek(self.offset)
            for line in file:
                if line.endswith(b"\n"):
                    self.offset += len(line)
                    event = from_line(line.decode("utf-8", errors="replace"))
                    if event is not None:
                        yield event


def read(path: Path) -> list[Event]:
    """All whole events of a file."""
    return list(Reader(path).new())
