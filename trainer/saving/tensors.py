"""Safetensors files written straight from the tensors' memory.

The library's own `save_file` took two to four times as long as the bytes themselves where that was measured
(`benchmarks/state.py`); its reader reads what is written here.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.contract.rundir import replace_file, sync_folder

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
}


@dataclass
class TensorFile:
    """The content of a safetensors file: contiguous tensors in main memory, and text metadata."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    def write(self, path: Path) -> None:
        """Write the file whole or not at all, so that it outlasts a power cut."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
        names = sorted(self.tensors, key=lambda name: (-self.tensors[name].element_size(), name))  # aligned by size
        try:
            with open(beside, "wb") as file:
                file.write(self._header(names))
                for name in names:
                    file.write(self.tensors[name].reshape(-1).view(torch.uint8).numpy().data)
                file.flush()
                os.fsync(file.fileno())
            replace_file(beside, path)
            sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)

    def _header(self, names: list[str]) -> bytes:
        header: dict[str, Any] = {"__metadata__": dict(self.metadata)}
        at = 0
        for name in names:
            value = self.tensors[name]
            header[name] = {
                "dtype": DTYPES[value.dtype],
                "shape": list(value.shape),
                "data_offsets": [at, at + value.nbytes],
            }
            at += value.nbytes
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text

    def hold(self) -> int:
        """Copy the tensors, which the next step would change; returns their bytes."""
        self.tensors = {name: value.clone() for name, value in self.tensors.items()}
        return sum(value.nbytes for value in self.tensors.values())
