"""What a run does that has no preset: captions, pictures. The page writes `task.json`, the trainer obeys.

`RunState.kind` says which task the file holds. Such a run has the same folder, events and requests as a training.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from . import adapter_tasks
from .problems import Problem, Problems
from .rundir import Kind, RunDir, write_whole
from .task import Task

CAPTIONS = "captions.jsonl"
"""In the folder of a captioning run: for each image its text, what its file said before, whether it was written."""

Whom = Literal["images without a caption", "all images"]


class Captioning(Task):
    """Captions for `images` (absolute paths) by the local model in the folder `model`, into text files beside them that
    end in `extension`.

    Files that are there are written over for "all images" only, and what they said is kept (`plan/captionfiles.py`).
    `prompt`: what is asked of models that take a question. `threshold`: lowest confidence of a tag; `most_tags`: how
    many are kept at most; `no_tags`: never. `underscores`: leave `_` in tags as the model has it. `prefix` is put
    before each text."""

    model: str
    images: tuple[str, ...]
    folder: str = ""
    whom: Whom = "images without a caption"
    extension: str = ".txt"
    prompt: str = ""
    prefix: str = ""
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.35
    characters: Annotated[float, Field(ge=0.0, le=1.0)] = 0.85
    most_tags: Annotated[int, Field(ge=1, le=500)] = 60
    no_tags: tuple[str, ...] = ()
    underscores: bool = False
    most_tokens: Annotated[int, Field(ge=4, le=1024)] = 120
    batch_size: Annotated[int, Field(ge=1, le=64)] = 1
    dry: bool = False


class Strength(BaseModel):
    """An adapter file and how strongly it is used; strength 0 is the base model alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    file: str
    strength: Annotated[float, Field(ge=-4.0, le=4.0)] = 1.0


class Generating(Task):
    """Pictures: a row for each of `prompts`, a column for each of `columns`; one without adapters is the base model.

    Prompts are lines as sample prompts are: flags of their own win over the values here, and the seed counts up.

    The model settings are those of a preset's `[model]`; sizes are pixels. Pictures go to `samples/` under
    `picture_name`, told of by one `Sampled` event a column, in order of `columns`. `precision`: what is computed in;
    `base`: what the model is held in. `source`: id of the run whose adapters are tried, "" for files of one's own."""

    model: str
    vae: str = ""
    prediction: str = "auto"
    zero_snr: Literal["auto", "on", "off"] = "auto"
    prompts: tuple[str, ...]
    negative: str = ""
    columns: tuple[tuple[Strength, ...], ...] = ((),)
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    width: Annotated[int, Field(ge=64, le=4096)]
    height: Annotated[int, Field(ge=64, le=4096)]
    steps: Annotated[int, Field(ge=1, le=200)] = 24
    guidance: Annotated[float, Field(ge=1.0, le=30.0)] = 7.0
    sampler: str = "ddim"
    precision: Literal["float", "fp16", "bf16"] = "float"
    base: Literal["float", "fp16", "bf16"] = "float"
    attention: Literal["sdpa", "xformers"] = "sdpa"
    clip_skip: Annotated[int, Field(ge=1, le=12)] = 1
    max_tokens: Literal[75, 150, 225] = 75
    source: str = ""


def picture_name(column: int, row: int) -> str:
    """The file of a try's picture, below `samples/`; both count from 0."""
    return f"column{column:02}_{row:03}.png"


@dataclass(frozen=True)
class Done:
    """What a tool's `work(run, task, emit)` returns. `how`: "done" or "stopped" (it was asked to); `said`: one sentence
    for the list of runs; `file`: what was made, relative to the run folder."""

    how: Literal["done", "stopped"]
    said: str
    file: str = ""


TASKS: dict[Kind, type[Task]] = {"captioning": Captioning, "generating": Generating, **adapter_tasks.TOOLS}
"""Kind of run -> what its `task.json` holds."""


def kind_of(task: Task) -> Kind:
    """The kind of run that does the task."""
    return next(kind for kind, each in TASKS.items() if isinstance(task, each))


def make(kind: Kind, values: dict[str, Any]) -> Task:
    """A task from plain values. Problems names every one that does not fit."""
    try:
        return TASKS[kind].model_validate(values)
    except ValidationError as error:
        raise Problems(
            [Problem(".".join(map(str, fault["loc"])) or kind, str(fault["msg"])) for fault in error.errors()]
        ) from None


def save(run: RunDir, task: Task) -> None:
    """Put the task into its run folder."""
    write_whole(run.task, task.model_dump_json(indent=1))


def load(path: Path, kind: Kind) -> Task:
    """The task of a run folder. Problems where the file is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Problems([Problem(str(path), f"not readable as a task: {error}")]) from None
    return make(kind, values)
