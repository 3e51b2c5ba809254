"""A run that an error ends: what is learnt until then is kept, and what is known of the error is told.

Whatever fails here is told too, and never hides the error that it began with.
"""

from __future__ import annotations

import json
import math
import statistics
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from trainer.contract.events import StepDone, Warned, json_values, read
from trainer.contract.problems import Problems, RunEnded
from trainer.contract.rundir import RunDir, Whole
from trainer.plan.advice import memory_relief
from trainer.report.causes import cause_of, first_line, ran_out
from trainer.report.remedies import Case, story

from . import device as machines
from .autopsy import Body, examine
from .bench import Bench
from .update import LossNotFinite

AUTOPSY = "autopsy.json"


@dataclass(frozen=True)
class Keeping:
    """How what is learnt is kept: `state(step)` for going on, `adapter(step)` -> name of the final file."""

    state: Callable[[int], None]
    adapter: Callable[[int], str]


def rescue(error: Exception, bench: Bench, body: Body, keeping: Keeping, after: int) -> NoReturn:
    """Keep what is learnt, then raise what is known. `after`: steps that earlier processes have done."""
    update = body.update
    machines.free_memory(error)
    if isinstance(error, LossNotFinite):
        update.settle(error.step)
        ended = _not_finite(error, bench, body, keeping)
        bench.ranks.wait()  # they all stop here, but a process that ends takes the others with it
        raise ended from error
    done = update.done or after
    update.settle(done + 1)
    kept = keep(bench, keeping, done) if update.whole else "the state that was saved last is whole"
    if ran_out(error):
        raise out_of_memory(error, bench, kept, done) from error
    if isinstance(error, Problems | RunEnded):
        raise error
    raise RunEnded(cause_of(error), [f"After step {done}: {kept}."] if kept else []) from error


def keep(bench: Bench, keeping: Keeping, step: int) -> str:
    """Save state and adapter of `step`; returns what was kept, for people, "" before the first step."""
    if step == 0 or not bench.ranks.main:
        return ""
    keeping.state(step)
    try:
        file = keeping.adapter(step)
    except Exception as error:
        traceback.print_exc()
        bench.emit(Warned(step=step, text=f"the adapter could not be saved: {cause_of(error)}", setting="saving"))
        return "the adapter could not be saved; the run can be continued from its newest state"
    return f"the adapter is kept as {file}, and the run can be continued from its newest state"


def save_again(error: Exception, bench: Bench, keeping: Keeping, step: int) -> str:
    """The file that matters most could not be made: the state first, then once more with memory free; its name."""
    traceback.print_exception(error)
    machines.free_memory(error)
    keeping.state(step)
    try:
        return keeping.adapter(step)
    except Exception as again:
        cause = f"the final adapter could not be saved: {cause_of(again)}"
        raise RunEnded(cause, ["Continue the run: its full state is kept, and the file is then made again."]) from again


def out_of_memory(error: Exception, bench: Bench, kept: str = "", step: int = 0) -> RunEnded:
    """What ran full, what is kept, and what to change: first what costs no speed."""
    which = "the device" if ran_out(error) == "device" else "the computer"
    done = f" after step {step}: {kept}" if kept else ""
    lines = [f"{relief.setting}: {relief.text}" for relief in memory_relief(bench.preset, bench.device.type)]
    head = ["What to change, ordered by what it costs in speed:"] if lines else []
    return RunEnded(f"{which} ran out of memory{done}", [*head, *lines, f"It said: {first_line(error)}"])


def _not_finite(error: LossNotFinite, bench: Bench, body: Body, keeping: Keeping) -> RunEnded:
    kept = keep(bench, keeping, error.step - 1)
    if not bench.ranks.main:
        return RunEnded(str(error))
    case = _case(error, bench, body)
    lines = story(case)
    facts = {**_plain(case), "text": lines}
    try:
        text = json.dumps(json_values(facts), indent=1, ensure_ascii=False, allow_nan=False)
        bench.run.put(bench.run.path / AUTOPSY, Whole(text.encode()))
    except OSError as full:
        bench.emit(Warned(step=case.kept, text=f"{AUTOPSY} could not be written: {full}", setting="saving"))
    return RunEnded(f"{error}" + (f"; {kept}" if kept else ""), lines)


def _case(error: LossNotFinite, bench: Bench, body: Body) -> Case:
    found, looks = examine(body, error.step)
    before, start = history(bench.run)
    scaler = body.update.scaler
    return Case(
        step=error.step,
        kept=error.step - 1,
        loss=error.loss,
        grad_norm=error.grad_norm,
        device=machines.device_name(bench.device, bench.ranks),
        found=found,
        looks=looks,
        preset=bench.preset,
        before=before,
        start_loss=start,
        loss_scale=scaler.get_scale() if scaler else None,
    )


def history(run: RunDir, last: int = 20, first: int = 10) -> tuple[list[tuple[float, float]], float | None]:
    """(loss, gradient norm) of the last steps that were done, and the median loss of the first ones."""
    steps = [event for event in read(run.events) if isinstance(event, StepDone) and math.isfinite(event.loss)]
    start = statistics.median(event.loss for event in steps[:first]) if steps else None
    return [(event.loss, event.grad_norm or 0.0) for event in steps[-last:]], start


def _plain(case: Case) -> dict[str, Any]:
    """The case for JSON, of the settings those that decide the number formats."""
    facts = asdict(case)
    del facts["preset"]
    precision = case.preset.precision
    return {**facts, "precision": {"compute": precision.compute, "base": precision.base}}
