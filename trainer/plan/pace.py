"""How long a plan will take, by the pace of past runs of this computer. Torch-free; reads run folders, writes nothing.

A run is like another where everything that decides the time of a step is equal: the base model's size, the device,
`TRAITS`. Without such a run the nearest is taken and what differs is named. Steps are timed by their median; start-up,
samples, checks and saves by what the same runs' events say of them.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.contract import preset as presets
from trainer.contract.families import of_header
from trainer.contract.families.base import Header
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset

from . import timetable
from .adapter_size import measure
from .counting import count_of
from .plan import Plan

ENOUGH = 5
"""Runs alike whose median is taken, the newest first."""

FEWEST_STEPS = 5
_HEAD_BYTES, _TAIL_BYTES = 160_000, 64_000
_MOST_DIFFERENT = 2
_ENDED = ("done", "stopped", "paused", "failed", "interrupted", "running")

Trait = tuple[str, Callable[[Preset], Any], str]

TRAITS: tuple[Trait, ...] = (
    ("resolution", lambda p: p.dataset.resolution, "{} px"),
    ("batch", lambda p: p.training.batch_size, "batch size {}"),
    ("accumulate", lambda p: p.training.accumulate, "{} batches accumulated"),
    ("compute", lambda p: p.precision.compute, "{}"),
    ("base", lambda p: p.precision.base, "a base model in {}"),
    ("checkpointing", lambda p: p.memory.gradient_checkpointing, "gradient checkpointing {}"),
    ("attention", lambda p: p.memory.attention, "{} attention"),
    ("parts", lambda p: (p.network.unet, p.network.text_encoder), "other parts trained"),
    ("network", lambda p: p.network.type + (" as DoRA" if p.network.dora else ""), "a {}"),
    ("convolutions", lambda p: p.network.conv_rank > 0, "convolutions {}"),
    ("latents", timetable.latents_cached, "latents cached {}"),
    ("captions", timetable.text_mode, "captions {}"),
)
"""What decides how long a step takes: name, its value in a resolved preset, and how a difference is said."""


@dataclass(frozen=True)
class Past:
    """What a run says of its pace, in seconds: a `step`, the start-up, a picture at one sampler step, a check for an
    image, a save; None for what did not happen. `parameters`: of its adapter, which with its preset's ranks tells the
    base model's size."""

    traits: tuple[Any, ...]
    gpus: str
    device: str
    parameters: int
    preset: Preset
    step: float
    start: float | None = None
    picture: float | None = None
    check: float | None = None
    save: float | None = None


@dataclass(frozen=True)
class Expected:
    """`seconds`: None where no run is near enough. `text`: for people."""

    seconds: float | None
    text: str


@dataclass
class Paces:
    """The past runs of one folder. What a run says is read once, and again when it has come on much further."""

    runs: Path
    _known: dict[str, tuple[object, Past | None]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expected(self, plan: Plan, header: Header, patience_s: float | None = None) -> Expected:
        """How long a plan will take. `header`: of the base model. `patience_s`: how long to read runs that were not
        read before; the rest is read by a later call (None: until all are)."""
        with self._lock:
            past = list(self._past(patience_s))
        near = [(self._unlike(one, plan), one) for one in past if _same_machine(one, plan)]
        near = [(unlike, one) for unlike, one in near if len(unlike) <= _MOST_DIFFERENT]
        ranked = sorted({unlike for unlike, _ in near}, key=lambda unlike: (len(unlike), unlike))
        for unlike in ranked:
            alike = [one for differs, one in near if differs == unlike and _same_model(one, plan, header)][:ENOUGH]
            if alike:
                return _told(alike, unlike, plan)
        return Expected(None, "not known: no run like this on this computer yet")

    @staticmethod
    def _unlike(one: Past, plan: Plan) -> tuple[int, ...]:
        """Places in `TRAITS` where a run differs from the plan."""
        wanted = traits_of(plan.preset)
        return tuple(place for place, (own, other) in enumerate(zip(one.traits, wanted)) if own != other)

    def _past(self, patience_s: float | None) -> Iterator[Past]:
        """Runs that tell a pace, the newest first."""
        until = None if patience_s is None else time.monotonic() + patience_s
        for run, mark in _marked(self.runs):
            known = self._known.get(run.id)
            if known is None or known[0] != mark:
                if until is not None and time.monotonic() > until:
                    continue
                known = self._known[run.id] = (mark, read(run))
            if known[1] is not None:
                yield known[1]


_folders: dict[Path, Paces] = {}


def paces(runs: Path) -> Paces:
    """The past runs of a folder, shared by all who ask."""
    return _folders.setdefault(Path(runs).resolve(), Paces(Path(runs).resolve()))


def _marked(runs: Path) -> list[tuple[RunDir, object]]:
    """Run folders, the newest first, each with a mark that changes where it ends or doubles in length."""
    found = []
    try:
        folders = [path for path in runs.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    for path in folders:
        run = RunDir(path)
        try:
            state, size = run.state_file.stat().st_mtime_ns, run.events.stat().st_size
        except OSError:
            continue
        found.append((state, run, (state, size.bit_length())))
    return [(run, mark) for _, run, mark in sorted(found, key=lambda row: row[0], reverse=True)]


def traits_of(preset: Preset) -> tuple[Any, ...]:
    """The values of `TRAITS` in a resolved preset."""
    return tuple(value(preset) for _, value, _ in TRAITS)


def _lane(gpus: str, device: str = "") -> str:
    """Which device is meant, where that can be said without asking: "cpu", "0" (the first), "1"; or several."""
    return "cpu" if "cpu" in gpus or device.startswith("CPU") else {"auto": "0"}.get(gpus, gpus)


def _same_machine(one: Past, plan: Plan) -> bool:
    wanted = plan.preset.hardware.gpus
    return one.gpus == wanted or _lane(one.gpus, one.device) == _lane(wanted)


def _same_model(one: Past, plan: Plan, header: Header) -> bool:
    """Whether a run's base model has the size of the plan's: the same ranks would give the same number of values."""
    if one.preset.model.path == plan.preset.model.path:
        return True
    try:
        return one.parameters > 0 and measure(one.preset, of_header(header), header)[0] == one.parameters
    except (ValueError, OSError, Problems):  # lists of blocks for another family, a start adapter that is gone
        return False


def read(run: RunDir) -> Past | None:
    """What a run says of its pace; None for one that has not trained a few steps, is no training, or is damaged."""
    try:
        state = run.read_state()
        if state.kind != "training" or state.state not in _ENDED:
            return None
        events = list(_events(run.events))
        preset = presets.load(run.preset)
        return _past_of(events, preset, state.created)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, Problems):
        return None


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of the beginning and the end of a file, as they stand there."""
    with open(path, "rb") as file:
        data = file.read(_HEAD_BYTES)
        size = file.seek(0, 2)
        if size > _HEAD_BYTES:
            file.seek(max(_HEAD_BYTES, size - _TAIL_BYTES))
            data = data.rpartition(b"\n")[0] + b"\n" + file.read().partition(b"\n")[2]
    for line in data.split(b"\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def _past_of(events: Sequence[dict[str, Any]], preset: Preset, created: float) -> Past | None:
    told: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        told.setdefault(str(event.get("kind")), []).append(event)
    steps = [float(event["seconds"]) for event in told.get("step", []) if float(event["seconds"]) > 0]
    if len(steps) < FEWEST_STEPS or "started" not in told:
        return None
    first, started = told["step"][0], told["started"][0]
    before = [event for kind in ("sampled", "validated") for event in told.get(kind, []) if event["step"] == 0]
    start = float(first["time"]) - float(first["seconds"]) - created - sum(float(e["seconds"]) for e in before)
    pictures = [float(e["seconds"]) / len(e["files"]) for e in told.get("sampled", []) if e["files"]]
    held_out = int(started.get("held_out", 0))
    sampler_steps = max(int(preset.sampling.steps), 1)  # type: ignore[arg-type]
    return Past(
        traits=traits_of(preset),
        gpus=preset.hardware.gpus,
        device=str(started.get("device", "")),
        parameters=int(started.get("trained_parameters", 0)),
        preset=preset,
        step=statistics.median(steps),
        start=start if created and 0 <= start < 86_400 and first["step"] == 1 else None,
        picture=_median([seconds / sampler_steps for seconds in pictures]),
        check=_median([float(e["seconds"]) / held_out for e in told.get("validated", [])]) if held_out else None,
        save=_median([float(e["seconds"]) for e in told.get("saved", [])]),
    )


def _median(values: Sequence[float]) -> float | None:
    found = [value for value in values if value > 0]
    return statistics.median(found) if found else None


def _told(alike: Sequence[Past], unlike: Sequence[int], plan: Plan) -> Expected:
    step = statistics.median(one.step for one in alike)
    parts, missing = _moments(alike, plan)
    training = step * plan.steps.total
    if plan.held_out and plan.preset.validation.every == "auto":
        training *= 1 + plan.preset.validation.budget / 100
    seconds = training + parts
    left_out = f"; {' and '.join(missing)} not counted" if missing else ""
    runs = count_of(len(alike), "run")
    if not unlike:
        return Expected(seconds, f"about {spoken(seconds)}, from {runs} like this{left_out}")
    but = " and ".join(_difference(alike[0], place) for place in unlike)
    pace = f"{step:.2f} s" if step >= 0.1 else f"{1000 * step:.0f} ms"
    return Expected(
        seconds, f"perhaps {spoken(seconds)}: a step took {pace} in {runs} like this but with {but}{left_out}"
    )


def _difference(one: Past, place: int) -> str:
    value = one.traits[place]
    shown = ("on" if value else "off") if isinstance(value, bool) else value
    return TRAITS[place][2].format(shown)


def _moments(alike: Sequence[Past], plan: Plan) -> tuple[float, list[str]]:
    """Seconds of all that is not a training step, and what of it no run tells."""
    sampling = plan.preset.sampling
    pictures = len(plan.samples) * len(sampling.prompts) * int(sampling.steps)  # type: ignore[arg-type]
    checks = len(plan.validations) * len(plan.held_out)
    rows = (
        ("samples", pictures, _middle(one.picture for one in alike)),
        ("validation", checks, _middle(one.check for one in alike)),
        ("saving", len(plan.checkpoints) + 1, _middle(one.save for one in alike)),
        ("the start", 1, _middle(one.start for one in alike)),
    )
    seconds = sum(count * each for _, count, each in rows if each is not None)
    return seconds, [name for name, count, each in rows[:2] if count and each is None]


def _middle(values: Iterator[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None


def spoken(seconds: float) -> str:
    """`"40 s"`, `"12 min"`, `"2 h 10 min"`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(round(minutes / 5) * 5, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
