"""Tiny random models of the true classes, loaded by us and in diffusers' own pipeline: what their tests ask of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny_models
import torch
from tiny_models import Row
from torch import Tensor, nn

from trainer.contract.families import recognise
from trainer.networks.lora import LoRA
from trainer.parts import BatchFacts, LoadPlan, ModelFiles
from trainer.run import resolve

CPU = torch.device("cpu")
CAPTIONS = ["a red circle on a blue background", "a green square"]
TIMES = torch.tensor([100, 700])
SIZES = BatchFacts(torch.tensor([[96, 64], [80, 64]]), torch.tensor([[8, 0], [3, 5]]), torch.tensor([[64, 48]] * 2))
"""Width before height, as in a batch; no two numbers of a row alike, so that none can be taken for another."""


@dataclass(frozen=True)
class Kit:
    """A row's model: as a folder, as a single file, loaded, and in diffusers' own pipeline."""

    row: Row
    folder: Path
    file: Path
    family: Any
    pipeline: Any

    @property
    def targets(self) -> list[Any]:
        """Everything that can be trained."""
        return self.family.targets(True, list(self.family.parts))


def load(path: Path, **plan: Any) -> Any:
    recognised = recognise(str(path))
    family = resolve("families", recognised.family)()
    family.load(ModelFiles(str(path), recognised), LoadPlan(CPU, torch.float32, torch.float32, **plan))
    return family


_made: dict[str, Kit] = {}


def kit_of(row: Row, place: Path) -> Kit:
    """A row's kit, made once for all tests of a session, whichever file they stand in. They leave it as it was."""
    from diffusers import DiffusionPipeline

    if row.id not in _made:
        folder = tiny_models.build(row, place / "folder")
        pipeline: Any = DiffusionPipeline.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        pipeline.set_progress_bar_config(disable=True)
        file = tiny_models.single_file(row, folder, place / "one.safetensors")
        _made[row.id] = Kit(row, folder, file, load(folder), pipeline)
    return _made[row.id]


@contextlib.contextmanager
def adapted(kit: Kit, **dora: bool) -> Iterator[LoRA]:
    """All targets with an adapter that does something, and off again."""
    network = LoRA(kit.targets, 3, 3.0, 3, 3.0, **dora)
    generator = torch.Generator().manual_seed(1)
    for layer in network.layers.values():
        nn.init.normal_(layer.up, std=0.1, generator=generator)
    network.attach()
    try:
        yield network
    finally:
        network.detach()


def noisy(seed: int = 5) -> Tensor:
    return torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(seed))


def predicted(family: Any, captions: Sequence[str] = CAPTIONS) -> Tensor:
    with torch.no_grad():
        return family.predict(noisy(), TIMES, family.encode_captions(captions), SIZES)


def encoded_by(kit: Kit, captions: Sequence[str]) -> tuple[Tensor, ...]:
    """What the pipeline makes of prompts: the text, and for SDXL the pooled one."""
    found = kit.pipeline.encode_prompt(list(captions), device=CPU, num_images_per_prompt=1, **GUIDED(False))
    return tuple(value for value in found if value is not None)


def GUIDED(on: bool) -> dict[str, bool]:
    return {"do_classifier_free_guidance": on}


def asked_by(kit: Kit) -> Tensor:
    """The pipeline's own U-Net, asked as its `__call__` asks it."""
    text, *pooled = encoded_by(kit, CAPTIONS)
    added: dict[str, Tensor] = {}
    if pooled:
        rows = [
            (
                kit.pipeline._get_add_time_ids(
                    *(
                        tuple(int(v) for v in row[i].flip(0))
                        for row in (SIZES.original_B2, SIZES.crop_B2, SIZES.target_B2)
                    ),
                    dtype=torch.float32,
                    text_encoder_projection_dim=tiny_models.POOLED,
                )
            )
            for i in range(2)
        ]
        added = {"text_embeds": pooled[0], "time_ids": torch.cat(rows)}
    with torch.no_grad():
        return kit.pipeline.unet(noisy(), TIMES, text, added_cond_kwargs=added or None).sample
