"""Reading model files safely: safetensors, and .ckpt with weights only; never a pickle that is executed."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from trainer.contract.problems import Problem, Problems

CONFIGS = Path(__file__).parent / "configs"

# diffusers imports bitsandbytes, which says on the console that optional kernels for 4-bit weights are not installed.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


def model_problem(path: str, why: str, fix: str = "") -> Problems:
    """A `Problems` of kind "model" with one problem."""
    return Problems([Problem(path, why, fix, kind="model")])


def read_tensors(path: Path, setting: str = "model.path") -> dict[str, Tensor]:
    """All tensors of a .safetensors or .ckpt file, on the CPU and read lazily from the disk where possible.

    A .ckpt is read with `weights_only`: anything in it that is not a tensor or a plain value is refused, not run."""
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError:
        raise model_problem(
            setting,
            f"{path.name} holds more than weights: it could run a program when opened, so it was not opened",
            "choose the model's .safetensors version",
        ) from None
    except Exception as error:
        raise model_problem(setting, f"{path.name} cannot be read: {_first_line(error)}", "download it again") from None
    content = content.get("state_dict", content) if isinstance(content, dict) else {}
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def _is_zip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"PK"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def read_config(*folders: Path, part: str, name: str = "config.json") -> dict[str, Any]:
    """The JSON configuration of a part, from the first of `folders` that has one; Problems where none has."""
    for folder in folders:
        file = folder / part / name
        if file.is_file():
            content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return content
    raise model_problem("model.path", f"{folders[0]} has no {part}/{name}", "download the model again, with this file")


def fill(model: nn.Module, tensors: Mapping[str, Tensor], what: str, file: str, dtype: torch.dtype) -> nn.Module:
    """Give a model built on the meta device its weights, in `dtype`. Every weight must be there in its shape."""
    wanted = model.state_dict()
    missing = [name for name in wanted if name not in tensors]
    other = [name for name in wanted if name in tensors and tensors[name].shape != wanted[name].shape]
    if missing or other:
        first = (missing + other)[0]
        raise model_problem(
            "model.path",
            f"{file}: the {what} is incomplete: {len(missing)} tensors are missing and {len(other)} have another shape "
            f"(first: {first})",
            "choose a complete checkpoint",
        )
    values = {name: tensors[name].to(dtype) if wanted[name].is_floating_point() else tensors[name] for name in wanted}
    model.load_state_dict(values, assign=True)
    return model


def placed(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on a device. What stays in the file's own memory is copied where it lies at an odd place: on the CPU
    the place decides which kernel computes, and with it the last bits, which must not depend on the kind of file."""
    model.to(device)
    with torch.no_grad():
        for values in (*model.parameters(), *model.buffers()):
            if values.data_ptr() % _ALIGNED and values.device.type == "cpu":
                values.data = values.data.clone()
    return model


_ALIGNED = 64
"""Bytes at which torch begins its own memory."""
