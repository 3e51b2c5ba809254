"""What a run says, as typed events; one JSON object a line in `events.jsonl`. Old readers ignore new kinds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, ClassVar


@dataclass(frozen=True, kw_only=True)
class Event:
    """`time`: seconds since 1970. `step`: optimizer updates done when it happened, cumulative over resumes."""

    kind: ClassVar[str] = "event"
    time: float = 0.0
    step: int = 0


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """Training is about to begin: what the plan says, on which device."""

    kind: ClassVar[str] = "started"
    name: str
    total_steps: int
    steps_per_epoch: int
    total_epochs: float
    images: int
    held_out: int = 0
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
    `grad_norm` before clipping. `seconds` since the step before. `images` shown in it over all processes."""

    kind: ClassVar[str] = "step"
    epoch: float
    loss: float
    learning_rate: dict[str, float]
    grad_norm: float | None = None
    seconds: float = 0.0
    images: int = 0


@dataclass(frozen=True, kw_only=True)
class Validated(Event):
    """Mean loss of the held-out images on the fixed grid; `error` is its standard error over images; `train_loss` the
    same grid over as many training images. `per_timestep`: timestep as text -> loss."""

    kind: ClassVar[str] = "validated"
    loss: float
    error: float = 0.0
    train_loss: float | None = None
    per_timestep: dict[str, float] = field(default_factory=dict)
    lowest: bool = False


@dataclass(frozen=True, kw_only=True)
class Sampled(Event):
    """Sample pictures on disk; `files` are relative to the run folder, one a prompt, in the prompts' order."""

    kind: ClassVar[str] = "sampled"
    files: list[str]
    prompts: list[str]
    seeds: list[int] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Saved(Event):
    """An adapter file, relative to the run folder. `what`: "in between", "final" or "lowest validation loss"."""

    kind: ClassVar[str] = "saved"
    file: str
    bytes: int
    what: str = "in between"
    seconds: float = 0.0


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
    """The run ended by itself ("done"), by the user ("stopped") or by early stopping ("stopped early")."""

    kind: ClassVar[str] = "finished"
    how: str
    file: str = ""
    seconds: float = 0.0


KINDS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in (RunStarted, Resumed, Phase, StepDone, Validated, Sampled, Saved, Warned, Failed, Finished)
}


def to_line(event: Event) -> str:
    """One JSON line, newline included. Not-a-number and infinite values become text, since JSON has none."""
    values = {"kind": event.kind, **asdict(event)}
    return json.dumps(_finite(values), ensure_ascii=False, separators=(",", ":")) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def _number(annotation: Any, value: Any) -> Any:
    return float(value) if isinstance(value, str) and str(annotation).startswith("float") else value


def from_line(line: str) -> Event | None:
    """The event of one line, or None for a kind or shape that this version does not know."""
    try:
        values = json.loads(line)
        kind = KINDS[values.pop("kind")]
        known = {f.name: f.type for f in fields(kind)}
        return kind(**{name: _number(known[name], value) for name, value in values.items() if name in known})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class Writer:
    """Appends events to a file, a whole line at a time."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by close()

    def write(self, event: Event) -> None:
        """Append one event; it is on its way to the disk when this returns."""
        self._file.write(to_line(event).encode())

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class Reader:
    """Reads what has been added to an event file since the last call; an unfinished last line waits for its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0  # bytes read so far: whole lines only

    def new(self) -> Iterator[Event]:
        """Events added since the last call, in order. A missing file has none."""
        try:
            with open(self.path, "rb") as file:
                file.seek(0, 2)
                if file.tell() < self.offset:
                    self.offset = 0
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        for line in whole.decode("utf-8", errors="replace").split("\n"):  # splitlines() would cut at U+2028 in a prompt
            event = from_line(line)
            if event is not None:
                yield event


def read(path: Path) -> list[Event]:
    """All whole events of a file."""
    return list(Reader(path).new())
