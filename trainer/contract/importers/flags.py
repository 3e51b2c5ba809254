"""A recipe in sd-scripts' own terms: flags with their values, and its parsers' defaults for those that are absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..settings import parse_interval
from . import loose

TRAINED = {"train_network": "SD", "sdxl_train_network": "SDXL"}
"""sd-scripts' programs whose models can be trained here."""

PROGRAMS = {"SD 1.x": "train_network", "SD 2.x": "train_network", "SDXL": "sdxl_train_network"}
"""Family -> sd-scripts' program."""

LARGE = "sdxl_train_network"
"""The program whose models have two text encoders, whose outputs it can cache."""

BUCKET_STEPS = {"train_network": 64, "sdxl_train_network": 32}
"""Program -> what the bucket step must be a multiple of there."""

MEMBERS = ("network_args", "optimizer_args", "lr_scheduler_args")
"""Flags that hold `name=value` words; a member of the first is a flag of its own here, "network_args.conv_dim"."""


@lru_cache(maxsize=1)
def recorded() -> dict[str, Any]:
    """What sd-scripts' parsers know, as `tests/golden/record_kohya.py` wrote it down."""
    text = (Path(__file__).parent / "sdscripts_flags.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@lru_cache(maxsize=8)
def parser(script: str) -> dict[str, dict[str, Any]]:
    """The flags of one of sd-scripts' programs ("sdxl_train_network")."""
    scripts = recorded()["scripts"]
    return {**scripts["train_network"], **scripts.get(script, {})}


@lru_cache(maxsize=1)
def known() -> frozenset[str]:
    """Every flag that any of the programs knows."""
    return frozenset(flag for flags in recorded()["scripts"].values() for flag in flags)


@lru_cache(maxsize=1)
def _types() -> dict[str, str]:
    """Flag -> the type that sd-scripts' parsers read it as, of those that take one value."""
    rows = {flag: row for flags in recorded()["scripts"].values() for flag, row in flags.items()}
    return {flag: row["type"] for flag, row in rows.items() if not row.get("nargs")}


def typed(flag: str, value: Any) -> Any:
    """A value given as text as the number or truth value that its flag wants, so that whoever reads it later, a run of
    sd-scripts too, sees one form."""
    kind = {"int": "number", "float": "number", "flag": "flag"}.get(_types().get(flag, ""))
    return loose.said_as(kind, value) if kind else value


class Flags:
    """Flags that were given, over the defaults of sd-scripts' parser. `script`: the program, where it is known.

    `changed`: flags whose value means something else here, each with why; `refused`: flags whose value is none."""

    def __init__(self, given: Mapping[str, Any], script: str = "") -> None:
        self.given = {flag: typed(flag, value) for flag, value in given.items() if value is not None}
        self.script = script if script in recorded()["scripts"] else ""
        self.changed: dict[str, str] = {}
        self.refused: dict[str, str] = {}

    def __contains__(self, flag: str) -> bool:
        return flag in self.given

    def __getitem__(self, flag: str) -> Any:
        if flag in self.given:
            return self.given[flag]
        row = parser(self.script or "train_network").get(flag)
        return row["default"] if row else None

    def without(self, flags: tuple[str, ...]) -> Flags:
        """The same without some flags: at their defaults."""
        left = Flags({flag: value for flag, value in self.given.items() if flag not in flags}, self.script)
        left.changed, left.refused = self.changed, self.refused
        return left

    def change(self, flag: str, why: str) -> None:
        """Note that a flag's value was taken over as something else."""
        if flag in self.given:
            self.changed.setdefault(flag, why)

    @property
    def sdxl(self) -> bool:
        """Whether it is known to train SDXL."""
        return self.script == LARGE

    @property
    def lycoris(self) -> bool:
        """Whether the network comes from the LyCORIS library."""
        return loose.text(self["network_module"]).lower().startswith(("lycoris", "locon"))  # its older name

    def total_steps(self) -> int | None:
        """Steps of the whole run, where they are said."""
        if loose.whole(self["max_train_epochs"]):
            return None
        return loose.whole(self["max_train_steps"])

    def share(self, flag: str) -> float | None:
        """Percent of the run that a flag says as a fraction, as "10%" or as a number of steps; None where the number of
        steps is not known. sd-scripts takes a number with a point for a fraction of the run."""
        value = self[flag]
        if isinstance(value, str) and value.strip().endswith("%"):
            return loose.number(value.strip()[:-1]) or 0.0
        count = loose.number(value) or 0.0
        if isinstance(value, float) or count < 1:
            return round(100 * count, 6)
        total = self.total_steps()
        return round(100 * count / total, 6) if total else None


def interval(steps: Any, epochs: Any, epochs_win: bool = False) -> str | None:
    """ "200 steps" or "1 epoch" of two numbers, one of which may be nothing; None where both are."""
    found = {"steps": loose.whole(steps), "epochs": loose.whole(epochs)}
    order = ("epochs", "steps") if epochs_win else ("steps", "epochs")
    for unit in order:
        count = found[unit]
        if count is not None and count > 0:
            return str(parse_interval(f"{count} {unit}"))
    return None
