"""What works between a run's steps, put together: files, checks, glances, figures, likeness of the pictures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from trainer import device as machines
from trainer.bench import ROOT, Bench, Trained
from trainer.contract.events import Phase, read
from trainer.contract.families import of as facts_of
from trainer.contract.machine import load_machine
from trainer.data.loader import Loader
from trainer.families import hub
from trainer.parts import Network
from trainer.plan.draws import number
from trainer.report.divergence import Alarm
from trainer.saving.hashes import BackgroundHash
from trainer.saving.metadata import RunFacts, adapter_metadata, optimizer_text
from trainer.update import Outcome, Update
from trainer.validation.likeness import Embed, load_embedder
from trainer.validation.measure import Glance, Result, grid, measure
from trainer.validation.stopping import EarlyStopping

from .checks import Checker, Watcher
from .keeper import Keeper, in_use
from .likener import Likener

NORM_EVERY = 10
"""Steps between two readings of the adapter's norm: two small products a layer, no waiting for the device."""


def make_keeper(bench: Bench, network: Network, optimizer: torch.optim.Optimizer) -> Keeper:
    """What writes the adapter files, and says in them how they were made."""
    preset, process = bench.preset, bench.family.process
    memory = load_machine(ROOT).cache / "hashes.json"
    model, vae = bench.model_hash, BackgroundHash(preset.model.vae, memory)
    began, facts = time.time(), facts_of(bench.recognised, process.prediction)
    arguments = {"weight_decay": preset.optimizer.weight_decay, **preset.optimizer.args}
    known = RunFacts(
        step=0,
        started=began,
        now=began,
        session=number(bench.run.id) % 2**32,
        network=tuple(network.facts()),
        optimizer=optimizer_text(optimizer, arguments),
        prediction=process.prediction,
        zero_snr=bool(bench.family.sampling.scheduler.get("rescale_betas_zero_snr", False)),
    )

    def metadata(step: int) -> dict[str, str]:
        now = replace(known, step=step, now=time.time(), model=model.result(), vae=vae.result())
        return adapter_metadata(bench.plan, facts, now)

    dtype = machines.FORMATS[preset.precision.save]
    return Keeper(bench.run, network, bench.plan, dtype, metadata, bench.emit, bench.watch)


def make_checker(bench: Bench, trained: Trained, loader: Loader, keeper: Keeper) -> Checker:
    """What measures the held-out images on the fixed grid, and acts on it."""
    plan, chosen = bench.plan, bench.preset.validation
    timesteps = grid(chosen.timesteps, len(bench.family.process.betas))

    def measured(images: tuple[int, ...]) -> Result:
        batches = (loader.fixed([draw]) for draw in plan.fixed_draws(images))
        return measure(trained.update.measure, batches, timesteps)

    stopping = EarlyStopping(chosen.patience, chosen.min_improvement)
    return Checker(plan, measured, stopping, keeper, bench.ranks, bench.emit)


def make_watcher(bench: Bench, trained: Trained, loader: Loader) -> Callable[[int, Outcome], Outcome]:
    """What adds a held-out image's loss to each step's outcome, where that is asked for."""
    plan = bench.plan
    if not plan.preset.validation.each_step or not plan.held_out or not bench.ranks.main:
        return lambda step, outcome: outcome
    glance = Glance(
        losses=trained.update.measure,
        batch=lambda draw: loader.fixed([draw]),
        images=plan.fixed_draws(plan.held_out),
        process_steps=len(bench.family.process.betas),
        seed=plan.preset.training.seed,
    )

    def look(step: int) -> torch.Tensor:
        with bench.watch.part("validation"), in_use(trained.network, trained.optimizer, trained.average):
            return glance(step)

    return Watcher(look, bench.emit)


def make_scales(bench: Bench, network: Network) -> Callable[[int, Outcome], Outcome]:
    """What adds the adapter's norm to a step's outcome now and then; it is read with the step's other figures."""
    last = bench.plan.steps.total

    def weigh(step: int, outcome: Outcome) -> Outcome:
        told = step == 1 or step % NORM_EVERY == 0 or step == last
        return replace(outcome, adapter_norm=network.norm()) if told and bench.ranks.main else outcome

    return weigh


def make_likener(bench: Bench) -> Likener | None:
    """What compares the samples with the held-out images, where a model for it is named."""
    name = bench.preset.validation.likeness_model
    if not name:
        return None

    def load() -> Embed:
        bench.emit(Phase(text="loading the likeness model"))
        return load_embedder(Path(name) if os.path.isdir(name) else hub.weights_folder(name))

    return Likener(bench.plan, bench.run.path, load, bench.emit)


def set_alarm(bench: Bench, update: Update) -> None:
    """Let a loss that diverges be told, with all that this run has seen of it in earlier processes."""
    if bench.ranks.main:
        alarm = Alarm(bench.preset, bench.emit, update.blank_loss())
        for event in read(bench.run.events):
            alarm.hear(event)
        bench.emit.add(alarm)
