"""What the Try tab knows and does: adapters of a run, columns, the task, tries that were made. No Gradio in here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gui import device, jobs
from gui.queue import card
from gui.runs.watch import Row, Watcher, preset_of
from trainer.contract import catalog, families, tasks
from trainer.contract.events import Sampled, read
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import RunDir
from trainer.contract.tasks import Generating
from trainer.report.view import RunView

MOST_PICTURES = 400


@dataclass(frozen=True)
class Adapter:
    """An adapter file of a run; `label` tells its step."""

    file: Path
    label: str
    step: int


@dataclass(frozen=True)
class Asked:
    """What the form of the tab holds, as it was typed. `files`: of `adapters`; `own`: a path, or several by lines."""

    model: str
    vae: str
    prompts: str
    negative: str
    seed: str
    width: str
    height: str
    steps: str
    guidance: str
    sampler: str
    precision: str
    files: tuple[str, ...]
    own: str
    strengths: str
    base: bool


def adapters(run: RunDir, view: RunView) -> list[Adapter]:
    """The adapter files that a run has written and that are still there, by step."""
    found: dict[Path, Adapter] = {}
    for event in view.saved:
        file = run.inside(event.file)
        if file is None or not file.is_file():
            continue
        step = event.step if event.weights_step is None else event.weights_step
        kind = "" if event.what == "in between" else f", {event.what}"
        found[file] = Adapter(file, f"step {step}{kind}", step)
    return sorted(found.values(), key=lambda each: (each.step, each.label))


def runs_with_adapters(watching: Watcher) -> list[Row]:
    """Training runs that have written an adapter, newest first."""
    rows = [row for row in watching.rows() if row.state.kind == "training"]
    return [row for row in rows if any((watching.runs / row.id).glob("*.safetensors"))]


def defaults(run: RunDir) -> dict[str, Any]:
    """What a run's own samples were drawn with, by the names of `Asked`; {} where its preset cannot be read."""
    preset = preset_of(run)
    if preset is None:
        return {}
    sampling = preset.sampling
    lines = [str(line) for line in sampling.prompts] if isinstance(sampling.prompts, (list, tuple)) else []
    return {
        "model": preset.model.path,
        "vae": preset.model.vae,
        "prompts": "\n".join(lines) or preset.captions.trigger,
        "negative": sampling.negative,
        "seed": str(sampling.seed),
        "width": str(sampling.width),
        "height": str(sampling.height),
        "steps": str(sampling.steps),
        "guidance": f"{sampling.guidance:g}",
        "sampler": sampling.sampler,
        "precision": preset.precision.compute,
    }


def usual() -> dict[str, Any]:
    """What the form holds before a run is chosen."""
    return {
        "model": "",
        "vae": "",
        "prompts": "",
        "negative": "",
        "seed": "42",
        **_usual_of(families.default_family()),
        "precision": "fp16" if device.gpus() else "float",
    }


def _usual_of(family: families.Family) -> dict[str, str]:
    known, side = family.defaults, str(family.base_resolution)
    numbers = {name: f"{known[f'sampling.{name}']:g}" for name in ("steps", "guidance")}
    return {"width": side, "height": side, **numbers, "sampler": str(known["sampling.sampler"])}


SUITED = ("width", "height", "steps", "guidance", "sampler")
"""Fields whose usual values are the family's."""


def suited(model: str, shown: Mapping[str, str]) -> dict[str, str]:
    """What is usual for the family of a model, for fields that hold what is usual for any; nothing where it is not
    known what the model is."""
    try:
        family = families.of(families.recognise(model))
    except (Problems, OSError):
        return {}
    usual_ones = [_usual_of(families.by_name(name)) for name in catalog.names("families")]
    now = _usual_of(family)
    return {name: now[name] for name in SUITED if any(shown.get(name) == each[name] for each in usual_ones)}


def in_order(files: Iterable[str], run: RunDir | None, watching: Watcher) -> tuple[str, ...]:
    """Those of the files that are the run's adapters, by step, however they were clicked."""
    if run is None:
        return ()
    chosen = set(files)
    with watching.lock:
        return tuple(str(each.file) for each in adapters(run, watching.view(run)) if str(each.file) in chosen)


def recipes_of(run: RunDir) -> list[Sampled]:
    """What a try's columns were drawn with, as far as they are done, in order."""
    try:
        return list(_sampled(run.events, run.events.stat().st_size))
    except OSError:
        return []


@lru_cache(maxsize=16)
def _sampled(path: Path, _size: int) -> tuple[Sampled, ...]:
    return tuple(event for event in read(path) if isinstance(event, Sampled))


def task(asked: Asked, run: RunDir | None) -> Generating:
    """What is to be drawn. Problems names every field that does not fit."""
    problems: list[Problem] = []
    numbers = {name: _number(name, getattr(asked, name), problems) for name in _NUMBERS}
    strengths = _strengths(asked.strengths, problems)
    files = [*asked.files, *(line.strip().strip('"') for line in asked.own.splitlines() if line.strip())]
    for file in files:
        if not Path(file).expanduser().is_file():
            problems.append(Problem("adapter", f"there is no file {file}", "check the path"))
    lines = tuple(line for line in asked.prompts.splitlines() if line.strip())
    if not lines:
        problems.append(Problem("prompts", "there is nothing to draw", "write a prompt, one a line"))
    columns = columns_of([str(Path(file).expanduser()) for file in files], strengths, asked.base)
    if not columns:
        problems.append(Problem("adapter", "no column is chosen", "choose an adapter, or the base model"))
    if len(columns) * len(lines) > MOST_PICTURES:
        problems.append(Problem("prompts", f"that is {len(columns) * len(lines)} pictures", f"at most {MOST_PICTURES}"))
    try:
        recognised = families.recognise(asked.model)
        problems += [] if recognised.trained else [families.untrained(asked.model, recognised)]
    except Problems as more:
        problems += more.problems
    if problems:
        raise Problems(problems)
    values = {"model": asked.model, "vae": asked.vae, "prompts": lines, "negative": asked.negative, "columns": columns}
    chosen = {"sampler": asked.sampler, "precision": asked.precision, **numbers, **_of_run(run, asked)}
    made = tasks.make("generating", {**values, **chosen})
    assert isinstance(made, Generating)
    return made


_NUMBERS = {"seed": int, "width": int, "height": int, "steps": int, "guidance": float}


def _number(name: str, text: str, problems: list[Problem]) -> float | None:
    try:
        return _NUMBERS[name](str(text).strip())
    except ValueError:
        problems.append(Problem(name, f"{text!r} is not a number", "write one"))
        return None


def _strengths(text: str, problems: list[Problem]) -> list[float]:
    found = []
    for word in text.replace(";", ",").replace(",", " ").split():
        try:
            found.append(float(word))
        except ValueError:
            problems.append(Problem("strengths", f"{word!r} is not a number", "write for example 0.6, 0.8, 1"))
    return list(dict.fromkeys(found)) or [1.0]


def _of_run(run: RunDir | None, asked: Asked) -> dict[str, Any]:
    """What a run's own pictures are drawn with that the form does not ask for."""
    preset = preset_of(run) if run else None
    half = asked.precision if asked.precision != "float" else "float"
    if preset is None or run is None:
        return {"base": half}
    same = preset.precision.compute == asked.precision
    return {
        "source": run.id,
        "base": str(preset.precision.base) if same else half,
        "attention": preset.memory.attention,
        "clip_skip": preset.captions.clip_skip,
        "max_tokens": preset.captions.max_tokens,
        "prediction": preset.model.prediction,
        "zero_snr": preset.model.zero_snr,
        "gpus": preset.hardware.gpus,
    }


def columns_of(files: Sequence[str], strengths: Iterable[float], base: bool) -> list[list[dict[str, Any]]]:
    """The base model alone first where it is wanted, then each file at each strength."""
    first: list[list[dict[str, Any]]] = [[]] if base else []
    levels = list(strengths)
    return [*first, *([{"file": file, "strength": level}] for file in files for level in levels)]


def begin(made: Generating, watching: Watcher) -> RunDir:
    """Start drawing. Problems where another try is at work: two would share the device's memory."""
    busy = next((row for row in tries(watching) if row.state.state in jobs.AT_WORK), None)
    if busy is not None:
        raise Problems([Problem("try", "another try is being drawn", "wait for it, or stop it")])
    return jobs.start_task(made, "try", watching.runs)


def beside(watching: Watcher, gpus: str) -> list[str]:
    """Names of trainings at work on the device that a try would use."""
    rows = [row for row in watching.rows() if row.state.kind != "generating"]
    return card.busy(watching.runs, rows, gpus)


def tries(watching: Watcher) -> list[Row]:
    """All tries, newest first."""
    return [row for row in watching.rows() if row.state.kind == "generating"]


def task_of(run: RunDir) -> Generating | None:
    """The task of a try; None where it cannot be read."""
    try:
        return _task(run.task, run.task.stat().st_mtime_ns)
    except (OSError, Problems):
        return None


@lru_cache(maxsize=256)
def _task(path: Path, _seen: int) -> Generating | None:
    found = tasks.load(path, "generating")
    return found if isinstance(found, Generating) else None


def title_of(column: Sequence[tasks.Strength], label: Mapping[str, str]) -> tuple[str, str]:
    """What stands over a column: the adapter, and its strength."""
    if not column:
        return "base model", ""
    return " + ".join(label.get(one.file, Path(one.file).stem) for one in column), ", ".join(
        f"strength {one.strength:g}" for one in column
    )


def samplers() -> tuple[str, ...]:
    """The samplers to choose from."""
    return catalog.names("samplers")


def short_names(made: Generating) -> dict[str, str]:
    """What an adapter file is called over its column: "step 500" where its name tells, else the file's own."""
    found = {}
    for column in made.columns:
        for one in column:
            stem = Path(one.file).stem
            _, mark, digits = stem.rpartition("-step")
            found[one.file] = f"step {int(digits)}" if mark and digits.isdecimal() else stem
    return found
