"""Which sample pictures stand side by side, and what is written over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.contract.events import Sampled, Saved
from trainer.report.view import RunView, drawn_step


@dataclass(frozen=True)
class Picture:
    """One sample picture: a file of the run folder, and what draws it elsewhere."""

    file: str
    prompt: str
    seed: int | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)


def pictures(event: Sampled) -> list[Picture]:
    """The pictures of one round; older runs told less of them."""
    count = len(event.files)
    prompts, seeds = [*event.prompts, *[""] * count], [*event.seeds, *[None] * count]
    recipes: list[Mapping[str, Any]] = [*event.recipes, *[{}] * count]
    return [Picture(*told) for told in zip(event.files, prompts, seeds, recipes)]


def title(event: Sampled) -> str:
    """What stands over a round."""
    if event.weights_step is not None:
        return f"step {event.weights_step}, the adapter that was kept"
    return f"step {event.step}" if event.step else "before training"


def final_save(view: RunView) -> Saved | None:
    """How the adapter was saved that the run ended with."""
    return next((event for event in reversed(view.saved) if event.what == "final"), None)


def final_step(view: RunView) -> int:
    """The step whose weights the run's final file holds; 0 where there is none."""
    saved = final_save(view)
    if saved is None:
        return 0
    return saved.step if saved.weights_step is None else saved.weights_step


@dataclass(frozen=True)
class BeforeAfter:
    """The first and the last pictures of the same prompts and seeds. `names`: what stands over the two columns;
    `remark`: where the last pictures are not of the final adapter."""

    names: tuple[str, str]
    pairs: list[tuple[Picture, Picture]]
    remark: str = ""


def before_after(view: RunView) -> BeforeAfter | None:
    """Side by side, or None where there are not two rounds of the same prompts."""
    if len(view.samples) < 2:
        return None
    first, last = view.samples[0], view.samples[-1]
    known = {(picture.prompt, picture.seed): picture for picture in pictures(first)}
    both = [(known.get((after.prompt, after.seed)), after) for after in pictures(last)]
    pairs = [(before, after) for before, after in both if before is not None]
    if not pairs:
        return None
    start = "before" if drawn_step(first) == 0 else f"step {drawn_step(first)}"
    step, final = drawn_step(last), final_step(view)
    remark = f"The last pictures are of step {step}; the LoRA is of step {final}." if final not in (0, step) else ""
    return BeforeAfter((start, f"after, step {step}"), pairs, remark)
