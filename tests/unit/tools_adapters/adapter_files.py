"""Small adapter files and checkpoints under the true names, for the tests of adapter tools."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer.contract import adapter_tasks, tasks
from trainer.contract.adapter_tasks import Result
from trainer.contract.catalog import find
from trainer.contract.events import Event
from trainer.contract.rundir import RunDir
from trainer.run import resolve

SHAPES: dict[str, tuple[int, ...]] = {
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q": (24, 24),
    "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k": (24, 16),
    "down_blocks.1.attentions.0.proj_in": (24, 24, 1, 1),
    "down_blocks.1.resnets.0.conv1": (24, 16, 3, 3),
    "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj": (96, 24),
    "up_blocks.2.upsamplers.0.conv": (24, 24, 3, 3),
}
"""Modules of the U-Net, under diffusers' names, in sizes of our own."""

TEXT: dict[str, tuple[int, ...]] = {
    "encoder.layers.0.self_attn.q_proj": (16, 16),
    "encoder.layers.1.mlp.fc1": (32, 16),
}

ORIGINAL = {
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q": "input_blocks.4.1.transformer_blocks.0.attn1.to_q",
    "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k": "input_blocks.4.1.transformer_blocks.0.attn2.to_k",
    "down_blocks.1.attentions.0.proj_in": "input_blocks.4.1.proj_in",
    "down_blocks.1.resnets.0.conv1": "input_blocks.4.0.in_layers.2",
    "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj": "middle_block.1.transformer_blocks.0.ff.net.0.proj",
    "up_blocks.2.upsamplers.0.conv": "output_blocks.8.2.conv",
}
"""The same modules in single files (diffusers' `convert_diffusers_to_original_stable_diffusion.py`)."""


def random(shape: tuple[int, ...], seed: int, size: float = 0.1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * size


def lora(rank: int = 4, alpha: float = 2.0, seed: int = 0, text: bool = True) -> dict[str, Tensor]:
    """A LoRA of all the modules, in Kohya's names."""
    found = {}
    keys = {f"lora_unet_{name.replace('.', '_')}": shape for name, shape in SHAPES.items()}
    if text:
        keys |= {f"lora_te_text_model_{name.replace('.', '_')}": shape for name, shape in TEXT.items()}
    for number, (key, shape) in enumerate(keys.items()):
        one = (1, 1) if len(shape) == 4 else ()
        found[f"{key}.lora_down.weight"] = random((rank, *shape[1:]), seed + 2 * number)
        found[f"{key}.lora_up.weight"] = random((shape[0], rank, *one), seed + 2 * number + 1)
        found[f"{key}.alpha"] = torch.tensor(alpha)
    return found


def checkpoint(seed: int = 100) -> dict[str, Tensor]:
    """A single file that holds all the modules, and a tensor that nothing adapts."""
    found = {f"model.diffusion_model.{ORIGINAL[name]}.weight": shape for name, shape in SHAPES.items()}
    found |= {f"cond_stage_model.transformer.text_model.{name}.weight": shape for name, shape in TEXT.items()}
    tensors = {name: random(shape, seed + number) for number, (name, shape) in enumerate(found.items())}
    return {**tensors, "first_stage_model.encoder.conv_in.weight": random((8, 3, 3, 3), 7)}


def save(path: Path, tensors: Mapping[str, Tensor], **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata or {"format": "pt"})
    return path


def update(tensors: Mapping[str, Tensor], key: str, like: tuple[int, ...]) -> Tensor:
    """What a LoRA in Kohya's names adds to a weight, written out here once more."""
    down, up = tensors[f"{key}.lora_down.weight"].float(), tensors[f"{key}.lora_up.weight"].float()
    scale = float(tensors[f"{key}.alpha"]) / down.shape[0]
    return (up.flatten(1) @ down.flatten(1)).reshape(like) * scale


def updates(path: Path) -> dict[str, Tensor]:
    """All of a LoRA file's updates, flat."""
    tensors = load_file(path)
    keys = dict.fromkeys(name.partition(".")[0] for name in tensors)
    found = {}
    for key in keys:
        down, up = tensors[f"{key}.lora_down.weight"], tensors[f"{key}.lora_up.weight"]
        found[key] = update(tensors, key, (up.shape[0], down[0].numel()))
    return found


def run_tool(folder: Path, name: str, **values: Any) -> Result:
    """Do a tool's task as the trainer does, and give its result."""
    run = RunDir.create(folder / "runs", name)
    task = tasks.make(name, {"gpus": "cpu", **values})  # type: ignore[arg-type]
    said: list[Event] = []
    assert find("tools", name) is not None
    done = resolve("tools", name)(run, task, said.append)
    assert done.how == "done"
    result = adapter_tasks.load_result(run.path)
    assert result is not None
    return result
