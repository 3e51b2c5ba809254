"""Tensors read from and written to safetensors files one at a time, so that no file need fit into memory.

Nothing is mapped: mapped pages count as memory too, and a mapped file cannot be replaced on Windows.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import replace_file, sync_folder
from trainer.plan.adapters.names import Place, weights_of
from trainer.plan.adapters.tensorfile import Stored, TensorFile, head, laid_out, open_file

DTYPES: dict[str, torch.dtype] = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn, "I16": torch.int16, "F16": torch.float16, "BF16": torch.bfloat16,
    "I32": torch.int32, "F32": torch.float32, "C64": torch.complex64, "F64": torch.float64, "I64": torch.int64,
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items()}
FORMATS = {"float": "F32", "fp16": "F16", "bf16": "BF16"}
"""How users call number formats -> safetensors' names."""

FLOATS = ("F64", "F32", "BF16", "F16", "F8_E4M3", "F8_E5M2")
"""Widest first."""

BLOCK = 1 << 20
_HASHES = {"sshs_model_hash": "0" * 64, "sshs_legacy_hash": "0" * 8}
_LEGACY = 0x100000, 0x10000
"""Kohya's old hash is of 64 KiB at 1 MiB into a file that has `ss_` metadata only."""


def read(file: TensorFile, name: str) -> Tensor:
    """One tensor, in memory of its own."""
    stored = file.tensors[name]
    data = bytearray(stored.end - stored.begin)
    with open(file.path, "rb") as source:
        source.seek(stored.begin)
        if source.readinto(data) != len(data):
            raise Problems([Problem("file", f"{file.path.name} ends before {name}", "copy it again", "data")])
    if stored.dtype not in DTYPES:
        raise Problems([Problem("file", f"{name} is stored as {stored.dtype}, which torch does not have", "", "data")])
    dtype = DTYPES[stored.dtype]
    return torch.frombuffer(data, dtype=dtype).reshape(stored.shape) if data else torch.empty(stored.shape, dtype=dtype)


def spec(tensor: Tensor) -> Stored:
    """What the header says of a tensor."""
    return Stored(NAMES[tensor.dtype], tuple(tensor.shape))


def hashed(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata with places for the two hashes, which `Writer` fills in when all tensors are there."""
    return {**metadata, **_HASHES}


class Writer:
    """A safetensors file that is written whole or not at all: the header first, tensors in any order.

    `tensors`: name -> dtype and shape; `placed`: their places, counted from the begin of the data, are kept too.
    Metadata that hold `sshs_*` hashes get the right ones. Used as a context: what was written is removed where an error
    ends it. Problems where the disk has too little room."""

    def __init__(
        self, path: Path, tensors: Mapping[str, Stored], metadata: Mapping[str, str], placed: bool = False
    ) -> None:
        self.path, self._metadata = Path(path), dict(metadata)
        self._placed = dict(tensors) if placed else laid_out(tensors)
        self._head = head(self._placed, self._metadata)
        self._missing = set(self._placed)
        self._beside = self.path.with_name(f".{self.path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
        room(self.path, self.size)
        self._file = open(self._beside, "w+b")  # noqa: SIM115 (closed by __exit__)
        self._file.write(self._head)
        self._file.truncate(self.size)

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self._head) + max((one.end for one in self._placed.values()), default=0)

    def put(self, name: str, tensor: Tensor) -> None:
        """Write a tensor; it must be of the shape and format that were announced."""
        self.put_bytes(name, _bytes(tensor), spec(tensor))

    def put_bytes(self, name: str, data: bytes | memoryview, given: Stored | None = None) -> None:
        """Write a tensor's bytes as they are."""
        placed = self._placed[name]
        if (given is not None and (given.dtype, given.shape) != (placed.dtype, placed.shape)) or len(
            data
        ) != placed.size:
            raise ValueError(f"{name} is not {placed.dtype} {placed.shape} as announced")
        self._file.seek(len(self._head) + placed.begin)
        self._file.write(data)
        self._missing.discard(name)

    def copy(self, file: TensorFile, name: str, source: str) -> None:
        """Copy a tensor of another file, byte by byte."""
        stored = file.tensors[source]
        with open(file.path, "rb") as opened:
            opened.seek(stored.begin)
            self._file.seek(len(self._head) + self._placed[name].begin)
            left = stored.end - stored.begin
            while left:
                block = opened.read(min(BLOCK, left))
                if not block:
                    raise Problems([Problem("file", f"{file.path.name} ends before {source}", "copy it again", "data")])
                self._file.write(block)
                left -= len(block)
        self._missing.discard(name)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Put the file in its place, or take away what there is of it."""
        try:
            if kind is None:
                self._finish()
        finally:
            self._file.close()
            with contextlib.suppress(OSError):
                self._beside.unlink()

    def _finish(self) -> None:
        if self._missing:
            raise ValueError(f"{len(self._missing)} tensors were never written, {sorted(self._missing)[0]} for one")
        if set(_HASHES) & set(self._metadata):
            found = hashes(self._blocks(), self._placed, self._metadata)
            self._metadata |= {name: text for name, text in found.items() if name in self._metadata}
            final = head(self._placed, self._metadata)
            assert len(final) == len(self._head), "hashes have a fixed length"
            self._file.seek(0)
            self._file.write(final)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        replace_file(self._beside, self.path)
        sync_folder(self.path.parent)

    def _blocks(self) -> Iterator[bytes]:
        self._file.seek(len(self._head))
        while block := self._file.read(BLOCK):
            yield block


def hashes(blocks: Iterator[bytes], placed: Mapping[str, Stored], metadata: Mapping[str, str]) -> dict[str, str]:
    """The two `sshs_*` hashes of a file's data, as `saving.adapter.file_hashes` has them, read once through."""
    whole, legacy = hashlib.sha256(), hashlib.sha256()
    at = len(head(placed, {name: text for name, text in metadata.items() if name.startswith("ss_")}))
    begin, end = _LEGACY[0], _LEGACY[0] + _LEGACY[1]
    for block in blocks:
        whole.update(block)
        legacy.update(block[max(begin - at, 0) : max(end - at, 0)])
        at += len(block)
    return {"sshs_model_hash": whole.hexdigest(), "sshs_legacy_hash": legacy.hexdigest()[:8]}


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


class Spool:
    """Tensors whose shapes are known only once they are computed: kept in a temporary file beside the result, then
    written in their order."""

    def __init__(self, path: Path) -> None:
        self.path, self._kept, self._at = Path(path), dict[str, Stored](), 0
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".part", dir=self.path.parent)
        self._name = Path(name)
        self._file = os.fdopen(handle, "w+b")

    def put(self, name: str, tensor: Tensor) -> None:
        """Keep a tensor."""
        one, data = spec(tensor), _bytes(tensor)
        self._kept[name] = Stored(one.dtype, one.shape, self._at, self._at + len(data))
        self._file.write(data)
        self._at += len(data)

    def __len__(self) -> int:
        return len(self._kept)

    def write(self, metadata: Mapping[str, str]) -> int:
        """Write the file; returns its size in bytes."""
        self._file.flush()
        kept = TensorFile(self._name, self._kept, {})
        with Writer(self.path, self._kept, metadata) as writer:
            for name in self._kept:
                writer.copy(kept, name, name)
        return writer.size

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        with contextlib.suppress(OSError):
            self._name.unlink()


def room(path: Path, size: int) -> None:
    """Problems where the folder of a new file is missing, closed, or has less room than `size` bytes."""
    folder = path.parent
    if not folder.is_dir():
        raise Problems([Problem("out", f"there is no folder {folder}", "make it, or choose another")])
    if not os.access(folder, os.W_OK):
        raise Problems([Problem("out", f"{folder} cannot be written", "choose another folder")])
    free = shutil.disk_usage(folder).free
    if free < size + BLOCK:
        why = f"the disk of {folder} has {free / 1e9:.1f} GB of room, and {size / 1e9:.1f} GB are needed"
        raise Problems([Problem("out", why, "make room, or choose another disk")])


class Checkpoint:
    """A model's tensors: a single file, or a diffusers folder's parts with the part's name in front."""

    def __init__(self, path: str, setting: str = "model") -> None:
        self.path = Path(path).expanduser()
        self.folder = self.path.is_dir()
        files = _part_files(self.path, setting) if self.folder else {"": self.path}
        self.files = {part: open_file(file, setting) for part, file in files.items()}
        self.tensors = {
            (f"{part}.{name}" if part else name): (part, name)
            for part, file in self.files.items()
            for name in file.tensors
        }

    def stored(self, name: str) -> Stored:
        """What the header says of a tensor."""
        part, own = self.tensors[name]
        return self.files[part].tensors[own]

    def read(self, name: str) -> Tensor:
        """One tensor."""
        part, own = self.tensors[name]
        return read(self.files[part], own)

    @cached_property
    def header(self) -> dict[str, tuple[int, ...]]:
        """Shapes by name."""
        return {name: self.stored(name).shape for name in self.tensors}

    @cached_property
    def places(self) -> dict[Place, tuple[str, int | None]]:
        """Where each layer's weight is."""
        return weights_of(self.header)


_PARTS = ("unet", "text_encoder", "text_encoder_2")


def _part_files(folder: Path, setting: str) -> dict[str, Path]:
    from trainer.contract.families.recognise import part_weights

    found = {}
    for part in _PARTS:
        file = part_weights(folder / part)
        if file is not None:
            found[part] = file
    if "unet" not in found:
        raise Problems([Problem(setting, f"{folder} is no diffusers model", "choose its folder with unet/", "model")])
    return found
