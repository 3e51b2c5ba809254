"""The composition root: a run folder's preset becomes parts, the parts a loop. The only reader of catalog targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import torch

from trainer.contract import catalog
from trainer.contract import preset as presets
from trainer.contract.events import Noted, Phase, Warned
from trainer.contract.machine import load_machine
from trainer.contract.problems import Problem, Problems, RunEnded
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset
from trainer.data.loader import Loader, Share
from trainer.families.hub import snapshot
from trainer.noise.objective import Objective
from trainer.noise.process import Tables
from trainer.noise.weighting import chosen_weights
from trainer.optim.average import Average
from trainer.parts import Conditioning, Family, Network
from trainer.plan import recipes
from trainer.plan.gather import keep as keep_split
from trainer.plan.heldout import summary
from trainer.plan.plan import examine, make_plan
from trainer.plan.scan import Unreadable
from trainer.plan.sides import Known, of_run
from trainer.plan.timetable import draws_samples
from trainer.report.causes import ran_out
from trainer.sampling.previews import Previews, Recipe
from trainer.sampling.prompts import Prompt
from trainer.saving.hashes import BackgroundHash
from trainer.sinks.fan import Fan
from trainer.timing.stopwatch import SILENT, stopwatch

from . import device as machines
from . import prepare
from .bench import ROOT, Bench, Trained
from .course import Result, train_with
from .rescue import out_of_memory
from .trained import after_each, is_random, make_average, make_trained
from .update import Clipping, Update


def resolve(table: str, name: str) -> Any:
    """The class or function of a catalog row. Nothing else is ever imported by name."""
    entry = catalog.optimizer(name) if table == "optimizers" else catalog.find(table, name)
    if entry is None:
        raise Problems([Problem(table, f"there is no {name!r}", "one of " + ", ".join(catalog.names(table)))])
    module, _, attribute = entry.target.partition(":")
    return getattr(import_module(module), attribute)


def train(run: RunDir, emit: Fan) -> Result:
    """Train what the run folder's preset says, from the first check to the last file. Problems before anything is
    loaded as far as they can be known, else whatever goes wrong."""
    bench = set_up(run, emit)
    try:
        return _train(bench)
    except Exception as error:
        if ran_out(error) and not isinstance(error, RunEnded):
            raise out_of_memory(error, bench) from error
        raise


def _train(bench: Bench) -> Result:
    bench, sources = with_sources(bench)
    previews = make_previews(bench)
    network, optimizer = make_network(bench)
    release(bench, sources.superfluous, previews)
    average = make_average(bench.preset, optimizer)
    update = make_update(bench, optimizer, network, average)
    return train_with(bench, Trained(network, optimizer, update, average), make_loader(bench, sources), previews)


def set_up(run: RunDir, emit: Fan, vary: Callable[[Preset], Preset] = lambda preset: preset) -> Bench:
    """Check everything, join the other processes, load the model. `vary`: what is trained instead of the preset."""
    emit(Phase(text="checking settings and images"))
    known = Known(load_machine(ROOT).cache, of_run(run.path))
    chosen = vary(presets.load(run.preset))
    _, recognised, plan = examine(chosen, known=known)
    if not recognised.header:  # a model of the hub that is not here yet: what it is could only be guessed
        emit(Phase(text="downloading the model"))
        snapshot(chosen.model.path)
        _, recognised, plan = examine(chosen, known=known)
    device, ranks = machines.join(plan.preset)
    threads = machines.make_repeatable(device, machines.threads_wanted(plan.preset))
    for note in (*plan.notes, *machines.doubts(plan.preset, device)):
        emit(Warned(text=note))
    if ranks.main:
        name = machines.device_name(device, ranks)
        total, versions = plan.steps.total, machines.versions()
        state = run.update_state(threads=threads, device=name, total_steps=total, versions=versions)
        add_sinks(run, emit, plan.preset)
        prepare.trim_cache(load_machine(ROOT))
        if state.kind == "training":  # a preflight leaves no trace: images may still be added before the run
            keep_split(plan.preset, plan.images, plan.division, run.path, known)
    if plan.held_out:
        emit(Noted(text=f"{summary(plan)}.", setting="validation.split"))
    emit(Phase(text="loading the model"))
    model_hash = BackgroundHash(plan.preset.model.path if ranks.main else "", load_machine(ROOT).cache / "hashes.json")
    family: Family = resolve("families", recognised.family)()
    prepare.load(family, plan.preset, recognised, device)
    if cut := prepare.count_cut(family, plan):
        emit(Warned(text=cut, setting="captions.max_tokens"))
    watch = stopwatch(device) if ranks.main else SILENT
    return Bench(run, emit, plan, recognised, family, device, ranks, model_hash, watch)


def with_sources(bench: Bench) -> tuple[Bench, prepare.Sources]:
    """Images and captions encoded. Images that turn out to be unreadable are named and left out: the plan, and with it
    the number of steps, is made again without them; Problems where none is left."""
    machine = load_machine(ROOT)
    progress = prepare.Progress(bench.emit, lambda: asked_to_end(bench.run))
    try:
        with bench.ranks.main_first():
            return bench, prepare.sources(bench.family, bench.plan, machine, progress, bench.watch)
    except prepare.BrokenImages as error:
        broken = {image.path: image.why for image in error.broken}
    for path, why in broken.items():
        bench.emit(Warned(text=f"{path} is skipped: {why}", setting="dataset.folders"))
    left_out = [Unreadable(path, why) for path, why in broken.items()]
    known = Known(machine.cache, of_run(bench.run.path))
    plan = make_plan(bench.preset, bench.ranks.count, bench.recognised, left_out, known)
    if bench.ranks.main:
        bench.run.update_state(total_steps=plan.steps.total)
    bench = replace(bench, plan=plan)
    with bench.ranks.main_first():
        return bench, prepare.sources(bench.family, plan, machine, progress, bench.watch)


def asked_to_end(run: RunDir) -> bool:
    """Whether the run is to end before it has begun; a pause that names a step waits for it."""
    return run.peek("stop") is not None or run.peek("pause") == ""


def add_sinks(run: RunDir, emit: Fan, preset: Preset) -> None:
    """The loggers that the preset asks for; one that cannot start is told and left out."""
    wanted: list[Callable[[], Any]] = []
    if preset.logging.tensorboard:
        wanted.append(lambda: resolve("sinks", "tensorboard")(run.path))
    if preset.logging.wandb:
        wanted.append(lambda: resolve("sinks", "wandb")(run.path, preset.logging.project))
    for make in wanted:
        try:
            emit.add(make())
        except Exception as error:  # whatever a logger raises, the training must go on
            emit(Warned(text=f"a logger is left out: {error}", setting="logging"))


def make_loader(bench: Bench, sources: prepare.Sources) -> Loader:
    """What gives each step's batches to this process."""
    share = Share(bench.ranks.rank, bench.ranks.count)
    sizes = [(image.size.width, image.size.height) for image in bench.plan.images]
    latents, text, masks = sources.latents, sources.text, sources.masks
    return Loader(bench.plan.draws, sizes, latents, text, bench.device, share, bench.watch, masks)


def make_previews(bench: Bench) -> Previews | None:
    """The sample pictures, with their prompts encoded; None where none are to be drawn, or by another process."""
    sampling = bench.preset.sampling
    if not draws_samples(bench.preset) or not bench.ranks.main:
        return None
    width, height, steps, guidance = (
        sampling.width,
        sampling.height,
        sampling.steps,
        sampling.guidance,
    )
    usual = Prompt("", sampling.negative, int(width), int(height), sampling.seed, int(steps), float(guidance))  # type: ignore[arg-type]
    scheduler = resolve("samplers", str(sampling.sampler))
    make = partial(scheduler.from_config, dict(bench.family.sampling.scheduler))
    recipe = Recipe(
        tuple(sampling.prompts),  # type: ignore[arg-type]
        sampling.prompts_file,
        usual,
        make,
        told=recipes.common(bench.preset, bench.family.sampling.scheduler),
        base_hash=lambda: bench.model_hash.result().sha256,
        adapter=partial(recipes.adapter_file, bench.plan),
    )

    def warn(text: str) -> None:
        bench.emit(Warned(text=text, setting="sampling.prompts"))

    trained = bench.preset.network.text_encoder
    again = partial(encode_again, bench)
    previews = Previews(bench.family, recipe, bench.run, bench.device, warn, encode_anew=trained, encoder=again)
    if not trained:
        previews.encode()
    return previews


def encode_again(bench: Bench, captions: Sequence[str]) -> Conditioning:
    """Captions encoded where the text encoders have left memory: they are loaded once more, into main memory, for as
    long as that takes. The training goes on unchanged."""
    bench.emit(Phase(text="loading the text encoder again"))
    family: Family = resolve("families", bench.recognised.family)()
    preset = presets.with_values(bench.preset, {"memory.attention": "sdpa"})
    prepare.load(family, preset, bench.recognised, torch.device("cpu"), encoders_only=True)
    return family.encode_captions(captions)


def release(bench: Bench, superfluous: tuple[str, ...], previews: Previews | None) -> None:
    """Drop the parts of the model that neither training nor samples need. A prompt file may bring new prompts at any
    time, so it keeps the text encoder."""
    keep = {"vae"} if previews else set()
    if bench.preset.network.text_encoder or (previews and bench.preset.sampling.prompts_file):
        keep |= {name for name in bench.family.parts if name.startswith("te")}
    for part in superfluous:
        if part not in keep:
            bench.family.release(part)


def make_network(bench: Bench) -> tuple[Network, torch.optim.Optimizer]:
    """The adapter, attached, and its optimizer."""
    kind, optimizer = (
        resolve("networks", bench.preset.network.type),
        resolve("optimizers", bench.preset.optimizer.name),
    )
    return make_trained(bench, kind, optimizer)


def make_update(
    bench: Bench, optimizer: torch.optim.Optimizer, network: Network, average: Average | None = None
) -> Update:
    """One optimizer update, with the preset's loss, noise and clipping, and what follows each."""
    preset, noise = bench.preset, bench.preset.noise
    objective = Objective(resolve("losses", noise.loss), noise, chosen_weights(noise), preset.training.seed)
    scaler = torch.amp.GradScaler(bench.device.type) if preset.precision.compute == "fp16" else None
    on_device = bench.device.type != "cpu" and not catalog.optimizer(preset.optimizer.name).waits
    clipping = Clipping(preset.optimizer.max_grad_norm, scaler, on_device)
    tables = Tables(bench.family.process, bench.device)
    after = after_each(preset, network, average)
    return Update(
        bench.family, tables, objective, optimizer, clipping, bench.ranks, is_random(preset), bench.watch, after
    )
