"""What an autopsy found, in words: how a step came to have no finite loss or gradient, and what to try, in order."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from trainer.contract.problems import Problem
from trainer.contract.settings import Preset

Where = Literal["adapter", "base model", "latents", "caption", "forward", "backward", "gradient", "nowhere", "unknown"]

RISEN = 3.0
"""So many times the loss of the first steps counts as a run that was leaving the rails already."""


@dataclass(frozen=True)
class Look:
    """One look of the step. `micro_batch` counts from 1; `loss` None where it was not computed."""

    image: str
    timestep: int
    caption: str = ""
    micro_batch: int = 1
    process: int = 0
    loss: float | None = None


@dataclass(frozen=True)
class Found:
    """The first value that was not finite. `layer`: the part's name and the module's path, or the file that it came
    from. `input_largest`: of the layer's inputs, as far as they were finite. `looks`: those computed together."""

    where: Where
    layer: str = ""
    dtype: str = ""
    input_largest: float | None = None
    looks: list[Look] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """All that is known of the step. `kept`: the last good step, whose adapter is kept. `before`: loss and gradient
    norm of the steps before, oldest first; `start_loss`: median of the run's first steps."""

    step: int
    kept: int
    loss: float
    grad_norm: float
    device: str
    found: Found
    looks: list[Look]
    preset: Preset
    before: list[tuple[float, float]] = field(default_factory=list)
    start_loss: float | None = None
    loss_scale: float | None = None


def story(case: Case) -> list[str]:
    """What happened, in sentences, then what to try as "setting: why - fix" lines, the most promising first."""
    precision = case.preset.precision
    scale = f", loss scale {case.loss_scale:g}" if case.loss_scale is not None else ""
    lines = [
        f"Step {case.step} had the loss {case.loss:g} and the gradient norm {case.grad_norm:g}. It was left out: the "
        f"adapter is that of step {case.kept}.",
        f"Computed in {precision.compute}, base model in {precision.base}, on {case.device}{scale}.",
        _WHERE[case.found.where](case.found),
        *_looks(case),
        *_history(case),
    ]
    return lines + [str(problem) for problem in remedies(case)]


def remedies(case: Case) -> list[Problem]:
    """What to try, the most promising first."""
    special = _SPECIAL.get(case.found.where)
    return special(case) if special else _usual(case)


def _looks(case: Case) -> list[str]:
    """The images of the pass at fault, else of the whole step."""
    shown = case.found.looks or case.looks
    several = len({(look.process, look.micro_batch) for look in case.looks}) > 1
    named = []
    for look in shown[:12]:
        loss = "" if look.loss is None else f", loss {look.loss:.4g}"
        batch = f", batch {look.micro_batch} of the step" if several else ""
        named.append(f"{look.image} (timestep {look.timestep}{batch}{loss})")
    more = f" and {len(shown) - 12} more" if len(shown) > 12 else ""
    return [f"Its images: {'; '.join(named)}{more}."] if named else []


def _history(case: Case) -> list[str]:
    if not case.before:
        return []
    losses = ", ".join(f"{loss:.3g}" for loss, _ in case.before[-5:])
    norms = ", ".join(f"{norm:.3g}" for _, norm in case.before[-5:])
    risen = f" The run began at {case.start_loss:.3g}: it was diverging." if _risen(case) else ""
    return [f"The steps before it: losses {losses}; gradient norms {norms}.{risen}"]


def _risen(case: Case) -> bool:
    """Whether the last losses, or by far the very last, were above the first ones: a single loss is mostly noise."""
    last = [loss for loss, _ in case.before[-5:]]
    if not case.start_loss or not last:
        return False
    return statistics.median(last) > RISEN * case.start_loss or last[-1] > 10 * RISEN * case.start_loss


def _at_layer(found: Found) -> str:
    fed = f", fed with values up to {found.input_largest:.3g}" if found.input_largest is not None else ""
    return f"The first value that was no finite number came out of {found.layer} ({found.dtype}{fed})."


_WHERE: dict[Where, Callable[[Found], str]] = {
    "adapter": lambda found: f"The adapter's own values were no numbers already before the step: {found.layer}.",
    "base model": lambda found: f"The base model itself holds values that are no finite numbers: {found.layer}.",
    "latents": lambda found: f"The latents of {found.layer} are no finite numbers.",
    "caption": lambda found: f"The encoded caption of {found.layer} is not made of finite numbers.",
    "forward": _at_layer,
    "backward": lambda found: (
        f"The forward pass was fine; in the backward pass the first gradient that was no finite number reached the "
        f"output of {found.layer} ({found.dtype})."
    ),
    "gradient": lambda found: f"Each batch was fine, their summed gradient was not: {found.layer}.",
    "nowhere": lambda found: "The step was computed again, with the same draws, and everything was finite.",
    "unknown": lambda found: f"The step could not be computed again: {found.layer}.",
}


def _base(case: Case) -> list[Problem]:
    lower = case.preset.precision.base == "fp16"
    why = "the file is damaged, a bad merge, or holds values beyond fp16's 65,504" if lower else "the file is damaged"
    rest = [Problem("precision.base", "fp16 may be too small for it", "float, or bf16")] if lower else []
    return [*rest, Problem("model.path", why, "download it again, or choose another model")]


def _latents(case: Case) -> list[Problem]:
    return [
        Problem("dataset.folders", f"the VAE gives no numbers for {case.found.layer}", "save it anew, or take it out"),
        Problem("model.vae", "if it happens with all images, the VAE is damaged", "choose another VAE"),
    ]


def _caption(case: Case) -> list[Problem]:
    fix = "float, or another model" if case.preset.precision.compute != "float" else "choose another model"
    return [Problem("precision.compute", "the text encoder gave values that are no numbers", fix)]


def _nowhere(case: Case) -> list[Problem]:
    why = "the device gave another result the second time: overclocking, a failing memory, or its driver"
    return [Problem("hardware.gpus", why, f"undo overclocking, then continue the run from step {case.kept}")]


def _adapter(case: Case) -> list[Problem]:
    return [Problem("training", "an earlier state was damaged", "continue from an earlier state, or start anew")]


_SPECIAL: dict[Where, Callable[[Case], list[Problem]]] = {
    "base model": _base,
    "latents": _latents,
    "caption": _caption,
    "nowhere": _nowhere,
    "adapter": _adapter,
}


def _usual(case: Case) -> list[Problem]:
    """Too large a step, or a number format too small for what it has to hold: which is likelier comes first."""
    rate, fp16 = _rate(case), _fp16(case)
    first = [*rate, *fp16] if _risen(case) else [*fp16, *rate]
    return [*first, *_bf16(case)]


def _rate(case: Case) -> list[Problem]:
    optimizer, schedule = case.preset.optimizer, case.preset.schedule
    rate = optimizer.learning_rate
    found = [Problem("optimizer.learning_rate", f"{rate:g} may be too high", f"{rate / 3:.2g}, a third of it")]
    if not optimizer.max_grad_norm:
        found.append(Problem("optimizer.max_grad_norm", "gradients are not clipped", "1"))
    if not schedule.warmup:
        found.append(Problem("schedule.warmup", "the first steps have the full rate", "5"))
    return found


def _fp16(case: Case) -> list[Problem]:
    if case.preset.precision.compute != "fp16":
        return []
    if small_fp16(case.device):
        return [Problem("precision.compute", "GTX 16xx cards are known to give no numbers in fp16", "float")]
    return [Problem("precision.compute", "fp16 overflows above 65,504", "bf16 on RTX 30xx and newer, else float")]


def _bf16(case: Case) -> list[Problem]:
    if case.preset.precision.compute != "bf16":
        return []
    return [Problem("precision.compute", "bf16 rounds to three digits", "float, to rule that out")]


def small_fp16(device: str) -> bool:
    """Whether a card of this name is of the series whose fp16 is known to give values that are no numbers."""
    return "GTX 16" in device


def image_names(looks: Sequence[Look]) -> str:
    """`"a.png, b.png"`, each once."""
    return ", ".join(dict.fromkeys(look.image for look in looks))
