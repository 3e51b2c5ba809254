"""The figures in TensorBoard files that another program is just writing, read record by record without TensorFlow.

A record: length (u64), its checksum (u32), the bytes, their checksum (u32). What is not whole yet waits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event as Record

LARGEST = 1 << 22
"""Bytes of a record beyond which it holds no figure (a picture), or the file is none of TensorBoard's."""


@dataclass(frozen=True)
class Scalar:
    """One figure."""

    tag: str
    step: int
    value: float
    time: float


class Follower:
    """Reads what was added to the event files below a folder since the last call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def new(self) -> Iterator[Scalar]:
        """New figures, file by file; files that were there from the beginning first."""
        for path in sorted(self._folder.rglob("events.out.tfevents*")):
            try:
                with open(path, "rb") as file:
                    file.seek(self._read.get(path, 0))
                    data = file.read()
            except OSError:
                continue
            at = 0
            for scalars, at in _records(data):  # noqa: B007 - `at` is where the last whole record ended
                yield from scalars
            self._read[path] = self._read.get(path, 0) + at


def _records(data: bytes) -> Iterator[tuple[list[Scalar], int]]:
    """The figures of each whole record, and where it ends."""
    at = 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        end = at + 12 + length + 4
        if end > len(data):
            return
        yield (_scalars(data[at + 12 : end - 4]) if length <= LARGEST else []), end
        at = end


def _scalars(data: bytes) -> list[Scalar]:
    try:
        record = Record.FromString(data)
    except DecodeError:
        return []
    plain = [value for value in record.summary.value if value.HasField("simple_value")]
    return [Scalar(value.tag, record.step, value.simple_value, record.wall_time) for value in plain]
