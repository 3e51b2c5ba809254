"""The training loop: step after step, and between the steps what the orders say. It knows parts and events only."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trainer.contract.events import Event, StepDone, Warned
from trainer.plan.steps import Steps

from .control import Control, Orders
from .update import LossNotFinite, Outcome

How = Literal["done", "stopped", "paused", "stopped early"]


OVERFLOWS_IN_A_ROW = 25
"""So often fp16's loss scale is halved, from 65,536 to a thousandth and less: more is no matter of scale."""


@dataclass
class Overflows:
    """Updates that fp16 skipped: in all, and since the last one that was done."""

    skipped: int = 0
    in_a_row: int = 0

    def state(self) -> dict[str, Any]:
        """What a resumed run needs; plain values."""
        return asdict(self)

    def restore(self, state: dict[str, Any]) -> None:
        """Take what `state` gave."""
        self.skipped, self.in_a_row = int(state["skipped"]), int(state["in_a_row"])


@dataclass(frozen=True)
class Parts:
    """What the loop is made of; `run.py` puts it together.

    `update`: one optimizer update. `take(step)`: (its micro-batches, looks over all processes). `set_rate(step)`:
    before the update; `rates()`: what it applies, by group. `validate`, `preview` and `save` do their work at a step
    and tell of it by events; `validate` returns whether early stopping wants the run to end; `state` keeps what a later
    process needs to go on. `fp16`: an update may be skipped. `late`: the device works by itself, so a step's figures
    are read when the next one is on its way."""

    update: Callable[[int, Sequence[Any], int], Outcome]
    take: Callable[[int], tuple[Sequence[Any], int]]
    set_rate: Callable[[int], None]
    rates: Callable[[], dict[str, float]]
    validate: Callable[[int], bool]
    preview: Callable[[int], None]
    save: Callable[[int], None]
    control: Control
    emit: Callable[[Event], None]
    fp16: bool = False
    late: bool = False
    state: Callable[[int], None] = lambda step: None
    overflows: Overflows = field(default_factory=Overflows)


def train(parts: Parts, steps: Steps, after: int = 0) -> tuple[How, int]:
    """Train to the last step, or until somebody says stop or pause; returns how it ended and the last step done.

    `after`: steps that an earlier process has done."""
    metrics = Metrics(parts, steps)
    if how := ending(parts.control.before(after + 1)):
        return how, after
    metrics.start_clock()
    for step in range(after + 1, steps.total + 1):
        parts.set_rate(step)
        try:
            outcome = parts.update(step, *parts.take(step))
        except Exception:
            metrics.tell_all()  # the step before, whose figures nobody has read yet, may be what is wrong
            raise
        metrics.take(step, outcome)
        orders = parts.control.after(step)
        early = False
        if orders != Orders():
            metrics.tell_all()
            if orders.validate:
                early = parts.validate(step)
            if orders.sample:
                parts.preview(step)
            if orders.save:
                parts.save(step)
            if orders.state:
                parts.state(step)
            metrics.start_clock()
        if (how := ending(orders, early)) and step < steps.total:
            return how, step
    metrics.tell_all()
    return "done", steps.total


def ending(orders: Orders, early: bool = False) -> How | None:
    """How a run ends by these orders, if it does."""
    if orders.stop:
        return "stopped"
    if orders.pause:
        return "paused"
    return "stopped early" if early else None


class Metrics:
    """Reads a step's figures from the device, there a step late so that it never waits for us; `seconds` are those
    between two readings, pauses for samples and saves left out."""

    def __init__(self, parts: Parts, steps: Steps) -> None:
        self._parts, self._steps = parts, steps
        self._held: tuple[int, Outcome, dict[str, float]] | None = None
        self._clock = time.perf_counter()

    def start_clock(self) -> None:
        """The time until now belongs to no step."""
        self._clock = time.perf_counter()

    def take(self, step: int, outcome: Outcome) -> None:
        """Emit the step before, and hold this one if the device may still be at it."""
        self.tell_all()
        self._held = (step, outcome, self._parts.rates())
        if not self._parts.late:
            self.tell_all()

    def tell_all(self) -> None:
        """Emit the step that is held, if any. LossNotFinite where nothing was learnt in it, and will not be."""
        if self._held is None:
            return
        (step, outcome, rates), self._held = self._held, None
        loss, norm = float(outcome.loss), float(outcome.grad_norm)
        self._look_at(step, loss, norm)
        now = time.perf_counter()
        self._parts.emit(
            StepDone(
                step=step,
                epoch=step / self._steps.per_epoch,
                loss=loss,
                learning_rate=rates,
                grad_norm=norm,
                seconds=now - self._clock,
                images=outcome.looks,
                validation_loss=None if outcome.validation_loss is None else float(outcome.validation_loss),
                adapter_norm=None if outcome.adapter_norm is None else float(outcome.adapter_norm),
            )
        )
        self._clock = now

    def _look_at(self, step: int, loss: float, norm: float) -> None:
        """Under fp16 an overflow is expected now and then: its step is skipped, counted and told."""
        count = self._parts.overflows
        if math.isfinite(loss) and math.isfinite(norm):
            count.in_a_row = 0
            return
        count.in_a_row += 1
        if not self._parts.fp16 or count.in_a_row >= OVERFLOWS_IN_A_ROW:
            raise LossNotFinite(step, loss, norm)
        count.skipped += 1
        if count.skipped in (1, 10, 100, 1000):
            text = f"{count.skipped} update(s) skipped so far because fp16 overflowed; the loss scale was lowered"
            self._parts.emit(Warned(step=step, text=text, setting="precision.compute"))
