"""When a check, samples, an adapter file or a full state is due: at the plan's steps, or by the clock."""

from __future__ import annotations

from trainer.bench import Bench
from trainer.contract import checkpoints
from trainer.contract.events import Validated, read
from trainer.contract.settings import parse_interval
from trainer.control import Due, Turn
from trainer.plan.steps import due_steps
from trainer.validation.pace import Pacer


def turns(bench: Bench, after: int) -> dict[str, Due]:
    """When what is due: at the plan's steps, or by the clock; a full state also where those before are gone. `after`:
    steps done by earlier processes."""
    plan, preset = bench.plan, bench.preset
    at = {
        "sample": (preset.sampling.every, plan.samples),
        "save": (preset.saving.every, plan.checkpoints),
        "state": (preset.saving.state_every, due_steps(preset.saving.state_every, plan.steps)),
    }
    also = {"state": bench.run.state_wanted} if preset.saving.state_every != "never" else {}
    due: dict[str, Due] = {
        name: Turn(steps, parse_interval(every), also=also.get(name, bool)) for name, (every, steps) in at.items()
    }
    if not plan.held_out or not bench.ranks.main:
        return due
    every = preset.validation.every
    checks = make_pacer(bench, after) if every == "auto" else Turn(plan.validations, parse_interval(every))
    return {"validate": checks, **due}


def make_pacer(bench: Bench, after: int) -> Pacer:
    """What decides by the clock when held-out images are measured; it hears the run's events, earlier ones first."""
    run, chosen = bench.run, bench.preset.validation
    lost = [event.step for event in read(run.path / checkpoints.LOST) if isinstance(event, Validated)]
    pacer = Pacer(
        bench.plan.steps.total,
        chosen.budget,
        bench.emit,
        again=[step for step in lost if step > after],
        stops=chosen.stop != "report only",
    )
    for event in read(run.events):
        pacer.write(event)
    pacer.resumed()
    bench.emit.add(pacer)
    return pacer
