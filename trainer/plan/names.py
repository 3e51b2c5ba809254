"""Names of the files that a run writes: sd-scripts' numbering, which other tools and people know."""

from __future__ import annotations

from trainer.contract.settings import parse_interval

from .steps import Steps

SUFFIX = ".safetensors"


def final_file(name: str) -> str:
    """The adapter at the end of the run: `name.safetensors`."""
    return f"{name}{SUFFIX}"


def epoch_file(name: str, epoch: int) -> str:
    """The adapter after a whole epoch (from 1): `name-000010.safetensors`."""
    return f"{name}-{epoch:06d}{SUFFIX}"


def step_file(name: str, step: int) -> str:
    """The adapter after a step: `name-step00000500.safetensors`."""
    return f"{name}-step{step:08d}{SUFFIX}"


def lowest_file(name: str) -> str:
    """The adapter of the lowest validation loss so far: `name-lowest-validation-loss.safetensors`."""
    return f"{name}-lowest-validation-loss{SUFFIX}"


def diffusers_file(file: str) -> str:
    """The copy of an adapter file in diffusers' names: `name.diffusers.safetensors`."""
    return f"{file.removesuffix(SUFFIX)}.diffusers{SUFFIX}"


def checkpoint_file(name: str, every: str, step: int, steps: Steps) -> str:
    """The in-between file after `step` where saving is due `every`: numbered by epoch if that counts epochs and one is
    complete, else by step (minutes and saves on request included)."""
    if parse_interval(every).unit == "epoch" and steps.ends_epoch(step):
        return epoch_file(name, steps.epoch_of(step))
    return step_file(name, step)
