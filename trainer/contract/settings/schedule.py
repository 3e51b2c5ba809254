"""How the learning rate changes over the run."""

from typing import Annotated

from pydantic import Field

from .base import Needs, Section, Setting


class Schedule(Section):
    name: Annotated[str, Setting("Scheduler", kohya="lr_scheduler", tier="basic", choices="schedules")] = "cosine"
    """How the learning rate changes over the run: constant, straight down (linear), or slow-fast-slow to about zero
    (cosine). At the same peak cosine and linear do half of the learning of constant. The end of a decay always looks
    converged; that is not evidence."""

    warmup: Annotated[
        float, Field(ge=0, le=100), Setting("LR warmup", kohya="lr_warmup_steps", tier="basic", unit="% of steps")
    ] = 5.0
    """Share of the steps in which the rate climbs from zero while the optimizer's averages are still guesses. 0-10 is
    usual for a LoRA, 0 with Prodigy; 5 is 75 of 1500 steps. It is part of the length, not added to it."""

    restarts: Annotated[
        int,
        Field(ge=1, le=100),
        Setting(
            "Restarts",
            kohya="lr_scheduler_num_cycles",
            needs=Needs("schedule.name", ("cosine with restarts",), "only for cosine with restarts"),
        ),
    ] = 3
    """Number of cosine cycles in the run; after each the rate jumps back to its peak. 1 is plain cosine."""

    power: Annotated[
        float,
        Field(gt=0, le=10),
        Setting(
            "Power",
            kohya="lr_scheduler_power",
            tier="expert",
            needs=Needs("schedule.name", ("polynomial",), "only for polynomial"),
        ),
    ] = 2.0
    """Exponent of the polynomial decay. 1 is a straight line, 2 falls faster at first."""

    decay: Annotated[
        float,
        Field(ge=0, le=100),
        Setting(
            "Decay share",
            kohya="lr_decay_steps",
            unit="% of steps",
            needs=Needs("schedule.name", ("warmup stable decay",), "only for warmup stable decay"),
        ),
    ] = 20.0
    """Share of the steps at the end in which warmup-stable-decay falls; before it the rate stands still. 10-20 is
    usual."""

    minimum: Annotated[
        float,
        Field(ge=0, le=1),
        Setting(
            "Minimum LR",
            kohya="lr_scheduler_min_lr_ratio",
            unit="x peak",
            needs=Needs(
                "schedule.name",
                ("linear", "cosine", "cosine with restarts", "polynomial", "inverse sqrt", "warmup stable decay"),
                "constant never falls",
            ),
        ),
    ] = 0.0
    """The rate never falls below this share of its peak after the warmup: 0.1 keeps the last steps useful, 0 lets the
    decay end at zero."""
