"""What the checks mean, in plain words, each thing said once: learning, overfitting, too few images to tell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

from trainer.contract.events import Event, Noted, Validated, Warned

from .stopping import Verdict

FALLEN = 0.98
"""The training images' loss "keeps falling" where it is below this share of what it was at the lowest check."""
_T95 = (12.7, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t at 97.5 %, by degrees of freedom from 1; the last one beyond (where it falls to 1.96)."""


def clearly_below(low: Validated, high: Validated) -> bool:
    """Whether the loss of `low` is below that of `high` by more than chance.

    The same images with the same noise were measured in both, so that their differences are tested, in pairs: the
    images' own scatter, many times larger, drops out. With fewer than four images the timesteps are the pairs."""
    if not (math.isfinite(low.loss) and math.isfinite(high.loss)):
        return False
    if len(low.per_image) == len(high.per_image) > 3:
        falls = [before - now for now, before in zip(low.per_image, high.per_image)]
    else:
        falls = [high.per_timestep[key] - now for key, now in low.per_timestep.items() if key in high.per_timestep]
    if len(falls) < 2:
        return False
    error = statistics.stdev(falls) / math.sqrt(len(falls))
    return statistics.fmean(falls) > _T95[min(len(falls) - 1, len(_T95)) - 1] * error


class Story:
    """Takes the checks in order and says what is new; remembers over a resume what it has said."""

    def __init__(self) -> None:
        self._base: Validated | None = None
        self._lowest: Validated | None = None
        self._told: set[str] = set()

    def add(self, check: Validated, verdict: Verdict, kept: str, ends: bool) -> list[Event]:
        """What is to be said after this check. `kept`: the file of the lowest adapter, "" where there is none of that
        step; `ends`: early stopping is on, so that a verdict that says so ends the run."""
        if check.step == 0 and math.isfinite(check.loss):
            self._base = check
        found = list(self._findings(check, verdict, kept, ends))
        if verdict.lowest:
            self._lowest = check
        new = [(mark, event) for mark, event in found if mark not in self._told]
        self._told |= {mark for mark, _ in new}
        return [event for _, event in new]

    def _findings(self, check: Validated, verdict: Verdict, kept: str, ends: bool) -> Iterator[tuple[str, Event]]:
        """(mark by which it is remembered, event)"""
        if not math.isfinite(check.loss):
            text = f"The validation loss of step {check.step} is not a finite number; it counts as not lower."
            yield "not finite", Warned(step=check.step, text=text, setting="validation.split")
            return
        if self._base and check.step:
            yield from self._against_base(check, self._base)
        if self._lowest and not verdict.lowest:
            yield from _gap(check, self._lowest)
        if verdict.stop:
            end = ["The run ends here."] if ends else []
            text = " ".join(
                [
                    verdict.text,
                    *([] if verdict.decayed else _why(check, self._lowest)),
                    *_kept(self._lowest, kept),
                    *end,
                ]
            )
            mark = f"risen after {self._lowest.step if self._lowest else 0}"
            yield mark, Warned(step=check.step, text=text, setting="validation.stop")

    @staticmethod
    def _against_base(check: Validated, base: Validated) -> Iterator[tuple[str, Event]]:
        figures = f"({check.loss:.4f} against {base.loss:.4f})"
        if clearly_below(check, base):
            text = f"The validation loss fell below the untouched base model's at step {check.step} {figures}: "
            yield "learning", Noted(step=check.step, text=text + "it is learning.")
        elif clearly_below(base, check):
            text = f"The validation loss rose above the untouched base model's at step {check.step} {figures}: what is "
            text += "learnt makes pictures of this kind worse. A lower learning rate or fewer steps may help."
            yield "above", Warned(step=check.step, text=text, setting="optimizer.learning_rate")

    def state(self) -> dict[str, Any]:
        """What a resumed run needs; plain values."""
        return {"base": _plain(self._base), "lowest": _plain(self._lowest), "told": sorted(self._told)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take what `state` gave; nothing of a state that is older than these sentences."""
        self._base, self._lowest = _check(state.get("base")), _check(state.get("lowest"))
        self._told = set(state.get("told", ()))


def _gap(check: Validated, lowest: Validated) -> Iterator[tuple[str, Event]]:
    if check.train_loss is None or lowest.train_loss is None or not math.isfinite(check.train_loss):
        return
    if check.train_loss < FALLEN * lowest.train_loss and clearly_below(lowest, check):
        before, now = lowest.loss - lowest.train_loss, check.loss - check.train_loss
        text = (
            f"The loss of training images keeps falling ({lowest.train_loss:.4f} at step {lowest.step}, "
            f"{check.train_loss:.4f} at step {check.step}) while that of held-out images rises ({lowest.loss:.4f} to "
            f"{check.loss:.4f}): the gap between them went from {before:.4f} to {now:.4f}. It is learning these "
            "pictures by heart."
        )
        yield "gap", Warned(step=check.step, text=text, setting="validation.stop")


def _why(check: Validated, lowest: Validated | None) -> list[str]:
    """Overfitting where the training images' loss went on falling meanwhile; else what it is instead."""
    if lowest is None or check.train_loss is None or lowest.train_loss is None:
        return []
    if check.train_loss < lowest.train_loss:
        return ["That of training images has: probably overfitting."]
    return ["That of training images has not either: rather too high a learning rate than overfitting."]


def _kept(lowest: Validated | None, kept: str) -> list[str]:
    if lowest is None:
        return []
    if lowest.step == 0:
        return ["It has never been below the untouched base model's."]
    return [f"The adapter of step {lowest.step} is kept as {kept}."] if kept else []


_FIELDS = ("step", "loss", "train_loss", "per_timestep", "per_image")


def _plain(check: Validated | None) -> dict[str, Any] | None:
    """What is remembered of a check. Not-a-number and infinite values never get here: such a check is no lowest."""
    return None if check is None else {name: getattr(check, name) for name in _FIELDS}


def _check(values: dict[str, Any] | None) -> Validated | None:
    return None if values is None else Validated(**values)
