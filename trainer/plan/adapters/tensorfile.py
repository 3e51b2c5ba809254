"""A safetensors file's header and its single numbers, without torch and without mapping the file into memory.

Layout (safetensors' own README): 8 bytes length, JSON header, then the tensors' bytes without gaps. Files that are
written here hold tensors in the order in which safetensors' own writer puts them, so that hashes over the data agree.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from trainer.contract.families.base import read_header
from trainer.contract.problems import Problem, Problems

BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "C64": 8, "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip
"""Number formats by their size, in safetensors' order: its writer puts the last of them first."""

_RANK = {name: index for index, name in enumerate(BYTES)}
_READ = {"F32": "<f", "F64": "<d", "F16": "<e", "I64": "<q", "I32": "<i", "I16": "<h", "U8": "<B", "I8": "<b"}


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: its number format, shape, and where its bytes are, counted from the file's begin."""

    dtype: str
    shape: tuple[int, ...]
    begin: int = 0
    end: int = 0

    @property
    def count(self) -> int:
        """Number of values."""
        return prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes that its values take."""
        return self.count * BYTES[self.dtype]


@dataclass(frozen=True)
class TensorFile:
    """An opened header. `start`: where the tensors' bytes begin."""

    path: Path
    tensors: Mapping[str, Stored]
    metadata: Mapping[str, str]
    start: int = 0
    numbers: dict[str, float] = field(default_factory=dict, compare=False)

    def number(self, name: str) -> float:
        """The first value of a small tensor, such as an alpha."""
        if name not in self.numbers:
            stored = self.tensors[name]
            with open(self.path, "rb") as file:
                file.seek(stored.begin)
                self.numbers[name] = decode(file.read(BYTES[stored.dtype]), stored.dtype)
        return self.numbers[name]


def decode(data: bytes, dtype: str) -> float:
    """One number from its bytes. ValueError for a format that no alpha has."""
    if dtype == "BF16":
        return float(struct.unpack("<f", b"\0\0" + data)[0])
    if dtype not in _READ:
        raise ValueError(f"a number in {dtype} cannot be read")
    return float(struct.unpack(_READ[dtype], data)[0])


def open_file(path: str | Path, setting: str = "adapter") -> TensorFile:
    """The header of a safetensors file. Problems names the setting where it is missing, damaged or something else."""
    place = Path(path).expanduser()
    if not str(path).strip():
        raise Problems([Problem(setting, "no file is chosen", "choose a .safetensors file")])
    if not place.is_file():
        raise Problems([Problem(setting, f"there is no file {place}", "check the path", "data")])
    if place.suffix.lower() != ".safetensors":
        why, fix = f"{place.name} is no .safetensors file", "convert it first: pickled files are not opened here"
        raise Problems([Problem(setting, why, fix, "data")])
    try:
        read_header(place)  # whole, and not cut short
        return _opened(place)
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{place.name} cannot be used: {error}"
        raise Problems([Problem(setting, why, "download or copy it again", "data")]) from None


def _opened(path: Path) -> TensorFile:
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    metadata = header.pop("__metadata__", None) or {}
    start = 8 + length
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] not in BYTES:
            raise ValueError(f"{name} is stored as {entry['dtype']}, which is not read here")
        begin, end = entry["data_offsets"]
        tensors[name] = Stored(entry["dtype"], tuple(entry["shape"]), start + begin, start + end)
        if tensors[name].size != end - begin:
            raise ValueError(f"{name} has another length than its shape says")
    return TensorFile(path, tensors, {str(name): str(text) for name, text in metadata.items()}, start)


def in_order(tensors: Mapping[str, Stored]) -> list[str]:
    """Names in the order in which safetensors' own writer puts them: wide numbers first, then by name."""
    return sorted(tensors, key=lambda name: (-_RANK[tensors[name].dtype], name.encode()))


def laid_out(tensors: Mapping[str, Stored]) -> dict[str, Stored]:
    """The tensors in the writer's order, with their places counted from the begin of the data."""
    placed, at = {}, 0
    for name in in_order(tensors):
        one = tensors[name]
        placed[name] = Stored(one.dtype, one.shape, at, at + one.size)
        at += one.size
    return placed


def head(placed: Mapping[str, Stored], metadata: Mapping[str, str]) -> bytes:
    """The length and the JSON header of a file, filled up with blanks to a multiple of 8 bytes. `placed`: tensors with
    places counted from the begin of the data."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    for name, one in placed.items():
        entries[name] = {"dtype": one.dtype, "shape": list(one.shape), "data_offsets": [one.begin, one.end]}
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def relative(file: TensorFile) -> dict[str, Stored]:
    """The tensors of a file in the order of their bytes, with places counted from the begin of the data."""
    ordered: Iterable[tuple[str, Stored]] = sorted(file.tensors.items(), key=lambda pair: (pair[1].begin, pair[1].end))
    return {name: Stored(one.dtype, one.shape, one.begin - file.start, one.end - file.start) for name, one in ordered}
