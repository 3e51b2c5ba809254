"""What sd-scripts prints, as facts. Its texts and bars are those of v0.10.1 (`train_network.py`, `train_util.py`); a
line that is not known is passed over, so that another version's new lines harm nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

LONGEST = 4000
"""Characters of a line that are looked at."""


@dataclass(frozen=True)
class Fact:
    """Something that a line says."""


@dataclass(frozen=True)
class Begun(Fact):
    """The block before the first step is complete. `images` with their repeats; `batches` of an epoch."""

    images: int
    batches: int
    epochs: int
    accumulate: int
    steps: int
    held_out: int = 0


@dataclass(frozen=True)
class Found(Fact):
    """A folder with so many image files."""

    images: int


@dataclass(frozen=True)
class Progress(Fact):
    """The bar of the steps. `loss`: the mean over the last epoch's steps, three digits, None before the first."""

    step: int
    of: int
    loss: float | None


@dataclass(frozen=True)
class Doing(Fact):
    """A part of the start-up, counted where `of` is not 0."""

    text: str
    done: int = 0
    of: int = 0


@dataclass(frozen=True)
class Checked(Fact):
    """A check on held-out images is through: their mean loss."""

    loss: float


@dataclass(frozen=True)
class Saving(Fact):
    """It begins to write an adapter of this file name."""

    file: str


@dataclass(frozen=True)
class Drawing(Fact):
    """It begins to draw sample pictures after this step."""

    step: int


@dataclass(frozen=True)
class Device(Fact):
    """What it computes on."""

    name: str


_BAR = re.compile(r"^(?:\x1b\[A)*(?P<name>[^|%]*?):?\s*\d+%\|[^|]*\|\s*(?P<done>\d+)/(?P<of>\d+) \[(?P<rest>[^\]]*)")
_LOSS = re.compile(r"\bavr_loss=([-+\w.]+)")
_CHECK_LOSS = re.compile(r"\bval_(?:epoch_)?avg_loss=([-+\w.]+)")
_PLAN = {
    "images": re.compile(r"num train images \* repeats\b.*: (\d+)\s*$"),
    "held_out": re.compile(r"num validation images \* repeats\b.*: (\d+)\s*$"),
    "batches": re.compile(r"num batches per epoch\b.*: (\d+)\s*$"),
    "epochs": re.compile(r"num epochs\b.*: (\d+)\s*$"),
    "accumulate": re.compile(r"gradient accumulation steps\b.* = (\d+)\s*$"),
    "steps": re.compile(r"total optimization steps\b.*: (\d+)\s*$"),
}
DRAWING = "drawing samples"
_STEPS, _CHECKS = "steps", ("validation steps", "epoch validation steps")

_PARTS: tuple[tuple[str, str], ...] = (
    (r"prepare tokenizer|Using DreamBooth method|Loading dataset config|prepare images", "reading the images"),
    (
        r"loading (?:u-net|vae|text encoder)|load (?:StableDiffusion checkpoint|Diffusers pretrained)",
        "loading the model",
    ),
    (r"caching latents", "encoding images"),
    (r"caching text encoder outputs", "encoding captions"),
    (r"prepare optimizer, data loader", "preparing the optimizer"),
)
_DOING = [(re.compile(pattern, re.IGNORECASE), text) for pattern, text in _PARTS]

_LINES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Fact]], ...] = (
    (re.compile(r"saving checkpoint: (.+)$"), lambda found: Saving(file_name(found[1]))),
    (re.compile(r"generating sample images at step\b.*: (\d+)"), lambda found: Drawing(int(found[1]))),
    (re.compile(r"contains (\d+) image files"), lambda found: Found(int(found[1]))),
    (re.compile(r"^accelerator device: (\S+)"), lambda found: Device(found[1])),
)


def file_name(path: str) -> str:
    """The last part of a path of any system."""
    return PurePath(path.strip().replace("\\", "/")).name


class Listener:
    """Reads line after line, as they are overwritten in a terminal."""

    def __init__(self) -> None:
        self._plan: dict[str, int] = {}
        self._doing = ""
        self._failure: list[str] = []
        self._in_trace = False

    def hear(self, line: str) -> Iterator[Fact]:
        """What one line says."""
        line = line[:LONGEST].rstrip()
        self._note_failure(line)
        bar = _BAR.match(line)
        if bar is not None:
            yield from self._bar(bar)
            return
        for name, pattern in _PLAN.items():
            if found := pattern.search(line):
                self._plan[name] = int(found[1])
                if name == "steps" and len({"held_out", *self._plan}) == len(_PLAN):
                    yield Begun(**self._plan)
                return
        for pattern, make in _LINES:
            if found := pattern.search(line):
                fact = make(found)
                self._doing = DRAWING if isinstance(fact, Drawing) else self._doing
                yield fact
                return
        part = next((text for pattern, text in _DOING if pattern.search(line)), "")
        if part and part != self._doing:
            self._doing = part
            yield Doing(part)

    def _bar(self, bar: re.Match[str]) -> Iterator[Fact]:
        name, done, of = bar["name"].strip(), int(bar["done"]), int(bar["of"])
        if name == _STEPS:
            self._doing = ""
            yield Progress(done, of, _number(_LOSS.search(bar["rest"])))
        elif name in _CHECKS:
            loss = _number(_CHECK_LOSS.search(bar["rest"]))
            if done == of and loss is not None:
                yield Checked(loss)
        elif self._doing and of:
            yield Doing(self._doing, done, of)

    def _note_failure(self, line: str) -> None:
        """Keep the last line of the last traceback, and what argparse says of an argument."""
        if line.startswith("Traceback (most recent call last)"):
            self._in_trace = True
        elif self._in_trace and line and not line[0].isspace():
            self._in_trace = False
            self._failure.append(line)
        elif re.match(r"[\w.]+\.py: error: ", line):
            self._failure.append(line.partition(": error: ")[2])

    @property
    def failure(self) -> str:
        """The error that it ended by, in its own words; "" where it told none. accelerate's own, which only says that
        the trainer failed, counts where there is no other."""
        told = [line for line in self._failure if "CalledProcessError" not in line]
        return (told or self._failure or [""])[-1]


def _number(found: re.Match[str] | None) -> float | None:
    if found is None:
        return None
    try:
        return float(found[1])
    except ValueError:
        return math.nan


class Splitter:
    """Cuts what a process writes into lines; a carriage return ends one too, since a bar overwrites itself by it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[str, bool]]:
        """Whole lines, each with whether it stays (it ended with a line feed)."""
        self._rest += data
        while found := re.search(rb"\r\n|\r(?!\Z)|\n", self._rest):
            line, self._rest = self._rest[: found.start()], self._rest[found.end() :]
            yield line.decode("utf-8", errors="replace"), b"\n" in found[0]
        if len(self._rest) > LONGEST * 16:
            yield self.rest(), True

    def rest(self) -> str:
        """What came behind the last line's end."""
        line, self._rest = self._rest, b""
        return line.decode("utf-8", errors="replace").rstrip("\r")
