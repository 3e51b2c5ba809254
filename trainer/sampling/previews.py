"""The sample pictures of a run: which prompts, when encoded, under which file names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainer.contract.events import Sampled
from trainer.contract.rundir import RunDir, Whole
from trainer.parts import Conditioning, Family
from trainer.plan import recipes

from .denoise import draw
from .grid import before_after, png, to_picture
from .prompts import Prompt, parse_prompt, read_prompts

SHEET = "before-after.png"


@dataclass(frozen=True)
class Recipe:
    """What is drawn: `file` replaces `lines` where it is not "". `usual`: what a prompt without flags gets. `told`:
    what the pictures' recipes have in common; `base_hash()` the base model's SHA-256 or "", `adapter(step)` the file
    that holds the adapter of a step or ""."""

    lines: tuple[str, ...]
    file: str
    usual: Prompt
    make_scheduler: Callable[[], Any]
    told: recipes.Recipe
    base_hash: Callable[[], str] = lambda: ""
    adapter: Callable[[int], str] = lambda step: ""


@dataclass(frozen=True)
class Kept:
    """An adapter that pictures are drawn with: the step of its weights, and the file that holds them or ""."""

    step: int
    file: str


class Previews:
    """Draws the prompts at a step and puts before and after side by side at the end.

    Files go to the run folder's `samples/`. `encode_anew`: the text encoder changes while training, so
    nothing may be kept encoded. `warn` takes sentences for the user. `encoder`: encodes captions where the model's own
    text encoder has left memory."""

    def __init__(
        self,
        family: Family,
        recipe: Recipe,
        run: RunDir,
        device: torch.device,
        warn: Callable[[str], None],
        encode_anew: bool = False,
        encoder: Callable[[Sequence[str]], Conditioning] | None = None,
    ) -> None:
        self._family, self._recipe, self._run, self._device = family, recipe, run, device
        self._warn, self._encode_anew, self._encoder = warn, encode_anew, encoder
        self._encoded: dict[str, Conditioning] = {}
        self._told: set[str] = set()
        self._first: dict[tuple[str, int], Path] = {}
        self._last: dict[tuple[str, int], tuple[int, Path]] = {}

    def prompts(self) -> list[Prompt]:
        """The prompts as they are now; what is wrong with them is told once."""
        recipe = self._recipe
        prompts, faults = read_prompts(recipe.file, recipe.lines, recipe.usual)
        for fault in faults:
            if fault not in self._told:
                self._told.add(fault)
                self._warn(f"sample prompts: {fault}")
        return prompts

    def encode(self) -> None:
        """Encode the prompts now, so that the text encoder may leave memory."""
        for prompt in self.prompts():
            self._conditioning(prompt.text)
            self._conditioning(prompt.negative)

    def _conditioning(self, text: str) -> Conditioning:
        if self._encode_anew:
            return self._encode(text)
        if text not in self._encoded:
            self._encoded[text] = self._encode(text)
        return self._encoded[text]

    def _encode(self, text: str) -> Conditioning:
        there = any(name.startswith("te") for name in self._family.parts)
        encode = self._family.encode_captions if there or self._encoder is None else self._encoder
        with torch.no_grad():
            encoded = encode([text])
        return {name: values.to(self._device) for name, values in encoded.items()}

    def draw(self, step: int, kept: Kept | None = None) -> Sampled | None:
        """Draw every prompt; None where there is none. An error is for the caller, who lets the run go on. `kept`: the
        weights are not those of `step` but those of an earlier one."""
        began = time.monotonic()
        prompts = self.prompts()
        kept = kept or Kept(step, self._recipe.adapter(step))
        if not prompts:
            return None
        told = [self._told_of(prompt, kept) for prompt in prompts]
        files = []
        for number, prompt in enumerate(prompts):
            path = self._draw_one(
                f"step{kept.step:08}_{number:02}.png", prompt, told[number], f"sample {number + 1} of step {kept.step}"
            )
            if step == 0:
                self._first[prompt.text, prompt.seed] = path
            self._last[prompt.text, prompt.seed] = (kept.step, path)
            files.append(path)
        drawn = self._sampled(step, prompts, files, told, began)
        return drawn if kept.step == step else replace(drawn, weights_step=kept.step)

    def draw_asked(self, step: int, line: str) -> Sampled:
        """One picture of a prompt that somebody asked for, flags as in the run's own; before and after know nothing of
        it."""
        began = time.monotonic()
        prompt, faults = parse_prompt(line, self._recipe.usual)
        for fault in faults:
            self._warn(f"the prompt that was asked for: {fault}")
        told = self._told_of(prompt, Kept(step, self._recipe.adapter(step)))
        number = 0
        while (self._run.samples / (name := f"step{step:08}_asked{number:02}.png")).exists():
            number += 1
        path = self._draw_one(name, prompt, told, f"the picture that was asked for at step {step}")
        return replace(self._sampled(step, [prompt], [path], [told], began), asked=True)

    def _sampled(
        self, step: int, prompts: Sequence[Prompt], files: Sequence[Path], told: list[recipes.Recipe], began: float
    ) -> Sampled:
        return Sampled(
            step=step,
            files=[file.relative_to(self._run.path).as_posix() for file in files],
            prompts=[prompt.text for prompt in prompts],
            seeds=[prompt.seed for prompt in prompts],
            recipes=told,
            seconds=time.monotonic() - began,
        )

    def _told_of(self, prompt: Prompt, kept: Kept) -> recipes.Recipe:
        own = {name: value for name, value in asdict(prompt).items() if name != "text"}
        shared = {**self._recipe.told, "base_model_hash": self._recipe.base_hash()}
        return recipes.of_picture(shared, own, kept.step, kept.file)

    def _draw_one(self, name: str, prompt: Prompt, told: recipes.Recipe, called: str) -> Path:
        pixels_CHW = draw(
            self._family,
            self._recipe.make_scheduler(),
            prompt,
            self._conditioning(prompt.text),
            self._conditioning(prompt.negative),
            self._device,
        )
        if not bool(torch.isfinite(pixels_CHW).all()) and "black" not in self._told:
            self._told.add("black")
            self._warn(
                f"{called} is black where the model gave values that are no numbers: it "
                "overflows in the chosen format (precision.compute)"
            )
        path = self._run.samples / name
        texts = {
            "parameters": recipes.a1111_text(prompt.text, told),
            "loratory": recipes.json_text(prompt.text, told),
        }
        self._run.put(path, Whole(png(to_picture(pixels_CHW), texts)))
        return path

    def drew(self, step: int) -> bool:
        """Whether the newest pictures are of this step."""
        return any(drawn == step for drawn, _ in self._last.values())

    def remember(self, drawn: Iterable[Sampled]) -> None:
        """Take what an earlier process of this run has drawn, so that before and after can be laid side by side."""
        for event in drawn:
            if event.asked:
                continue
            for file, key in zip(event.files, zip(event.prompts, event.seeds)):
                if event.step == 0:
                    self._first[key] = self._run.path / file
                step = event.step if event.weights_step is None else event.weights_step
                self._last[key] = (step, self._run.path / file)

    def sheet(self) -> Path | None:
        """Write before | after of the prompts that were drawn before the first step and since; None without any."""
        rows = [
            (text, first, self._last[text, seed][1])
            for (text, seed), first in self._first.items()
            if self._last[text, seed][0] > 0
        ]
        if not rows:
            return None
        last_step = max(step for step, _ in self._last.values())
        path = self._run.samples / SHEET
        self._run.put(path, Whole(png(before_after(rows, ("before", f"after {last_step} steps")))))
        return path
