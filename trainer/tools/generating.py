"""Pictures with adapters beside the base model: a row a prompt, a column a choice of adapters and strengths.

The model is loaded once and its weights are never changed: each column puts its adapters in front of the layers and
takes them off again, so that no column can leave a trace in the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainer import device as machines
from trainer import prepare
from trainer.bench import ROOT
from trainer.contract import families, tasks
from trainer.contract import preset as presets
from trainer.contract.events import Event, Phase, Sampled, Warned
from trainer.contract.families import Recognised
from trainer.contract.machine import load_machine
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import RunDir, Whole
from trainer.contract.settings import Preset
from trainer.contract.tasks import Done, Generating, Strength
from trainer.networks.applied import Applied, Loaded, fit
from trainer.parts import Conditioning, Family
from trainer.plan import recipes
from trainer.run import resolve
from trainer.sampling.denoise import draw
from trainer.sampling.grid import png, to_picture
from trainer.sampling.prompts import SIZE_MULTIPLE, Prompt, parse_prompts
from trainer.saving.adapter import load_adapter
from trainer.saving.hashes import BackgroundHash

Emit = Callable[[Event], None]
PROGRESS_S = 0.3
"""Seconds between two progress events."""


@dataclass(frozen=True)
class Easel:
    """What pictures are drawn with. `base_hash`: the model's SHA-256, "" for a folder."""

    family: Family
    device: torch.device
    task: Generating
    prompts: list[Prompt]
    adapters: dict[str, Loaded]
    steps: dict[str, int]
    make_scheduler: Callable[[], Any]
    shared: recipes.Recipe
    base_hash: Callable[[], str]


def work(run: RunDir, task: Generating, emit: Emit) -> Done:
    """Draw all columns. A request to stop is obeyed between two steps of the sampler; what is drawn stays."""
    emit(Phase(text="checking the model and the adapters"))
    preset, recognised = _checked(task)
    prompts = _prompts(task, emit)
    files = {file: _read(file) for file in dict.fromkeys(one.file for column in task.columns for one in column)}
    device, ranks = machines.join(preset)
    threads = machines.make_repeatable(device, machines.threads_wanted(preset))
    name = machines.device_name(device, ranks)
    run.update_state(device=name, threads=threads, versions=machines.versions())
    for doubt in machines.doubts(preset, device):
        emit(Warned(text=doubt))
    if run.peek("stop") is not None:
        return Done("stopped", "stopped before the model was loaded")
    hashed = BackgroundHash(task.model, load_machine(ROOT).cache / "hashes.json")
    emit(Phase(text="loading the model"))
    family: Family = resolve("families", recognised.family)()
    prepare.load(family, preset, recognised, device)
    scheduler = resolve("samplers", task.sampler)
    easel = Easel(
        family,
        device,
        task,
        prompts,
        _fitted(family, files, emit),
        {file: _step(metadata) for file, (_, metadata) in files.items()},
        partial(scheduler.from_config, dict(family.sampling.scheduler)),
        recipes.common(preset, family.sampling.scheduler),
        lambda: hashed.result().sha256,
    )
    return Painter(run, easel, emit).all()


def _checked(task: Generating) -> tuple[Preset, Recognised]:
    """The task's model settings as a preset. Problems lists what would not work before anything is loaded."""
    found = [
        Problem(name, f"{size} is not a multiple of {SIZE_MULTIPLE}", f"try {size // SIZE_MULTIPLE * SIZE_MULTIPLE}")
        for name, size in (("width", task.width), ("height", task.height))
        if size % SIZE_MULTIPLE
    ]
    recognised = families.recognise(task.model)
    if not recognised.trained:
        found.append(families.untrained(task.model, recognised))
    if found:
        raise Problems(found)
    values = {
        "model.path": task.model,
        "model.vae": task.vae,
        "model.prediction": task.prediction,
        "model.zero_snr": task.zero_snr,
        "hardware.gpus": task.gpus,
        "precision.compute": task.precision,
        "precision.base": task.base,
        "memory.attention": task.attention,
        "memory.gradient_checkpointing": False,
        "captions.clip_skip": task.clip_skip,
        "captions.max_tokens": task.max_tokens,
        "sampling.sampler": task.sampler,
    }
    known = families.of(recognised)
    return presets.resolve(presets.with_values(Preset(), values), known), recognised


def _prompts(task: Generating, emit: Emit) -> list[Prompt]:
    usual = Prompt("", task.negative, task.width, task.height, task.seed, task.steps, task.guidance)
    prompts, faults = parse_prompts(task.prompts, usual)
    for fault in faults:
        emit(Warned(text=fault))
    if not prompts or not task.columns:
        raise Problems([Problem("prompts", "there is nothing to draw", "write a prompt")])
    return prompts


def _read(file: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        return load_adapter(Path(file))
    except (OSError, ValueError) as error:
        why = f"{Path(file).name} cannot be read: {error}"
        raise Problems([Problem("adapter", why, "choose a LoRA file that is there and whole", "data")]) from None


def _step(metadata: dict[str, str]) -> int:
    """The step after which the adapter was written, as Kohya's metadata has it; 0 where they do not tell."""
    text = metadata.get("ss_steps", "")
    return int(text) if text.isdecimal() else 0


def _fitted(family: Family, files: dict[str, Any], emit: Emit) -> dict[str, Loaded]:
    targets = family.targets(True, [part for part in family.parts if part != "vae"])
    fitted = {file: fit(file, tensors, targets) for file, (tensors, _) in files.items()}
    for file, adapter in fitted.items():
        if adapter.unused:
            text = f"{Path(file).name}: {adapter.unused} of its layers are not in this model and are left out"
            emit(Warned(text=text))
    return fitted


class Painter:
    """Draws the columns of a task one after the other. Prompts are encoded once for all columns, and anew for those
    whose adapters change a text encoder."""

    def __init__(self, run: RunDir, easel: Easel, emit: Emit) -> None:
        self._run, self._easel, self._emit = run, easel, emit
        self._base: dict[str, Conditioning] = {}
        self._done, self._told = 0, 0.0
        self._count = len(easel.task.columns) * len(easel.prompts)
        self._steps = len(easel.task.columns) * sum(prompt.steps for prompt in easel.prompts)
        self._made = 0
        self._black = False

    def all(self) -> Done:
        """Every picture, or those up to a request to stop."""
        try:
            for number, column in enumerate(self._easel.task.columns):
                self._column(number, column)
        except KeyboardInterrupt:
            return Done("stopped", f"stopped after {self._done} of {self._count} pictures")
        return Done("done", "1 picture drawn" if self._done == 1 else f"{self._done} pictures drawn")

    def _column(self, number: int, column: Sequence[Strength]) -> None:
        prompts, began = self._easel.prompts, time.monotonic()
        chosen = [(self._easel.adapters[one.file], one.strength) for one in column]
        of_text = any(adapter.of_text and strength for adapter, strength in chosen)
        encoded = {} if of_text else self._base
        files: list[str] = []
        told: list[recipes.Recipe] = []
        try:
            with Applied(chosen):
                for row, prompt in enumerate(prompts):
                    told.append(self._recipe(prompt, column))
                    name = tasks.picture_name(number, row)
                    files.append(self._picture(name, prompt, told[row], column, encoded))
        finally:
            if files:
                self._emit(
                    Sampled(
                        files=files,
                        prompts=[prompt.text for prompt in prompts[: len(files)]],
                        seeds=[prompt.seed for prompt in prompts[: len(files)]],
                        recipes=told[: len(files)],
                        seconds=time.monotonic() - began,
                    )
                )

    def _picture(
        self,
        name: str,
        prompt: Prompt,
        told: recipes.Recipe,
        column: Sequence[Strength],
        encoded: dict[str, Conditioning],
    ) -> str:
        easel, text = self._easel, prompt.text
        for one in {text, prompt.negative} - set(encoded):
            with torch.no_grad():
                found = easel.family.encode_captions([one])
            encoded[one] = {key: values.to(easel.device) for key, values in found.items()}
        pixels_CHW = draw(
            easel.family,
            easel.make_scheduler(),
            prompt,
            encoded[text],
            encoded[prompt.negative],
            easel.device,
            before_step=self._before_step,
        )
        if not bool(torch.isfinite(pixels_CHW).all()) and not self._black:
            self._black = True
            self._emit(Warned(text="a picture is black where the model gave values that are no numbers: try float"))
        further = "".join(f" <lora:{Path(one.file).stem}:{one.strength:g}>" for one in _used(column)[1:])
        texts = {
            "parameters": recipes.a1111_text(text + further, told),
            "loratory": recipes.json_text(text, told),
        }
        path = self._run.samples / name
        self._run.put(path, Whole(png(to_picture(pixels_CHW), texts)))
        self._done += 1
        self._made += prompt.steps
        return path.relative_to(self._run.path).as_posix()

    def _before_step(self, number: int) -> None:
        """Tell how far it is, a few times a second; KeyboardInterrupt where the run was asked to stop."""
        if self._run.peek("stop") is not None or self._run.peek("pause") is not None:
            self._run.take("stop"), self._run.take("pause")
            raise KeyboardInterrupt
        if time.monotonic() - self._told < PROGRESS_S:
            return
        self._told = time.monotonic()
        text = f"drawing picture {self._done + 1} of {self._count}: sampler steps"
        self._emit(Phase(text=text, done=self._made + number, of=self._steps))

    def _recipe(self, prompt: Prompt, column: Sequence[Strength]) -> recipes.Recipe:
        easel, used = self._easel, _used(column)
        own: dict[str, Any] = {name: value for name, value in asdict(prompt).items() if name != "text"}
        if used:
            own |= {"adapter": Path(used[0].file).name, "strength": used[0].strength}
            own |= {"adapter_step": easel.steps[used[0].file]} if easel.steps[used[0].file] else {}
        if len(used) > 1:
            own["further"] = ", ".join(f"{Path(one.file).name} at {one.strength:g}" for one in used[1:])
        return recipes.of_picture({**easel.shared, "base_model_hash": easel.base_hash()}, own, 0, "")


def _used(column: Sequence[Strength]) -> list[Strength]:
    return [one for one in column if one.strength]
