"""The course of a run: the loop with what comes before its first step, between its steps and after its last."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from trainer.contract.events import RunStarted, Sampled, read
from trainer.contract.families import by_name
from trainer.contract.machine import load_machine
from trainer.contract.settings import parse_interval
from trainer.data.loader import Loader
from trainer.optim.optimizers import applied_rates
from trainer.optim.schedule import Scheduler
from trainer.parts import Network
from trainer.plan.draws import number
from trainer.plan.plan import Plan
from trainer.plan.steps import due_steps
from trainer.sampling.previews import Previews
from trainer.saving.hashes import BackgroundHash
from trainer.saving.metadata import RunFacts, adapter_metadata, optimizer_text
from trainer.saving.state import Held
from trainer.validation.measure import Result as Measured
from trainer.validation.measure import grid, measure
from trainer.validation.stopping import EarlyStopping

from . import device as machines
from . import loop
from .bench import ROOT, Bench
from .control import Control, Turn
from .moments import Checker, Keeper, in_use, lay_out, preview
from .resume import States
from .update import Update


@dataclass(frozen=True)
class Result:
    """How a run ended: as the loop says it, after which step, with which final file."""

    how: loop.How
    step: int
    file: str


@dataclass(frozen=True)
class Trained:
    """The adapter, and what changes it."""

    network: Network
    optimizer: torch.optim.Optimizer
    update: Update


def train_with(bench: Bench, trained: Trained, loader: Loader, previews: Previews | None) -> Result:
    """The loop with everything around it: before the first step, and after the last."""
    plan, emit, ranks = bench.plan, bench.emit, bench.ranks
    network, optimizer, update = trained.network, trained.optimizer, trained.update
    keeper = make_keeper(bench, network, optimizer)
    timesteps = grid(plan.preset.validation.timesteps, len(bench.family.process.betas))

    def measured(images: tuple[int, ...]) -> Measured:
        batches = (loader.fixed([draw]) for draw in plan.fixed_draws(images))
        return measure(update.measure, batches, timesteps)

    chosen = plan.preset.validation
    checker = Checker(plan, measured, EarlyStopping(chosen.patience, chosen.min_improvement), keeper, ranks, emit)

    def validate(step: int) -> bool:
        with in_use(network, optimizer):
            return checker.check(step)

    def draw(step: int) -> None:
        with in_use(network, optimizer):
            if ranks.main:
                preview(previews, step, emit)

    def save(step: int) -> None:
        with in_use(network, optimizer):
            if ranks.main:
                keeper.save(step)

    states = States(bench.run, Held(network.modules, optimizer, update.scaler, checker), plan, emit)

    def keep_state(step: int) -> None:
        if ranks.main:
            states.write(step)

    after = states.restore()
    if previews and after:
        previews.remember(event for event in read(bench.run.events) if isinstance(event, Sampled))
    control = Control(bench.run, ranks, turns(plan))
    control.listen()
    emit(started(bench, optimizer, after))
    if how := loop.ending(control.before(after + 1)):
        return Result(how, after, bench.run.read_state().adapter if after else "")
    if 0 in plan.samples and not after:
        draw(0)
    if 0 in plan.validations and not after:
        validate(0)
    network.training(True)
    parts = loop.Parts(
        update=update,
        take=lambda step: (loader.micro_batches(step), loader.looks(step)),
        set_rate=Scheduler(optimizer, plan.preset.schedule, plan.steps.total).set,
        rates=lambda: applied_rates(optimizer),
        validate=validate,
        preview=draw,
        save=save,
        control=control,
        emit=emit,
        fp16=plan.preset.precision.compute == "fp16",
        late=bench.device.type != "cpu",
        state=keep_state,
    )
    how, step = loop.train(parts, plan.steps, after)
    if ranks.main:
        states.write_last(step, how)
    with in_use(network, optimizer):
        file = finish(bench, keeper, checker, step) if ranks.main and how != "paused" else ""
    if previews:
        lay_out(previews, step, emit)
    ranks.wait()
    return Result(how, step, file)


def make_keeper(bench: Bench, network: Network, optimizer: torch.optim.Optimizer) -> Keeper:
    """What writes the adapter files, and says in them how they were made."""
    preset, process = bench.preset, bench.family.process
    memory = load_machine(ROOT).cache / "hashes.json"
    model, vae = BackgroundHash(preset.model.path, memory), BackgroundHash(preset.model.vae, memory)
    began, facts = time.time(), by_name(bench.recognised.family)
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
    return Keeper(bench.run.path, network, bench.plan, dtype, metadata, bench.emit)


def turns(plan: Plan) -> dict[str, Turn]:
    """When what is due: at the plan's steps, or by the clock."""
    preset = plan.preset
    due = {
        "validate": (preset.validation.every, plan.validations if plan.held_out else None),
        "sample": (preset.sampling.every, plan.samples),
        "save": (preset.saving.every, plan.checkpoints),
        "state": (preset.saving.state_every, due_steps(preset.saving.state_every, plan.steps)),
    }
    return {name: Turn(steps, parse_interval(every)) for name, (every, steps) in due.items() if steps is not None}


def started(bench: Bench, optimizer: torch.optim.Optimizer, after: int = 0) -> RunStarted:
    """The event that says what is about to be trained, after the steps that have been done."""
    plan = bench.plan
    trained = sum(value.numel() for group in optimizer.param_groups for value in group["params"])
    return RunStarted(
        step=after,
        name=str(plan.preset.saving.name),
        total_steps=plan.steps.total,
        steps_per_epoch=plan.steps.per_epoch,
        total_epochs=plan.steps.epochs,
        images=len(plan.train),
        held_out=len(plan.held_out),
        device=machines.device_name(bench.device, bench.ranks),
        trained_parameters=trained,
        versions=machines.versions(),
    )


def finish(bench: Bench, keeper: Keeper, checker: Checker, step: int) -> str:
    """The final file; returns its name, "" where the run ended before its first step."""
    if step == 0:
        return ""
    lowest = bench.preset.validation.stop == "stop and keep the lowest" and checker.has_lowest
    file = keeper.lowest_as_final(step) if lowest else keeper.save_final(step)
    bench.run.update_state(step=step, adapter=file)
    return file
