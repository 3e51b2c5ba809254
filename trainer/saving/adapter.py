"""Adapter files: written whole or not at all, hashed as Kohya hashes them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from trainer.contract.families.base import read_header
from trainer.contract.rundir import write_whole


def adapter_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], dtype: torch.dtype) -> bytes:
    """A .safetensors file with every tensor in `dtype`; single numbers (alphas) that it would round stay as they are,
    so that no strength is changed by the format.

    Adds `sshs_model_hash` (SHA-256 of all tensor bytes, so that any copy can be checked) and `sshs_legacy_hash`."""
    cast = {name: _cast(value.detach().cpu(), dtype) for name, value in tensors.items()}
    return save(cast, {**metadata, **file_hashes(cast, metadata)})


def _cast(value: Tensor, dtype: torch.dtype) -> Tensor:
    cast = value.to(dtype)
    return value if value.dim() == 0 and float(cast) != float(value) else cast.contiguous()


def save_adapter(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], dtype: torch.dtype) -> int:
    """Write `adapter_bytes` to a file that belongs to no run; returns its size in bytes."""
    data = adapter_bytes(tensors, metadata, dtype)
    write_whole(path, data, sync=True)
    return len(data)


def file_hashes(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """The two `sshs_*` hashes, over the tensors with the `ss_*` metadata only, as sd-scripts computes them
    (`precalculate_safetensors_hashes`): of all tensor bytes, and of 64 KiB at 1 MiB into the file."""
    data = save(tensors, {name: text for name, text in metadata.items() if name.startswith("ss_")})
    (header,) = struct.unpack("<Q", data[:8])
    legacy = hashlib.sha256(data[0x100000 : 0x100000 + 0x10000]).hexdigest()[:8]
    return {"sshs_model_hash": hashlib.sha256(data[8 + header :]).hexdigest(), "sshs_legacy_hash": legacy}


def load_adapter(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of an adapter file; ValueError where it is no safetensors file or is cut short."""
    _, metadata = read_header(path)
    return load_file(path), metadata
