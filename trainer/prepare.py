"""Before the first step: the model into memory, images and captions through it, what is no longer needed out again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from trainer.contract.adapter_lines import parse_line
from trainer.contract.events import Event, Phase
from trainer.contract.families import Recognised
from trainer.contract.machine import Machine
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Preset
from trainer.data.cache import Cache, fingerprint, trim
from trainer.data.latents import BrokenImages, Latents, LiveLatents, check_decodable, prepare_latents
from trainer.data.masks import LiveMasks, Masks, Weighing, prepare_masks
from trainer.data.text import LiveText, Text, prepare_text
from trainer.networks.applied import fit, merge
from trainer.parts import Family, LoadPlan, ModelFiles
from trainer.plan.plan import Plan
from trainer.saving.adapter import load_adapter
from trainer.timing.stopwatch import SILENT, Stopwatch

from .device import FORMATS

PROGRESS_S = 0.2
"""Seconds between two progress events of one phase."""


@dataclass(frozen=True)
class Sources:
    """Where batches come from, and which parts of the model that makes superfluous. `masks`: None where none are
    used."""

    latents: Latents
    text: Text
    superfluous: tuple[str, ...]
    masks: Masks | None = None


class Progress:
    """Tells of a phase that counts: not more than a few times a second, the last always.

    `stop_asked`: looked at each time, so that a stop need not wait for thousands of images."""

    def __init__(self, emit: Callable[[Event], None], stop_asked: Callable[[], bool]) -> None:
        self._emit, self._stop_asked, self._last = emit, stop_asked, 0.0

    def __call__(self, text: str, done: int, of: int) -> None:
        """Tell that `done` of `of` are through. KeyboardInterrupt where the run was asked to stop."""
        if self._stop_asked():
            raise KeyboardInterrupt
        if done >= of or time.monotonic() - self._last >= PROGRESS_S:
            self._last = time.monotonic()
            self._emit(Phase(text=f"{text}, {of} in all", done=done, of=of))


def load(
    family: Family, preset: Preset, recognised: Recognised, device: torch.device, encoders_only: bool = False
) -> None:
    """Load the base model as the preset says; Problems names what is wrong with its files."""
    chosen = preset.model
    prediction = chosen.prediction if chosen.prediction != "auto" else ""
    zero_snr = None if chosen.zero_snr == "auto" else chosen.zero_snr == "on"
    files = ModelFiles(chosen.path, recognised, chosen.vae, prediction, zero_snr)
    family.load(
        files,
        LoadPlan(
            device=device,
            base_dtype=FORMATS[str(preset.precision.base)],
            compute_dtype=FORMATS[preset.precision.compute],
            attention=preset.memory.attention,
            gradient_checkpointing=bool(preset.memory.gradient_checkpointing),
            clip_skip=preset.captions.clip_skip,
            max_tokens=preset.captions.max_tokens,
            encoders_only=encoders_only,
        ),
    )
    add_adapters(family, preset)
    check_weights(family, preset)


def add_adapters(family: Family, preset: Preset) -> None:
    """Add the adapters that `model.adapters` names to the base model's weights. Problems where one does not fit."""
    targets = family.targets(True, [part for part in family.parts if part != "vae"]) if preset.model.adapters else []
    for path, strength in (parse_line(line) for line in preset.model.adapters):
        try:
            tensors, _ = load_adapter(Path(path))
        except (OSError, ValueError) as error:
            why = f"{Path(path).name} cannot be read: {error}"
            raise Problems([Problem("model.adapters", why, "choose a file that is there and whole", "model")]) from None
        merge([(fit(path, tensors, targets, "model.adapters"), strength)])


def check_weights(family: Family, preset: Preset) -> None:
    """Problems where the base model holds values that are no finite numbers: a damaged file, a bad merge, or values
    that fp16 has no room for. Found now, or after hours as a loss that is none."""
    problems = []
    for part, module in family.parts.items():
        named = {name: value for name, value in module.named_parameters() if value.is_floating_point()}
        ends = [end.float() for value in named.values() for end in torch.aminmax(value)]  # 20 x faster than isfinite
        fine = torch.isfinite(torch.stack(ends)).view(-1, 2).all(dim=1).tolist()
        bad = [name for name, good in zip(named, fine) if not good]
        if not bad:
            continue
        path = "model.vae" if part == "vae" and preset.model.vae else "model.path"
        why = f"{len(bad)} layers of its {part} hold values that are no finite numbers (first: {bad[0]})"
        fix = "the file is damaged or badly merged: get it again, or choose another"
        if next(iter(named.values())).dtype == torch.float16:
            fix = "try precision.base = float: fp16 has no room above 65,504; else get the file again"
        problems.append(Problem(path, why, fix, "model"))
    if problems:
        raise Problems(problems)


def count_cut(family: Family, plan: Plan) -> str:
    """How many captions are longer than what is used of them, in a sentence; "" where none is."""
    longest = plan.preset.captions.max_tokens
    images = Counter(plan.caption_of(image) for image in range(len(plan.images)))
    tokens = {caption: family.count_tokens(caption) for caption in images}
    cut = sum(images[caption] for caption, count in tokens.items() if count > longest)
    if not cut:
        return ""
    whose = "1 caption is" if cut == 1 else f"{cut:,} captions are"
    return f"{whose} longer than {longest} tokens (up to {max(tokens.values())}): the rest is cut off."


def check_live(plan: Plan, progress: Progress) -> None:
    """Decode every image once where the run itself decodes them at each look, so that a bad one is found now and not in
    the middle. BrokenImages names them; the latent cache finds them by itself."""
    if not plan.latents_cached:
        broken = check_decodable([image.path for image in plan.images], progress)
        if broken:
            raise BrokenImages(broken)


def sources(family: Family, plan: Plan, machine: Machine, progress: Progress, watch: Stopwatch = SILENT) -> Sources:
    """Latents and text, from the caches as far as they are there. To be called before an adapter is attached."""
    preset = plan.preset
    paths = [image.path for image in plan.images]
    device = next(family.parts["vae"].parameters()).device.type  # what computed a value decides its last bits
    superfluous: tuple[str, ...] = ()
    check_live(plan, progress)
    latents: Latents = LiveLatents(paths, family, watch=watch)
    if plan.latents_cached:
        cache = Cache(machine.cache, "latents", f"{fingerprint(family.parts['vae'])}-{device}")
        latents = prepare_latents(plan.latent_pool(), paths, family, cache, preset.memory.vae_batch_size, progress)
        superfluous += ("vae",)
    encoders = tuple(sorted(name for name in family.parts if name.startswith("te")))
    text: Text = LiveText(family, preset.network.text_encoder, watch)
    if plan.text_mode != "live":
        marks = "-".join(fingerprint(family.parts[name]) for name in encoders)
        facts = (family.vocabulary, preset.captions.clip_skip, preset.captions.max_tokens, preset.precision.compute)
        cache = Cache(machine.cache, "text", f"{marks}-{facts}-{device}")
        text = prepare_text(plan.caption_pool(), family, cache, progress)
        superfluous += encoders
    return Sources(latents, text, superfluous, masks(plan, machine, progress, watch))


def masks(plan: Plan, machine: Machine, progress: Progress, watch: Stopwatch = SILENT) -> Masks | None:
    """The masks of the training images: decoded beforehand where their latents are cached, else at each look."""
    dataset = plan.preset.dataset
    if not any(plan.images[index].mask for index in plan.train):
        return None
    weighing = Weighing(plan.latent_factor, dataset.mask_outside, dataset.mask_normalise == "area")
    if not plan.latents_cached:
        return LiveMasks(plan.images, weighing, watch)
    learnt = frozenset(plan.train)
    draws = [draw for draw in plan.latent_pool() if draw.image in learnt]
    return prepare_masks(draws, plan.images, Cache(machine.cache, "masks", "grey"), weighing, progress)


def trim_cache(machine: Machine) -> None:
    """Keep the caches below the machine's limit."""
    trim(machine.cache, int(machine.cache_limit_gb * 1e9))
