"""What the parts of a run are put together from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from trainer.contract.families import Recognised
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset
from trainer.optim.average import Average
from trainer.parts import Family, Network
from trainer.plan.plan import Plan
from trainer.saving.hashes import BackgroundHash
from trainer.sinks.fan import Fan
from trainer.timing.stopwatch import SILENT, Stopwatch

from .parallel import Ranks
from .update import Update

ROOT = Path(__file__).resolve().parents[1]
"""The checkout, where the machine file is looked for."""


@dataclass(frozen=True)
class Bench:
    """What everything else is put together from. `model_hash`: of the base model's file, in the works."""

    run: RunDir
    emit: Fan
    plan: Plan
    recognised: Recognised
    family: Family
    device: torch.device
    ranks: Ranks
    model_hash: BackgroundHash
    watch: Stopwatch = SILENT

    @property
    def preset(self) -> Preset:
        """The resolved preset."""
        return self.plan.preset


@dataclass(frozen=True)
class Trained:
    """The adapter, what changes it, and the moving average that it is used with, if there is one."""

    network: Network
    optimizer: torch.optim.Optimizer
    update: Update
    average: Average | None = None
