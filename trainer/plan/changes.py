"""A run that goes on with other settings: what may be changed, what that means, and what cannot be.

A full state holds a short hash of every setting that matters, not its value: it tells that one was changed, and nobody
whom it is given what it was. The values for the words come from the preset that lies beside the states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trainer.contract import checkpoints
from trainer.contract import preset as presets
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import RunDir
from trainer.contract.settings import BY_PATH, Folder, Preset

from .curve import factor
from .draws import digest

Kind = Literal["free", "told", "refused"]

FREE, OTHER = "it changes nothing in what is learnt", "it counts from here on; what was learnt before stays"
_MODEL = "what was learnt belongs to the base model that the run began with"
_SHAPE = "what was learnt has the shape and strength of the old network"
_MEMORY = "the optimizer's memory was made under the old one"
_GROUPS = "the optimizer's memory is kept by groups of one rate each, and those would be others"
_NUMBERS = "the numbers of the state are those of the old format"
_BITS = "it is computed in another way: the last bits may differ from those of a run that was left alone"

RULES: dict[str, tuple[Kind, str]] = {
    "about": ("free", FREE),
    "model": ("refused", _MODEL),
    "dataset": ("told", "the pictures are others from here on; steps per epoch may change, and with them the order"),
    "dataset.masks": (
        "told",
        "other parts of the pictures count from here on: do not compare the loss before and after",
    ),
    "dataset.mask_outside": ("told", "the rest of the pictures counts otherwise from here on: do not compare the loss"),
    "dataset.mask_normalise": ("told", "the loss is another one: do not compare its curve before and after"),
    "dataset.regularisation_weight": ("told", "the loss is another one: do not compare its curve before and after"),
    "captions": ("told", "the captions are others from here on"),
    "captions.clip_skip": ("refused", _MODEL + ", read at the old layer of the text encoder"),
    "network": ("refused", _SHAPE),
    **dict.fromkeys(("network.dropout", "network.rank_dropout", "network.module_dropout"), ("told", OTHER)),
    "network.max_norm": ("told", "updates above it are scaled down after the next step"),
    "network.ema": ("told", "the average has another memory from here on; one that is new begins here"),
    "network.start": ("refused", "what was learnt began with the adapter of then"),
    "network.start_ranks": ("refused", _SHAPE),
    "training.length": ("told", ""),
    "training.batch_size": ("told", "other images share a step; the epochs are counted anew, so some were shown more"),
    "training.accumulate": ("told", "other images share a step; the epochs are counted anew, so some were shown more"),
    "training.seed": ("refused", "order, noise and the noise of the checks come from it: nothing could be compared"),
    "optimizer": ("told", OTHER),
    "optimizer.name": ("refused", _MEMORY),
    "optimizer.args": ("refused", _MEMORY),
    "optimizer.loraplus": ("refused", _GROUPS),
    "optimizer.loraplus_text_encoder": ("refused", _GROUPS),
    "schedule": ("told", "the rate follows the new curve, as if that had been drawn from the start"),
    "noise": ("told", "the loss is another one: do not compare its curve before and after"),
    "precision": ("refused", _NUMBERS),
    "precision.save": ("free", FREE),
    "memory": ("told", _BITS),
    "memory.caption_variants": ("told", "the captions are drawn from other variants from here on"),
    "validation": ("free", FREE + "; when a run ends early may change"),
    "validation.split": ("refused", "images that were trained on would be held out: their loss could not be believed"),
    "validation.folder": ("refused", "the checks before and after could not be compared"),
    "validation.timesteps": ("refused", "the checks before and after could not be compared"),
    "sampling": ("free", FREE),
    "saving": ("free", FREE),
    "hardware": ("told", _BITS),
    "hardware.gpus": ("told", "another number of GPUs shares a step between other images; " + _BITS),
    "hardware.keep_awake": ("free", FREE),
    "logging": ("free", FREE),
}
"""Setting or section -> whether it may change in a run, and what that means or why not."""

RATES = (
    "optimizer.learning_rate",
    "optimizer.unet_learning_rate",
    "optimizer.text_encoder_learning_rate",
    "optimizer.text_encoder_2_learning_rate",
)
JUMP = 2.0
"""A rate that rises by more than this factor from one step to the next is worth a warning."""


@dataclass(frozen=True)
class Moment:
    """Where a run goes on: `step` done of `before`, the steps that it was to have (None: not known), of `total` now."""

    step: int
    before: int | None
    total: int


@dataclass(frozen=True)
class Change:
    """A setting that is another one now. `text`: the whole sentence. `alarming`: better thought about twice."""

    path: str
    kind: Kind
    text: str
    alarming: bool = False


def kept_preset(run: RunDir) -> Preset | None:
    """The preset that the run's states were made with; None where it is not there."""
    try:
        return presets.load(checkpoints.preset_file(run))
    except Problems:
        return None


def rule_of(path: str) -> tuple[Kind, str]:
    """The rule of a setting: its own, else its section's."""
    return RULES.get(path) or RULES[path.partition(".")[0]]


def marks(preset: Preset) -> dict[str, str]:
    """A short hash of every setting that is not free, by path."""
    paths = [item.path for item in presets.ITEMS if rule_of(item.path)[0] != "free"]
    return {path: _mark(presets.value_at(preset, path)) for path in paths}


def _mark(value: Any) -> str:
    folders = isinstance(value, list) and all(isinstance(part, Folder) for part in value)
    return digest(repr([_Row(folder) for folder in value] if folders else value)).hex()[:16]


class _Row:
    """A row of image folders as its mark sees it: what states of all versions know, and of the rest what is set."""

    def __init__(self, folder: Folder) -> None:
        plain = Folder()
        always = ("path", "repeats", "trigger")
        self._told = [(name, part) for name, part in folder if name in always or part != getattr(plain, name)]

    def __repr__(self) -> str:
        return f"Folder({', '.join(f'{name}={part!r}' for name, part in self._told)})"


def review(then: Mapping[str, str], old: Preset | None, new: Preset, at: Moment) -> list[Change]:
    """What is another setting than when the state with the marks `then` was written; `old`: the preset of that time, as
    far as it is there. A setting that an older version did not have yet has not been changed.

    Problems name what cannot be changed."""
    now = marks(new)
    changed = [path for path in now if path in then and then[path] != now[path]]
    free = [item.path for item in presets.ITEMS if item.path not in now]
    changed += [path for path in free if old and presets.value_at(old, path) != presets.value_at(new, path)]
    changed = [path for path in changed if _counts(path, new) or old is None or _counts(path, old)]
    known = {path: presets.value_at(old, path) for path in changed} if old else {}
    trusted = {path: value for path, value in known.items() if then.get(path, _mark(value)) == _mark(value)}
    problems = [_refusal(path, trusted, new) for path in changed if rule_of(path)[0] == "refused"]
    if at.total < at.step:
        why = f"the run has done {at.step:,} steps already, more than the {at.total:,} that this would be"
        problems.append(Problem("training.length", why, "give a longer one"))
    if problems:
        raise Problems(problems)
    changes = [_told(path, trusted, new, at) for path in changed]
    return [*changes, *_rate(changes, trusted, old, new, at)]


def _counts(path: str, preset: Preset) -> bool:
    """Whether the setting has an effect beside the preset's others."""
    return not presets.why_off(preset, BY_PATH[path])


def _words(path: str, old: Mapping[str, Any], new: Preset) -> str:
    now = _value(presets.value_at(new, path))
    return f"{path}: {_value(old[path])} → {now}" if path in old else f"{path} is now {now}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _refusal(path: str, old: Mapping[str, Any], new: Preset) -> Problem:
    before = f"put back {_value(old[path])}" if path in old else "put the old value back"
    why = f"it cannot be changed in a run that goes on: {rule_of(path)[1]}"
    return Problem(path, why, f"{before}, or start a new run with the changed preset")


def _told(path: str, old: Mapping[str, Any], new: Preset, at: Moment) -> Change:
    kind, means = rule_of(path)
    if path == "training.length":
        return Change(
            path, kind, f"{_words(path, old, new)}, that is {at.total:,} steps in all, of which {at.step:,} are done"
        )
    where = "" if kind == "free" else f" from step {at.step + 1:,} on"
    return Change(path, kind, f"{_words(path, old, new)}{where}: {means}")


def _rate(changes: list[Change], known: Mapping[str, Any], old: Preset | None, new: Preset, at: Moment) -> list[Change]:
    """What the changes do to the learning rate and, where the length alone was changed, how the result compares."""
    paths = [change.path for change in changes if change.kind == "told"]
    curve = [path for path in paths if path == "training.length" or path.startswith("schedule.")]
    if old is None or at.before is None or not (curve or set(paths) & set(RATES)):
        return []
    before = old.optimizer.learning_rate * factor(old.schedule, max(at.step, 1), at.before)
    after = new.optimizer.learning_rate * factor(new.schedule, at.step + 1, at.total)
    said = []
    if at.step < at.total and after > before * JUMP:
        text = (
            f"The learning rate jumps from {before:.3g} at step {at.step:,} to {after:.3g} at step {at.step + 1:,}: "
            "the loss may rise for a while."
        )
        said.append(Change(curve[0] if curve else RATES[0], "told", text, alarming=True))
    if paths == ["training.length"]:
        said.append(Change("training.length", "told", _compared(old, new, at)))
    return said


def _compared(old: Preset, new: Preset, at: Moment) -> str:
    """How an extended run compares with one that was planned at this length."""
    assert at.before is not None
    steps = range(1, at.step + 1)
    same = all(factor(old.schedule, step, at.before) == factor(new.schedule, step, at.total) for step in steps)
    if same and not new.captions.tag_warmup:
        return "The result is exactly that of a run of this length from the start: the rate so far is the same."
    what = "tag warm-up" if same else f"learning rate ({new.schedule.name}, LR warmup {new.schedule.warmup:g} %)"
    return (
        f"The result is not that of a run of this length from the start: up to step {at.step:,} the {what} followed "
        f"the length of {at.before:,} steps, and from there on it follows that of {at.total:,}."
    )
