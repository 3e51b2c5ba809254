"""The plan of a run: what is known before a model is loaded. `--check`, the page and the trainer share it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from trainer.contract import families, rules
from trainer.contract import preset as presets
from trainer.contract.adapter_lines import is_line, parse_line
from trainer.contract.families import Recognised
from trainer.contract.families.recognise import is_hub_id
from trainer.contract.parse import parse_gpus
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Preset

from . import names, timetable
from .adapter_size import measure
from .buckets import Placed, Size
from .captions import Source, compose, read_sources
from .describe import describe
from .draws import Draw, Draws, Recipe, Subject, looks_per_bucket
from .gather import gather, regularises, triggers
from .masks import check_decoded
from .model_notes import model_notes
from .notes import notes
from .scan import ImageFile, Unreadable
from .sides import Known
from .split import Division
from .started import ranks_of
from .steps import Steps, count_steps
from .subjects import probe_of, subjects_of, turns_of

__all__ = ["Adapter", "CaptionCounts", "Plan", "batches", "describe", "examine", "make_plan"]

NOTHING = Known()
_BYTES = {"float": 4, "fp16": 2, "bf16": 2}


@dataclass(frozen=True)
class CaptionCounts:
    """Images by where their text comes from. `files`: their own file, `fallback`: it is missing, so the trigger word is
    shown; `empty`: nothing at all is shown (they are among the others too)."""

    files: int
    fallback: int
    empty: int


@dataclass(frozen=True)
class Adapter:
    """What is trained: number of values, and about how large its file is. `problems`: why it cannot be built."""

    parameters: int
    bytes: int
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Plan:
    """`division`: which images are trained on and which are held out; `train_probe`: as many training images, measured
    beside the held-out ones. `buckets`: looks of the first epoch in each. `checkpoints`, `samples`, `validations`:
    steps after which each happens (0 is before the first). `text_mode`: "cached" (one caption an image), "variants"
    (several, encoded beforehand) or "live". `files`: names of the adapter files that will be written. `latent_factor`:
    pixels of a latent's side; `parts`: what the model is made of."""

    preset: Preset
    processes: int
    images: tuple[ImageFile, ...]
    unreadable: tuple[Unreadable, ...]
    placed: tuple[Placed, ...]
    sources: tuple[Source, ...]
    division: Division
    train_probe: tuple[int, ...]
    buckets: Mapping[Size, int]
    steps: Steps
    checkpoints: tuple[int, ...]
    samples: tuple[int, ...]
    validations: tuple[int, ...]
    captions: CaptionCounts
    latents_cached: bool
    text_mode: str
    adapter: Adapter
    files: tuple[str, ...]
    notes: tuple[str, ...]
    latent_factor: int
    parts: tuple[str, ...]
    draws: Draws = field(repr=False, compare=False)
    _subjects: Mapping[int, Subject] = field(repr=False, compare=False)

    @property
    def train(self) -> tuple[int, ...]:
        """Indices in `images` of those that are trained on."""
        return self.division.train

    @property
    def held_out(self) -> tuple[int, ...]:
        """Indices in `images` of those that are only measured."""
        return self.division.held_out

    @cached_property
    def regularisation(self) -> tuple[int, ...]:
        """Indices of the training images that only keep the model from forgetting."""
        return tuple(index for index in self.train if regularises(self.preset, self.images[index]))

    @cached_property
    def learnt(self) -> tuple[int, ...]:
        """Indices of the training images that are to be learnt."""
        return tuple(index for index in self.train if not regularises(self.preset, self.images[index]))

    @cached_property
    def to_be_masked(self) -> tuple[int, ...]:
        """Indices of the training images that a mask is looked for: those of folders with masks, or all that are to be
        learnt where the alpha channel is the mask."""
        dataset = self.preset.dataset
        if dataset.masks != "folders":
            return self.learnt if dataset.masks == "alpha" else ()
        return tuple(index for index in self.train if dataset.folders[self.images[index].folder].mask.strip())

    @cached_property
    def _trained(self) -> frozenset[int]:
        return frozenset(self.train)

    def looks_at(self, images: Sequence[int]) -> float:
        """Looks per epoch, on average, at those of these images that are trained on."""
        return sum(self._subjects[index].turns.mean for index in images if index in self._trained)

    @property
    def held_out_names(self) -> list[str]:
        """Their files, each relative to its folder, in the same order."""
        return [self.images[index].key.partition("/")[2] for index in self.held_out]

    def step_draws(self, step: int) -> list[list[Draw]]:
        """The micro-batches of optimizer step `step` (from 1, cumulative) over all processes together; `rank_slice`
        gives a process its part and says how to weigh it. The epoch in hand is remembered: go forward for speed."""
        return self.draws.step(step)

    def steps_of_epoch(self, epoch: int) -> list[list[list[Draw]]]:
        """All steps of an epoch (from 1): steps -> micro-batches -> draws."""
        first = (epoch - 1) * self.steps.per_epoch + 1
        return [self.step_draws(step) for step in range(first, first + self.steps.per_epoch)]

    def fixed_draws(self, indices: Sequence[int]) -> list[Draw]:
        """Images as they are measured (held out or probed): never flipped, moved or dropped, always the same noise."""
        return [self.draws.fixed(self._subjects[index]) for index in indices]

    def latent_pool(self) -> list[Draw]:
        """Every picture that the latent cache must hold, once each; empty where latents cannot be cached."""
        if not self.latents_cached:
            return []
        plain = self.fixed_draws([*self.train, *self.held_out])
        flipped = [replace(draw, flip=True) for draw in plain[: len(self.train)]] if self.preset.dataset.flip else []
        return plain + flipped

    def caption_pool(self) -> list[str]:
        """Every caption that will ever be needed, once each, in a stable order; empty where captions are drawn live."""
        if self.text_mode == "live":
            return []
        rules_of = self.preset.captions
        pool = dict.fromkeys(compose(source, rules_of) for source in self.sources)
        if self.text_mode == "variants":
            for subject in self.draws.subjects:
                count = range(self.preset.memory.caption_variants)
                pool |= dict.fromkeys(self.draws.variant_caption(subject, variant) for variant in count)
        if rules_of.dropout > 0:
            pool[""] = None
        return list(pool)

    def caption_of(self, image: int) -> str:
        """The caption of an image in its plain form, for people to read."""
        return compose(self.sources[image], self.preset.captions)

    def checkpoint_file(self, step: int) -> str:
        """Name of the in-between file after `step`."""
        return names.checkpoint_file(str(self.preset.saving.name), self.preset.saving.every, step, self.steps)

    def looks_per_image(self) -> float:
        """How often an image that is to be learnt is shown in the whole run, on average."""
        learnt = self.learnt
        return self.looks_at(learnt) * self.steps.epochs / max(len(learnt), 1)


def batches(plan: Plan, epoch: int) -> list[list[Draw]]:
    """All global batches of an epoch in order, whatever the accumulation."""
    return [batch for step in plan.steps_of_epoch(epoch) for batch in step]


def examine(preset: Preset, processes: int | None = None, known: Known = NOTHING) -> tuple[Preset, Recognised, Plan]:
    """A preset as loaded -> (resolved preset, what the base model is, plan); Problems of all kinds at once. `known`: as
    for `make_plan`.

    This is what `--check` and the trainer do first: settings against each other, the model's header, the images."""
    problems: list[Problem] = _missing_files(preset)
    recognised, family = None, families.default_family()
    try:
        recognised = families.recognise(preset.model.path)
        family = families.of(recognised, preset.model.prediction)
    except Problems as found:
        problems += found.problems
    resolved = presets.resolve(preset, family)
    problems += rules.check(resolved, family)
    if recognised is not None:
        problems += rules.check_model(resolved, recognised)
    plan = None
    try:
        plan = make_plan(resolved, processes, recognised, known=known)
    except Problems as found:
        problems += [problem for problem in found.problems if problem not in problems]
    if plan is not None:
        masked = [plan.images[index] for index in plan.train]
        problems += check_decoded(masked, resolved.dataset, cache=known.cache)
    if problems or plan is None or recognised is None:
        raise Problems(problems)
    return resolved, recognised, plan


def _missing_files(preset: Preset) -> list[Problem]:
    """Files that settings name and that are not there. A VAE may also be a hub id, which only loading can look up."""
    under = [parse_line(line)[0] for line in preset.model.adapters if is_line(line)]
    problems = [
        Problem(path, f"there is no file {file}", "check the path", "model")
        for path, file in [("network.start", preset.network.start), *(("model.adapters", file) for file in under)]
        if file and not os.path.isfile(file)
    ]
    prompts, vae, likeness = preset.sampling.prompts_file, preset.model.vae, preset.validation.likeness_model
    if preset.network.start and preset.network.start_ranks and not problems:
        problems += _no_ranks(preset.network.start)
    if prompts and not os.path.isfile(prompts):
        problems.append(Problem("sampling.prompts_file", f"there is no file {prompts}", "check the path", "data"))
    if vae and not os.path.exists(vae) and not is_hub_id(vae):
        problems.append(Problem("model.vae", f"there is no file or folder {vae}", "check the path", "model"))
    if likeness and not os.path.isdir(likeness) and not is_hub_id(likeness):
        why = f"there is no folder {likeness}"
        problems.append(Problem("validation.likeness_model", why, "check the path, or leave it empty", "model"))
    return problems


def _no_ranks(start: str) -> list[Problem]:
    """An adapter whose ranks are to be taken over and that tells none."""
    try:
        ranks_of(start)
    except (OSError, ValueError) as error:
        fix = "choose a LoRA, LoHa or GLoRA in Kohya's layout, or turn network.start_ranks off"
        return [Problem("network.start", str(error), fix, "model")]
    return []


def make_plan(
    preset: Preset,
    processes: int | None = None,
    recognised: Recognised | None = None,
    broken: Sequence[Unreadable] = (),
    known: Known = NOTHING,
) -> Plan:
    """The plan of a resolved preset. `processes`: how many share each step's work (None: as `hardware.gpus` says);
    `recognised`: the base model, for the adapter's exact size (None: the family's usual size). `broken`: images that
    turned out to be unreadable when they were decoded; they are left out and counted. `known`: what decides beside the
    preset which images are held out; nothing of it is written here.

    Problems for folders, images and captions that cannot be used. Settings are expected to have passed `rules.check`;
    those that the plan itself cannot compute with are raised as Problems too."""
    _must_compute(preset)
    processes = processes or len(parse_gpus(preset.hardware.gpus))
    gathered = gather(preset, broken, known)
    found, placed, division = gathered.found, gathered.placed, gathered.division
    sources, problems = read_sources(found.images, preset.captions, triggers(preset))
    adapter = adapter_of(preset, recognised)
    problems += adapter.problems
    if problems:
        raise Problems(problems)
    train, held_out = division.train, division.held_out
    batch, accumulate = int(preset.training.batch_size) * processes, preset.training.accumulate  # type: ignore[arg-type]
    turns, batches = turns_of(preset, gathered, batch)
    subjects = subjects_of(preset, gathered, sources, turns)
    training = [subjects[index] for index in train]
    looks = looks_per_bucket(training)
    steps = count_steps(looks, batch, accumulate, preset.training.length, batches)
    text_mode = timetable.text_mode(preset)
    checkpoints = timetable.checkpoint_steps(preset, steps)
    validations = timetable.validation_steps(preset, steps, held_out)
    draws = Draws(training, replace(_recipe(preset, batch, steps, text_mode), batches=batches))
    plan = Plan(
        preset=preset,
        processes=processes,
        images=found.images,
        unreadable=found.unreadable,
        placed=placed,
        sources=tuple(sources),
        division=division,
        train_probe=probe_of(preset, gathered, len(held_out)),
        buckets=looks,
        steps=steps,
        checkpoints=checkpoints,
        samples=timetable.sample_steps(preset, steps),
        validations=validations,
        captions=_count_captions(sources, preset),
        latents_cached=timetable.latents_cached(preset),
        text_mode=text_mode,
        adapter=adapter,
        files=timetable.files(preset, steps, checkpoints, bool(validations)),
        notes=(),
        latent_factor=_family_of(recognised).latent_factor,
        parts=_family_of(recognised).parts,
        draws=draws,
        _subjects=subjects,
    )
    return replace(plan, notes=(*found.notes, *model_notes(preset, recognised), *notes(plan)))


def _must_compute(preset: Preset) -> None:
    problems = [problem for rule in rules.FOR_THE_PLAN for problem in rule(preset)]
    if problems:
        raise Problems(problems)


def _recipe(preset: Preset, global_batch: int, steps: Steps, text_mode: str) -> Recipe:
    dataset = preset.dataset
    return Recipe(
        seed=preset.training.seed,
        global_batch=global_batch,
        accumulate=preset.training.accumulate,
        per_epoch=steps.per_epoch,
        total=steps.total,
        rules=preset.captions,
        flip=dataset.flip,
        random_crop=dataset.crop == "random",
        rotate=dataset.rotate,
        jitter=dataset.jitter,
        variants=preset.memory.caption_variants if text_mode == "variants" else 0,
    )


def _count_captions(sources: Sequence[Source], preset: Preset) -> CaptionCounts:
    return CaptionCounts(
        files=sum(source.origin == "file" for source in sources),
        fallback=sum(source.origin == "fallback" for source in sources),
        empty=sum(not compose(source, preset.captions) for source in sources),
    )


def _family_of(recognised: Recognised | None) -> families.Family:
    """The family of a base model that is trained; of none the default one."""
    trained = recognised is not None and recognised.trained
    return families.by_name(recognised.family) if recognised is not None and trained else families.default_family()


def adapter_of(preset: Preset, recognised: Recognised | None) -> Adapter:
    """The adapter that a resolved preset trains. `recognised`: the base model; None: the family's usual size.

    Nothing where its settings are not understood: `rules` tells of those."""
    trained = recognised if recognised is not None and recognised.trained else None
    family = families.of(trained)
    try:
        parameters, problems = measure(preset, family, trained.header if trained else {})
    except (ValueError, KeyError, re.error):
        return Adapter(0, 0)
    return Adapter(parameters, parameters * _BYTES[preset.precision.save], problems)
