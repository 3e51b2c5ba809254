"""Optimizers by name, in both directions: sd-scripts' names and arguments, and ours.

Names are looked up here and in the table of known optimizers; nothing is ever imported because a file says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .. import catalog, optimizer_table
from ..preset import value_at
from ..settings import Preset
from . import loose
from .flags import Flags
from .links import Link, Values

_NOT_PAGED = "running averages are not moved to main memory here"
_OLD_DADAPT = "the D-Adaptation that is kept up is DAdaptAdam"


@dataclass(frozen=True)
class Row:
    """`theirs` in sd-scripts is `ours`; `why` it is not quite the same, `args` that make it so, `decay` its weight
    decay where none is said."""

    theirs: str
    ours: str
    why: str = ""
    args: dict[str, Any] = field(default_factory=dict)
    decay: float = 0.0


ROWS: tuple[Row, ...] = (
    Row("AdamW", "AdamW", decay=0.01),
    Row("AdamW8bit", "AdamW8bit", decay=0.01),
    Row("PagedAdamW8bit", "PagedAdamW8bit", decay=0.01),
    Row("PagedAdamW", "AdamW", _NOT_PAGED, decay=0.01),
    Row("PagedAdamW32bit", "AdamW", _NOT_PAGED, decay=0.01),
    Row("Lion", "Lion"),
    Row("Lion8bit", "Lion8bit"),
    Row("PagedLion8bit", "Lion8bit", _NOT_PAGED),
    Row("SGDNesterov", "SGD", args={"nesterov": True, "momentum": 0.9}),
    Row("SGDNesterov8bit", "SGD", "SGD in 8 bits is not offered here", {"nesterov": True, "momentum": 0.9}),
    Row("DAdaptAdam", "DAdaptAdam"),
    Row("DAdaptation", "DAdaptAdam", _OLD_DADAPT),
    Row("DAdaptAdamPreprint", "DAdaptAdam", _OLD_DADAPT),
    Row("DAdaptAdanIP", "dadaptadan", "its IP variant is not offered here"),
    Row("DAdaptAdaGrad", "dadaptadagrad"),
    Row("DAdaptAdan", "dadaptadan"),
    Row("DAdaptLion", "dadaptlion"),
    Row("DAdaptSGD", "DAdaptAdam", "DAdaptSGD is not offered here"),
    Row("Prodigy", "Prodigy"),
    Row("Adafactor", "Adafactor"),
    Row("AdamWScheduleFree", "ScheduleFreeAdamW"),
    Row("RAdamScheduleFree", "ScheduleFreeAdamW", "its RAdam variant is not offered here"),
    Row("SGDScheduleFree", "schedulefreesgd"),
    Row("Adam", "Adam"),
    Row("SGD", "SGD"),
    Row("Adagrad", "Adagrad"),
    Row("pytorch_optimizer.CAME", "CAME"),
)

_ADAFACTOR = ("relative_step", "scale_parameter", "warmup_init")
"""Arguments with which Adafactor takes the learning rate that is set; here they are always off."""

_RENAMED = {"decouple": "weight_decouple", "use_bias_correction": "bias_correction"}
"""Arguments of the other programs' optimizers -> those of the same optimizers here."""


def find(name: str) -> Row | None:
    """The row of sd-scripts' name, or of the last part of a "package.module.Class" whose optimizer is known here."""
    last = name.strip().rpartition(".")[2].lower()
    for row in ROWS:
        if row.theirs.rpartition(".")[2].lower() == last:
            return row
    known = optimizer_table.find(last) or optimizer_table.find(last.removeprefix("schedulefree"))
    if known is not None:
        return Row(name, known)
    guesses = (("prodigy", "Prodigy"), ("dadapt", "DAdaptAdam"), ("adafactor", "Adafactor"), ("lion", "Lion"))
    for part, ours in guesses:
        if part in last:
            return Row(name, ours, f"{name[:60]} is not offered here")
    return None


def _read(flags: Flags) -> Values:
    name = loose.text(flags["optimizer_type"])
    if not name:
        old = {"use_8bit_adam": "AdamW8bit", "use_lion_optimizer": "Lion"}
        name = next((theirs for flag, theirs in old.items() if loose.flag(flags[flag])), "AdamW")
    row = find(name)
    if row is None:
        flags.change(
            "optimizer_type", f"{name[:60]} is not offered here: AdamW is put there; look at the learning rate"
        )
        row = Row(name, "AdamW", decay=0.01)
    elif row.why:
        flags.change("optimizer_type", f"{row.why}: {row.ours} is put there")
    given = {key: loose.plain(value) for key, value in loose.pairs(flags["optimizer_args"]).items()}
    args, decay = _arguments(row, given, flags)
    return {"optimizer.name": row.ours, "optimizer.weight_decay": decay, "optimizer.args": args}


def _arguments(row: Row, given: Values, flags: Flags) -> tuple[Values, float]:
    """Arguments under our names, and the weight decay, which is a setting of its own here."""
    entry = catalog.optimizer(row.ours)
    known = optimizer_table.arguments(row.ours)
    args: Values = {key: value for key, value in row.args.items() if key in known}
    left = []
    decay = row.decay
    if row.ours == "Adafactor" and given.get("relative_step", True) is not False:
        why = "it chose its own steps (relative_step); here it takes the learning rate"
        flags.change("optimizer_args" if "optimizer_args" in flags else "optimizer_type", why)
    for key, value in given.items():
        name = _RENAMED.get(key, key)
        if name == "weight_decay" and isinstance(value, (int, float)):
            decay = float(value)
        elif name in entry.fixed and (name in _ADAFACTOR or value == entry.fixed[name]):
            continue
        elif name not in known or value is None or not _fits(value):
            left.append(key)
        else:
            args[name] = value
    if left:
        flags.change("optimizer_args", f"{row.ours} has no such argument here: {', '.join(sorted(left))[:100]}")
    return args, decay


def _fits(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in value)
    return isinstance(value, (bool, int, float, str))


def theirs_of(name: str) -> str:
    """sd-scripts' name for an optimizer of ours; "" where it has none."""
    same = [row for row in ROWS if row.ours.lower() == name.lower() and not row.why]
    return next((row.theirs for row in same if not row.args), same[0].theirs if same else "")


def _write(preset: Preset) -> Values:
    name = str(value_at(preset, "optimizer.name"))
    args: Values = dict(preset.optimizer.args)
    theirs = theirs_of(name)
    if theirs == "SGD" and args.get("nesterov") is True:
        theirs = "SGDNesterov"
        args.pop("nesterov")
    # pytorch-optimizer's Prodigy and D-Adaptation call them otherwise than their authors' packages
    back = {ours: old for old, ours in _RENAMED.items()}
    words = [f"{back.get(key, key)}={_word(value)}" for key, value in args.items()]
    if catalog.optimizer(name).decay and "weight_decay" not in args:
        words.append(f"weight_decay={_word(preset.optimizer.weight_decay)}")
    if name == "Adafactor":
        words += [f"{key}=False" for key in _ADAFACTOR]
    if theirs.startswith("SGD") and "momentum" not in args:
        words.append("momentum=0.9")
    return {"optimizer_type": theirs or None, "optimizer_args": words or None}


def _word(value: Any) -> str:
    """A value as `ast.literal_eval` reads it, without blanks."""
    if isinstance(value, list):
        return ",".join(repr(item) for item in value)
    return repr(value)


OPTIMIZER = Link(
    ("optimizer_type", "optimizer_args", "use_8bit_adam", "use_lion_optimizer"),
    ("optimizer.name", "optimizer.weight_decay", "optimizer.args"),
    _read,
    _write,
)
