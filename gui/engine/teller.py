"""What another trainer's words and figures mean as events of a run of ours: steps, files, pictures, checks."""

from __future__ import annotations

import contextlib
import math
import os
import re
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gui.engine.said import DRAWING, Begun, Checked, Device, Doing, Drawing, Fact, Found, Progress, Saving
from gui.engine.scalars import Scalar
from trainer.contract.events import Event, Noted, Phase, RunStarted, Sampled, Saved, StepDone, Validated
from trainer.contract.rundir import RunDir

FIGURES_BY = 3
"""The step by which figures must have come from TensorBoard files; else the losses are those of the progress bar."""

BAR_LOSS = (
    "sd-scripts writes no TensorBoard file here, so the loss is that of its progress bar: the mean over the steps of "
    "the last epoch, rounded to three digits. It moves more slowly than each step's own loss."
)

_DRAWN = re.compile(r"_(?P<when>e?\d{6})_(?P<number>\d{2})_\d{14}(?:_(?P<seed>\d+))?\.png$")
_GROUP = re.compile(r"lr/(?P<own>d\*lr/)?(?P<name>.+)")
_NAMES = {"textencoder": "text_encoder"}


@dataclass
class _Step:
    """A step whose figures are still coming."""

    losses: list[float] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    gradient: float | None = None
    step: int = 0
    time: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """What the run folder says of the run: `name` of the adapter, images a step, sample prompts in their order."""

    name: str
    per_step: int
    prompts: tuple[str, ...] = ()


class Teller:
    """Takes facts and figures and emits events. `device`: what is said of it where the other program does not."""

    def __init__(self, run: RunDir, recipe: Recipe, emit: Callable[[Event], None], device: str = "") -> None:
        self._run, self._recipe, self._emit, self._device = run, recipe, emit, device
        self._plan: Begun | None = None
        self._images = self.step = 0
        self.saved = ""
        self._saving: tuple[str, int] | None = None
        self._grown = -1
        self._bar: tuple[int, float] | None = None
        self._left_behind: list[tuple[int, float, float]] = []
        self._by_figures = self._by_bar = False
        self._coming = _Step()
        self._last_time = time.time()
        self._drawn_at, self._draws = 0, False
        self._check: float | None = None
        self._checked = -1

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer updates of an epoch."""
        plan = self._plan
        return max(1, math.ceil(plan.batches / plan.accumulate)) if plan else 1

    @property
    def decided(self) -> bool:
        """Whether it is known where the losses come from."""
        return self._by_figures or self._by_bar

    @property
    def total_steps(self) -> int:
        """Steps that the run is planned for; 0 before it has said so."""
        return self._plan.steps if self._plan else 0

    def take(self, fact: Fact) -> None:
        """Turn one fact into what it means."""
        if not isinstance(fact, Saving):
            self._finish_saving()
        if not isinstance(fact, Checked):
            self._tell_check()
        if isinstance(fact, Found):
            self._images += fact.images
        elif isinstance(fact, Device):
            self._device = fact.name
        elif isinstance(fact, Begun):
            self._plan = fact
            self._begin(fact)
        elif isinstance(fact, Doing):
            self._emit(Phase(step=self.step, text=fact.text, done=fact.done, of=fact.of))
        elif isinstance(fact, Progress):
            self._progress(fact)
        elif isinstance(fact, Saving):
            self._finish_saving()
            self._saving, self._grown = (fact.file, self._at), -1
        elif isinstance(fact, Drawing):
            self._drawn_at, self._draws = fact.step, True
            self._emit(Phase(step=self.step, text=DRAWING))
        elif isinstance(fact, Checked):
            self._check = fact.loss

    def _tell_check(self) -> None:
        """The bar of a check shows its last state several times, and once more when the program ends."""
        loss, self._check = self._check, None
        if loss is not None and not self._by_figures and self._checked != self._at:
            self._checked = self._at
            self._emit(Validated(step=self._at, loss=loss))

    def _begin(self, plan: Begun) -> None:
        self._emit(
            RunStarted(
                name=self._recipe.name,
                total_steps=plan.steps,
                steps_per_epoch=self.steps_per_epoch,
                total_epochs=plan.steps / self.steps_per_epoch,
                images=(self._images or plan.images + plan.held_out) - plan.held_out,
                held_out=plan.held_out,
                device=self._device,
            )
        )
        self._last_time = time.time()

    def _progress(self, bar: Progress) -> None:
        if self._draws:  # the bar goes on: all of the round's pictures are there
            self.samples()
        if bar.step >= FIGURES_BY and not self.decided:
            self._by_bar = True
            self._emit(Noted(text=BAR_LOSS))
        if self._bar is not None and self._bar[0] != bar.step:
            self._left_behind.append((*self._bar, time.time()))
        if self._by_bar:
            self._tell_bar()
        if bar.loss is not None and bar.step > 0:
            self._bar = bar.step, bar.loss

    def _tell_bar(self) -> None:
        """The steps that the bar has left: what it showed last is their loss."""
        for step, loss, when in self._left_behind:
            if step > self.step:
                self._done(_Step([loss], {}, None, step, when))
        self._left_behind.clear()

    def figures(self, scalars: Iterable[Scalar]) -> None:
        """Figures from the TensorBoard files, as they came. The losses of the batches that one step is made of are told
        one by one under the step before, the last of them under the step itself."""
        if self._by_bar:
            return
        came = False
        for scalar in scalars:
            came = True
            self._figure(scalar)
        if not came:
            self._close_coming()

    def _figure(self, scalar: Scalar) -> None:
        if scalar.tag == "loss/current":
            self._by_figures = True
            self._close_coming()
            self._coming.losses.append(scalar.value)
            self._coming.step, self._coming.time = scalar.step, scalar.time
            self._coming.rates = {}
        elif found := _GROUP.fullmatch(scalar.tag):
            name = _NAMES.get(found["name"], found["name"])
            if found["own"] or name not in self._coming.rates:
                self._coming.rates[name] = scalar.value
        elif scalar.tag == "norm/avg_grad_norm":
            self._coming.gradient = scalar.value
        elif scalar.tag in ("loss/validation/epoch_average", "loss/validation/step_average"):
            self._emit(Validated(step=max(self.step, self._coming.step), loss=scalar.value, time=scalar.time))

    def _close_coming(self) -> None:
        if self._coming.losses and self._coming.step > self.step:
            named = {name: rate for name, rate in self._coming.rates.items() if not re.fullmatch(r"group\d+", name)}
            self._coming.rates = named or self._coming.rates
            self._done(self._coming)
            self._coming = _Step()

    def _done(self, step: _Step) -> None:
        self.step = step.step
        event = StepDone(
            step=step.step,
            epoch=step.step / self.steps_per_epoch,
            loss=statistics.fmean(step.losses),
            learning_rate=step.rates,
            grad_norm=step.gradient,
            seconds=max(0.0, step.time - self._last_time),
            images=self._recipe.per_step,
            time=step.time,
        )
        self._last_time = step.time
        self._emit(event)

    @property
    def _at(self) -> int:
        """The newest step that is known of."""
        return max(self.step, self._bar[0] if self._bar else 0)

    def look(self) -> None:
        """To be called now and then: a file that does not grow any more is whole, though nothing else is said."""
        if self._saving is not None:
            with contextlib.suppress(OSError):
                before, self._grown = self._grown, (self._run.path / self._saving[0]).stat().st_size
                if self._grown == before:
                    self._finish_saving()

    def _finish_saving(self) -> None:
        """The file is whole once something else is done."""
        if self._saving is None:
            return
        name, step = self._saving
        with contextlib.suppress(OSError):
            bytes = (self._run.path / name).stat().st_size
            what = "final" if Path(name).stem == self._recipe.name else "in between"
            self._saving = None
            self._emit(Saved(step=step, file=name, bytes=bytes, what=what))
            self.saved = name

    def samples(self) -> None:
        """Move pictures that are finished to where the page shows them, and tell of each round."""
        self._draws = False
        rounds: dict[str, list[tuple[int, Path, re.Match[str]]]] = {}
        for path in sorted((self._run.path / "sample").glob("*.png")):
            if found := _DRAWN.search(path.name):
                rounds.setdefault(found["when"], []).append((int(found["number"]), path, found))
        for when, drawn in rounds.items():
            step = self._drawn_at if when.startswith("e") else int(when)
            pictures = [
                (number, self._moved(path, step, number), match["seed"]) for number, path, match in sorted(drawn)
            ]
            kept = [(number, file, seed) for number, file, seed in pictures if file]
            if kept:
                self._emit(
                    Sampled(
                        step=step,
                        files=[file for _, file, _ in kept],
                        prompts=[self._prompt(number) for number, _, _ in kept],
                        seeds=[int(seed) for _, _, seed in kept] if all(seed for _, _, seed in kept) else [],
                    )
                )

    def _moved(self, path: Path, step: int, number: int) -> str:
        name = f"{step:06}-{number:02}.png"
        try:
            self._run.samples.mkdir(exist_ok=True)
            os.replace(path, self._run.samples / name)
        except OSError:  # still held open by whoever writes it: the next look finds it again
            return ""
        return f"samples/{name}"

    def _prompt(self, number: int) -> str:
        return self._recipe.prompts[number] if number < len(self._recipe.prompts) else ""

    def finish(self) -> None:
        """Nothing more comes: what still waits is told."""
        self._close_coming()
        if self._bar is not None and not self._by_figures:
            self._left_behind.append((*self._bar, time.time()))
            self._tell_bar()
        self._finish_saving()
        self._tell_check()
        self.samples()
        with contextlib.suppress(OSError):
            (self._run.path / "sample").rmdir()
