"""The ranks and alphas of an adapter file, from its header and the few bytes of its alphas: torch-free,
milliseconds."""

from __future__ import annotations

import json
import struct
from functools import lru_cache
from pathlib import Path

from trainer.contract.families.base import read_header

RANK_FROM = {
    ".lora_down.weight": 0,
    ".hada_w1_b": 0,
    ".a2.weight": 0,
}
"""End of a tensor's name -> which of its sides is the rank."""


def ranks_of(path: str) -> dict[str, tuple[int, float]]:
    """Layer's key -> (rank, alpha); an alpha that is missing equals the rank. ValueError or OSError where the file
    cannot be read, or tells no ranks."""
    stat = Path(path).stat()
    return dict(_read(path, stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=8)
def _read(path: str, _mtime_ns: int, _size: int) -> dict[str, tuple[int, float]]:
    shapes, _ = read_header(Path(path))
    ranks = {
        name.removesuffix(end): shape[side]
        for name, shape in shapes.items()
        for end, side in RANK_FROM.items()
        if name.endswith(end)
    }
    if not ranks:
        raise ValueError(f"{Path(path).name} tells no ranks")
    alphas = _scalars(Path(path), ".alpha")
    return {key: (rank, alphas.get(key, float(rank)) or float(rank)) for key, rank in sorted(ranks.items())}


def _scalars(path: Path, end: str) -> dict[str, float]:
    """The one value of every tensor whose name ends so."""
    found = {}
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        for name, entry in header.items():
            if name.endswith(end):
                start, stop = entry["data_offsets"]
                file.seek(8 + length + start)
                found[name.removesuffix(end)] = _value(file.read(stop - start), entry["dtype"])
    return found


def _value(data: bytes, dtype: str) -> float:
    if dtype == "BF16":
        return float(struct.unpack("<f", b"\0\0" + data[:2])[0])
    codes = {"F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i"}
    code = codes.get(dtype)
    if code is None or len(data) != struct.calcsize(code):
        raise ValueError(f"an alpha in {dtype} is not understood")
    return float(struct.unpack(code, data)[0])
