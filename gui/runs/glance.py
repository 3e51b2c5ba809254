"""What the list tells of a run at a glance, read from its event file without opening it as a whole: the curve of the
loss from a few places of the file, the lowest validation loss from its checks alone."""

from __future__ import annotations

import math
import re
import statistics
from pathlib import Path
from typing import BinaryIO

from trainer.contract.events import Validated, from_line
from trainer.report.curves import slices

PLACES = 32
"""Places of a file that the curve is read at."""

PIECE_BYTES = 4_000
"""About a dozen steps: their median stands for the place."""

BLOCK_BYTES = 4_000_000
_LOSS = re.compile(rb'\n\{"kind":"step"[^\n]{0,200}?"loss":(-?[0-9][0-9.e+-]{0,24})[,}]')
_CHECK = b'{"kind":"validated"'


class Glance:
    """One run's; `look` reads on. `spark`: losses from first to last, evenly over the file. `lowest`: the lowest
    validation loss and its step."""

    def __init__(self) -> None:
        self.spark: list[float] = []
        self.lowest: tuple[float, int] | None = None
        self._read = self._drawn_at = 0

    def look(self, path: Path) -> None:
        """Take in what has been added; the curve is drawn anew when the file has grown by a twentieth."""
        try:
            with open(path, "rb") as file:
                size = file.seek(0, 2)
                if size < self._read:
                    self.lowest, self._read, self._drawn_at = None, 0, 0
                self._find_checks(file, size)
                if size - self._drawn_at > self._drawn_at / 20:
                    self.spark, self._drawn_at = _spark(file, size), size
        except OSError:
            return

    def _find_checks(self, file: BinaryIO, size: int) -> None:
        while self._read < size:
            file.seek(self._read)
            block = file.read(BLOCK_BYTES)
            whole = block[: block.rfind(b"\n") + 1]
            if not whole:  # an unfinished line, or one beyond any sense
                self._read += len(block) if len(block) == BLOCK_BYTES else 0
                return
            at = 0 if whole.startswith(_CHECK) else whole.find(b"\n" + _CHECK) + 1
            while at or whole.startswith(_CHECK):
                end = whole.index(b"\n", at)
                self._take(whole[at:end])
                found = whole.find(b"\n" + _CHECK, end)
                if found < 0:
                    break
                at = found + 1
            self._read += len(whole)

    def _take(self, line: bytes) -> None:
        event = from_line(line.decode("utf-8", errors="replace"))
        if not isinstance(event, Validated) or not math.isfinite(event.loss):
            return
        if self.lowest is None or event.loss < self.lowest[0]:
            self.lowest = (event.loss, event.step)


def _spark(file: BinaryIO, size: int) -> list[float]:
    """Medians at evenly spaced places; a short file is cut into a few stretches."""
    if size <= 2 * PLACES * PIECE_BYTES:
        file.seek(0)
        losses = _losses(b"\n" + file.read(size))
        return [statistics.median(losses[start:end]) for start, end in slices(len(losses), PLACES)]
    found = []
    for place in range(PLACES):
        file.seek(place * (size - PIECE_BYTES) // (PLACES - 1))
        if losses := _losses(file.read(PIECE_BYTES)):
            found.append(statistics.median(losses))
    return found


def _losses(data: bytes) -> list[float]:
    """Of the steps whose line begins here."""
    return [number for found in _LOSS.findall(data) if (number := _number(found)) is not None]


def _number(text: bytes) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
