"""The files of a diffusers folder: weights whole or in shards, small JSON files. No weights are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..problems import Problem, Problems
from .base import Header, read_header
from .model_parts import FOLDERS
from .pickled import read_shapes

SETTING = "model.path"
_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_ENDINGS = (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin")


def model_problem(why: str, fix: str = "") -> Problems:
    """`Problems` with one problem of the base model."""
    return Problems([Problem(SETTING, why, fix, kind="model")])


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON file; {} where it is not there or holds no object. Problems where it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise model_problem(f"{path} is not readable: {error}", "download the model again") from None
    return content if isinstance(content, dict) else {}


def part_files(folder: Path) -> list[Path]:
    """The weights of one part: the plain file, else its shards, else the fp16 variant; safetensors before pickles.
    Problems where a shard is missing."""
    for ending in _ENDINGS:
        for stem in _STEMS:
            if (file := folder / f"{stem}{ending}").is_file():
                return [file]
            kind, variant = ending.removeprefix(".fp16"), ".fp16" if ending.startswith(".fp16") else ""
            index = folder / f"{stem}{kind}.index{variant}.json"
            if index.is_file():
                return _shards(folder, index)
    return []


def _shards(folder: Path, index: Path) -> list[Path]:
    names = sorted({str(name) for name in read_json(index).get("weight_map", {}).values()})
    missing = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
    if missing or not names:
        raise model_problem(f"{folder} lacks {missing[0] if missing else 'its weights'}", "download the model again")
    return [folder / name for name in names]


def part_weights(folder: Path) -> Path | None:
    """The weights of one part, the first file of them; None where there are none."""
    files = part_files(folder)
    return files[0] if files else None


def shapes_in(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Tensors and metadata of a .safetensors or pickled file. ValueError or OSError where it cannot be used."""
    if path.suffix.lower() == ".safetensors":
        return read_header(path)
    return read_shapes(path), {}


def header_of(folder: Path) -> Header:
    """Tensors of all parts of a diffusers folder, each with its part's folder in front."""
    found: dict[str, tuple[int, ...]] = {}
    for part in FOLDERS:
        for file in part_files(folder / part):
            try:
                shapes, _ = shapes_in(file)
            except (ValueError, OSError) as error:
                raise model_problem(f"{file} cannot be used: {error}", "download the model again") from None
            found |= {f"{part}.{name}": shape for name, shape in shapes.items()}
    return found
