"""The course of a run: the loop with what comes before its first step, between its steps and after its last."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from trainer.contract import checkpoints
from trainer.contract.events import Phase, RunStarted, Sampled, Validated, read
from trainer.contract.families import by_name
from trainer.contract.machine import load_machine
from trainer.contract.settings import parse_interval
from trainer.data.loader import Loader
from trainer.families import hub
from trainer.optim.optimizers import applied_rates
from trainer.optim.schedule import Scheduler
from trainer.parts import Network
from trainer.plan.draws import number
from trainer.plan.steps import due_steps
from trainer.report.divergence import Alarm
from trainer.sampling.previews import Previews
from trainer.saving.hashes import BackgroundHash
from trainer.saving.metadata import RunFacts, adapter_metadata, optimizer_text
from trainer.saving.state import Held
from trainer.validation.likeness import Embed, load_embedder
from trainer.validation.measure import Glance, grid, measure
from trainer.validation.measure import Result as Measured
from trainer.validation.pace import Pacer
from trainer.validation.stopping import EarlyStopping

from . import device as machines
from . import loop
from .autopsy import Body
from .bench import ROOT, Bench
from .checks import Checker, Watcher
from .control import Control, Due, Turn
from .gauges import Gauges
from .likener import Likener
from .moments import Keeper, attempt, draw_final, in_use, lay_out, preview
from .rescue import Keeping, rescue, save_again
from .resume import States
from .timekeeper import Timekeeper
from .update import Outcome, Update

NORM_EVERY = 10
"""Steps between two readings of the adapter's norm: two small products a layer, no waiting for the device."""


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
    plan, ranks, clock = bench.plan, bench.ranks, bench.watch
    emit = Timekeeper(clock, Gauges(bench.device).read, plan.preset, bench.emit)
    network, optimizer, update = trained.network, trained.optimizer, trained.update
    keeper = make_keeper(bench, network, optimizer)
    checker = make_checker(bench, trained, loader, keeper)
    watch, liken = make_watcher(bench, trained, loader), make_likener(bench)
    weigh = make_scales(bench, network)

    def validate(step: int) -> bool:
        with clock.part("validation"), in_use(network, optimizer):
            return checker.check(step)

    def draw(step: int) -> None:
        if not ranks.main:
            return
        with clock.part("sampling"), in_use(network, optimizer):
            drawn = preview(previews, step, emit)
        compare(drawn)

    def compare(drawn: Sampled | None) -> None:
        if drawn and liken:
            with clock.part("validation"):
                liken(drawn)

    def save(step: int) -> None:
        with in_use(network, optimizer):
            if ranks.main:
                attempt("an adapter could not be saved; the next time is tried again", keeper.save, step, emit)

    overflows = loop.Overflows()
    states = States(bench.run, Held(network.modules, optimizer, update.scaler, checker, overflows), plan, emit)

    def keep_state(step: int) -> None:
        if ranks.main:
            emit.tell(step)  # who goes on from this state then has the time up to it
            with clock.part("saving"):
                states.write(step)

    def keep_adapter(step: int) -> str:
        with in_use(network, optimizer):
            file = keeper.save_final(step)
        bench.run.update_state(step=step, adapter=file)
        return file

    keeping = Keeping(keep_state, keep_adapter)
    after = states.restore()
    checker.tidy(after)
    if previews and after:
        previews.remember(event for event in read(bench.run.events) if isinstance(event, Sampled))
    control = Control(bench.run, ranks, turns(bench, after))
    control.listen()
    emit(started(bench, optimizer, after))
    if how := loop.ending(control.before(after + 1)):
        return Result(how, after, bench.run.read_state().adapter if after else "")
    set_alarm(bench, update)
    clock.start()
    if 0 in plan.samples and not after:
        draw(0)
    if 0 in plan.validations and not after:
        validate(0)
    network.training(True)
    parts = loop.Parts(
        update=lambda step, batches, looks: weigh(step, watch(step, update(step, batches, looks))),
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
        overflows=overflows,
    )
    try:
        how, step = loop.train(parts, plan.steps, after)
    except Exception as error:
        body = Body(plan, bench.family, network, update, loader, ranks.count)
        rescue(error, bench, body, keeping, after)
    if ranks.main:
        emit.tell(step)
        with clock.part("saving"):
            states.write_last(step, how)
    file, weights_step = "", step
    if ranks.main and how != "paused":
        try:
            with in_use(network, optimizer):
                file, weights_step = finish(bench, keeper, checker, step)
        except Exception as error:
            file = save_again(error, bench, keeping, step)
    with in_use(network, optimizer):
        if file and previews and how in ("done", "stopped early"):  # who stops a run does not want to wait for pictures
            with clock.part("sampling"):
                drawn = draw_final(previews, keeper, file, weights_step, step)
            compare(drawn)
    if previews:
        with clock.part("sampling"):
            lay_out(previews, step, emit)
    emit.tell(step, wait=True)
    ranks.wait()
    return Result(how, step, file)


def make_keeper(bench: Bench, network: Network, optimizer: torch.optim.Optimizer) -> Keeper:
    """What writes the adapter files, and says in them how they were made."""
    preset, process = bench.preset, bench.family.process
    memory = load_machine(ROOT).cache / "hashes.json"
    model, vae = bench.model_hash, BackgroundHash(preset.model.vae, memory)
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
    return Keeper(bench.run, network, bench.plan, dtype, metadata, bench.emit, bench.watch)


def make_checker(bench: Bench, trained: Trained, loader: Loader, keeper: Keeper) -> Checker:
    """What measures the held-out images on the fixed grid, and acts on it."""
    plan, chosen = bench.plan, bench.preset.validation
    timesteps = grid(chosen.timesteps, len(bench.family.process.betas))

    def measured(images: tuple[int, ...]) -> Measured:
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
        with bench.watch.part("validation"), in_use(trained.network, trained.optimizer):
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


def turns(bench: Bench, after: int) -> dict[str, Due]:
    """When what is due: at the plan's steps, or by the clock; a full state also where those before are gone. `after`:
    steps done by earlier processes."""
    plan, preset = bench.plan, bench.preset
    at = {
        "sample": (preset.sampling.every, plan.samples),
        "save": (preset.saving.every, plan.checkpoints),
        "state": (preset.saving.state_every, due_steps(preset.saving.state_every, plan.steps)),
    }
    also = {"state": bench.run.state_wanted} if preset.saving.state_every != "never" else {}
    due: dict[str, Due] = {
        name: Turn(steps, parse_interval(every), also=also.get(name, bool)) for name, (every, steps) in at.items()
    }
    if not plan.held_out or not bench.ranks.main:
        return due
    every = preset.validation.every
    checks = make_pacer(bench, after) if every == "auto" else Turn(plan.validations, parse_interval(every))
    return {"validate": checks, **due}


def make_pacer(bench: Bench, after: int) -> Pacer:
    """What decides by the clock when held-out images are measured; it hears the run's events, earlier ones first."""
    run, chosen = bench.run, bench.preset.validation
    lost = [event.step for event in read(run.path / checkpoints.LOST) if isinstance(event, Validated)]
    pacer = Pacer(
        bench.plan.steps.total,
        chosen.budget,
        bench.emit,
        again=[step for step in lost if step > after],
        stops=chosen.stop != "report only",
    )
    for event in read(run.events):
        pacer.write(event)
    pacer.resumed()
    bench.emit.add(pacer)
    return pacer


def set_alarm(bench: Bench, update: Update) -> None:
    """Let a loss that diverges be told, with all that this run has seen of it in earlier processes."""
    if bench.ranks.main:
        alarm = Alarm(bench.preset, bench.emit, update.blank_loss())
        for event in read(bench.run.events):
            alarm.hear(event)
        bench.emit.add(alarm)


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
        held_out_images=plan.held_out_names,
        device=machines.device_name(bench.device, bench.ranks),
        trained_parameters=trained,
        versions=machines.versions(),
    )


def finish(bench: Bench, keeper: Keeper, checker: Checker, step: int) -> tuple[str, int]:
    """The final file and the step of its weights; "" where the run ended before its first step."""
    if step == 0:
        return "", 0
    kept_step = checker.kept_step if bench.preset.validation.stop == "stop and keep the lowest" else 0
    file = keeper.lowest_as_final(step, kept_step) if kept_step else keeper.save_final(step)
    bench.run.update_state(step=step, adapter=file)
    return file, kept_step or step
