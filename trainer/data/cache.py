"""Encoded images and captions on disk, in our own folder, shared by all runs.

A file's name is a hash of everything that determines its content (image bytes, model, size, crop; caption, model,
layer), so a cache can be incomplete but never stale. Each file is one safetensors, written whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from trainer.contract.rundir import write_whole

_VERSION = "1"
"""Part of every key. Raise it when the same inputs come to give other values (a changed resize, say)."""

_A_DAY_S = 86400.0


def hash_bytes(data: bytes | memoryview) -> str:
    """128 bits as text: too many for two files to meet by chance, at about 1 GB/s."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def fingerprint(module: nn.Module, *facts: object) -> str:
    """A hash of all tensors of a model's part, of its configuration (a VAE's scaling factor is no tensor), and of facts
    that also determine what it gives (layer, length).

    Take it before an adapter is attached to the part. Tensors are hashed in parallel: 0.2 s for a VAE."""
    tensors = sorted(module.state_dict().items())
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        parts = list(pool.map(lambda item: f"{item[0]} {item[1].dtype} {_hash_tensor(item[1])}", tensors))
    return hash_bytes("\n".join([*parts, *_configuration(module), *map(repr, facts)]).encode())


def _configuration(module: nn.Module) -> list[str]:
    """The plain values of a diffusers or transformers configuration, without paths and versions, which differ between
    copies of one model."""
    config: Any = getattr(module, "config", None)
    values = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(values, Mapping):
        return []
    kept = sorted(name for name in values if not name.startswith("_") and "version" not in name)
    return [f"{name}={values[name]!r}" for name in kept]


def _hash_tensor(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().flatten()
    return f"{tuple(tensor.shape)} " + hash_bytes(flat.view(torch.uint8).numpy().data)


def finite(tensors: Mapping[str, Tensor]) -> bool:
    """Whether all values are numbers, none of them infinite."""
    return all(bool(torch.isfinite(values).all()) for values in tensors.values())


class Cache:
    """Named tensors by key, below `<folder>/<kind>`. `fingerprint` names the model part that made them."""

    def __init__(self, folder: Path, kind: str, fingerprint: str) -> None:
        self.folder = Path(folder) / kind
        self._fingerprint = fingerprint

    def key(self, *facts: object) -> str:
        """The name under which the result of these facts is kept."""
        return hash_bytes("\x1f".join([_VERSION, self._fingerprint, *map(repr, facts)]).encode())

    def get(self, key: str) -> dict[str, Tensor] | None:
        """What is kept under `key`; None where nothing is. A damaged file (a power cut) counts as none and goes, and so
        does one with values that are no numbers."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            tensors = safetensors.torch.load(data)
        except FileNotFoundError:
            return None
        except Exception:  # the safetensors reader's errors share no base
            tensors = {}
        if not tensors or not finite(tensors):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        self._used(path)
        return tensors

    def put(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors under `key`, unless they hold values that are no numbers: those are never kept. A full or
        read-only disk loses the cache's gain, not the run."""
        if not finite(tensors):
            return
        held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with contextlib.suppress(OSError):
            write_whole(self._path(key), safetensors.torch.save(held))

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _used(self, path: Path) -> None:
        """The file's date says when it was last used, to the day: what `trim` goes by."""
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _A_DAY_S:
                os.utime(path)


def trim(folder: Path, limit_bytes: int) -> int:
    """Remove the files of all caches below `folder` that were not used for longest until the rest fits; bytes freed.

    A file that another run reads right now is gone for its next look-up only: what is loaded stays in memory. What an
    interrupted writer left behind goes too, after a day."""
    for path in Path(folder).rglob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _A_DAY_S:
                path.unlink()
    files = []
    for path in Path(folder).rglob("*.safetensors"):
        with contextlib.suppress(OSError):
            facts = path.stat()
            files.append((facts.st_mtime, facts.st_size, path))
    size = sum(entry[1] for entry in files)
    freed = 0
    for _, file_size, path in sorted(files, key=lambda entry: entry[0]):
        if size - freed <= limit_bytes:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            freed += file_size
    return freed
