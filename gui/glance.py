"""What the list tells of a run at a glance, read from its event file without opening it as a whole: the curve of the
loss from a few places of the file, the lowest validation loss from its checks alone."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

from trainer.contract.events import StepDone, Validated, from_line

PLACES = 32
"""Places of a file that the curve is read at."""

PIECE_BYTES = 6_000
"""About twenty steps: their median stands for the place."""

BLOCK_BYTES = 4_000_000
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

    def _find_checks(self, file, size: int) -> None:  # type: ignore[no-untyped-def]
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


def _spark(file, size: int) -> list[float]:  # type: ignore[no-untyped-def]
    """Medians at evenly spaced places; of a short file every place is read once."""
    count = max(1, min(PLACES, size // PIECE_BYTES))
    found = []
    for place in range(count):
        start = place * (size - PIECE_BYTES) // max(1, count - 1) if count > 1 else 0
        file.seek(max(0, start))
        lines = file.read(PIECE_BYTES if count > 1 else 4 * PIECE_BYTES).decode("utf-8", errors="replace").split("\n")
        whole = lines[(1 if start > 0 else 0) : -1]
        losses = [event.loss for line in whole if isinstance(event := _step(line), StepDone)]
        numbers = [loss for loss in losses if math.isfinite(loss)]
        if count == 1 and len(numbers) > 2:
            each = max(1, len(numbers) // 16)
            return [statistics.median(numbers[i : i + each]) for i in range(0, len(numbers), each)]
        if numbers:
            found.append(statistics.median(numbers))
    return found


def _step(line: str) -> object:
    return from_line(line) if line.startswith('{"kind":"step"') else None
