"""What can be done to adapter files: one task a tool, with what the page and the terminal say of each of its fields.

The page draws a form from a task's fields, the terminal an option for each; the trainer does the task
(`trainer/tools/adapters/`) and leaves what it found in `result.json` of the run folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .rundir import Kind, RunDir, write_whole
from .task import Task

RESULT = "result.json"
"""In the run folder of a tool: what it found or made (`Result`)."""

Format = Literal["as it is", "float", "fp16", "bf16"]
Input = Literal["adapter", "adapters", "model", "out", "number", "numbers", "choice", "switch", "text", "lines"]


@dataclass(frozen=True)
class Shown:
    """How a field is asked for: its title, and by what kind of input."""

    title: str
    input: Input


class Tool(Task):
    """A tool's task: what is under a field is its help."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Makes(Tool):
    """A tool that writes a file."""

    out: Annotated[str, Shown("Result", "out")] = ""
    """Path of the new file (.safetensors). Empty: beside the first file, under a name that tells what was done."""

    replace: Annotated[bool, Shown("Replace a file of that name", "switch")] = False
    """Write over a file that is there. It is replaced only once the new one is complete."""


class Inspect(Tool):
    """Kinds, ranks, alphas, layers, base family and metadata of an adapter, and how strongly it changes each block."""

    adapter: Annotated[str, Shown("Adapter", "adapter")]
    """Path of a .safetensors file."""


class Merge(Makes):
    """Several adapters as one: the weighted sum of their updates."""

    adapters: Annotated[tuple[str, ...], Shown("Adapters", "adapters")]
    """Paths of two or more files for the same base model; one, to change its strength for good."""

    weights: Annotated[tuple[float, ...], Shown("Weights", "numbers")] = ()
    """How strongly each counts, in their order; empty: 1 each. The merged file at strength 1 does what all of them at
    these strengths do together."""

    rank: Annotated[int, Field(ge=0, le=1024), Shown("Rank", "number")] = 0
    """0 keeps the sum exact: the ranks add up, and the file is as large as all of them together. Any other number is
    the rank of the closest approximation (SVD): smaller, and a little different."""

    conv_rank: Annotated[int, Field(ge=0, le=1024), Shown("Convolution rank", "number")] = 0
    """With a rank: that of convolutions larger than 1x1. 0: the same."""

    precision: Annotated[Format, Shown("Number format", "choice")] = "as it is"
    """Of the new file. "as it is": the widest of the files'."""


class MergeInto(Makes):
    """Adapters made part of a checkpoint, so that it needs no LoRA any more."""

    model: Annotated[str, Shown("Checkpoint", "model")]
    """Path of a .safetensors file or of a diffusers folder."""

    adapters: Annotated[tuple[str, ...], Shown("Adapters", "adapters")]
    """Paths of the files, all for this kind of model."""

    strengths: Annotated[tuple[float, ...], Shown("Strengths", "numbers")] = ()
    """How strongly each is merged, in their order; empty: 1 each. -1 takes one out again."""

    precision: Annotated[Format, Shown("Number format", "choice")] = "as it is"
    """Of the new checkpoint's numbers. Merging is computed in float; fp16 is what generators usually load."""


class Extract(Makes):
    """The difference of two checkpoints as a LoRA: closest approximation at a rank (SVD)."""

    base: Annotated[str, Shown("Base checkpoint", "model")]
    """What the other was made from: a .safetensors file or a diffusers folder."""

    tuned: Annotated[str, Shown("Tuned checkpoint", "model")]
    """The fine-tuned one."""

    rank: Annotated[int, Field(ge=1, le=1024), Shown("Rank", "number")] = 64
    """Of linear layers and 1x1 convolutions. Higher keeps more of the difference and makes the file larger."""

    conv_rank: Annotated[int, Field(ge=0, le=1024), Shown("Convolution rank", "number")] = 0
    """Of convolutions larger than 1x1; 0 leaves the residual blocks out."""

    text_encoder: Annotated[bool, Shown("Text encoders", "switch")] = True
    """Take the text encoders' difference too."""

    min_diff: Annotated[float, Field(ge=0, le=10), Shown("Smallest difference", "number")] = 0.0001
    """A layer of which no weight differs by more than this is left out: what is left of rounding is no training."""

    precision: Annotated[Literal["float", "fp16", "bf16"], Shown("Number format", "choice")] = "fp16"
    """Of the LoRA."""


class Resize(Makes):
    """A LoRA at another rank, the closest approximation of what it was (SVD)."""

    adapter: Annotated[str, Shown("Adapter", "adapter")]
    """A LoRA, LoCon or DoRA."""

    rank: Annotated[int, Field(ge=1, le=1024), Shown("Rank", "number")] = 16
    """The new rank, or the highest that a layer may keep."""

    conv_rank: Annotated[int, Field(ge=0, le=1024), Shown("Convolution rank", "number")] = 0
    """The same for convolutions larger than 1x1. 0: as the others."""

    method: Annotated[Literal["rank", "ratio", "cumulative", "Frobenius"], Shown("What each layer keeps", "choice")] = (
        "rank"
    )
    """"rank": every layer gets the rank. The others find a rank for each layer: "ratio" keeps singular values above the
    largest divided by the amount; "cumulative" keeps that share of their sum; "Frobenius" that share of the update's
    norm."""

    amount: Annotated[float, Field(gt=0, le=1000), Shown("Amount", "number")] = 0.9
    """For "ratio" a number above 1 (2-20: higher keeps more), for "cumulative" and "Frobenius" a share from 0 to 1."""

    precision: Annotated[Format, Shown("Number format", "choice")] = "as it is"
    """Of the new file."""


class Convert(Makes):
    """The same adapter under the names that another program reads."""

    adapter: Annotated[str, Shown("Adapter", "adapter")]
    """Path of a .safetensors file."""

    to: Annotated[Literal["Kohya", "diffusers", "LyCORIS"], Shown("Names", "choice")] = "Kohya"
    """"Kohya" is what A1111, Forge and ComfyUI read. "diffusers" has PEFT's names and no alpha: it is multiplied into
    the weights. "LyCORIS" is what that library writes for a whole U-Net; text encoders keep Kohya's names there."""


class Metadata(Makes):
    """Change or remove what a file tells about its training; its weights stay as they are, byte by byte."""

    adapter: Annotated[str, Shown("Adapter", "adapter")]
    """Path of a .safetensors file."""

    strip: Annotated[
        Literal["nothing", "names and tags", "all but what readers need", "everything"], Shown("Remove", "choice")
    ] = "nothing"
    """"names and tags": captions' tags, names of folders, files and runs, comments, dates. "all but what readers need":
    base model, network type, rank and alpha stay. "everything": the file says nothing."""

    remove: Annotated[tuple[str, ...], Shown("Remove these too", "lines")] = ()
    """Names, one a line; a * at the end stands for anything (ss_dataset*)."""

    set: Annotated[tuple[str, ...], Shown("Set", "lines")] = ()
    """name=value, one a line, for example modelspec.title=Zorb."""


class Verify(Tool):
    """Whether an adapter file is whole: no NaN, nothing missing or unknown, the right shapes, its own hash."""

    adapter: Annotated[str, Shown("Adapter", "adapter")]
    """Path of a .safetensors file."""

    model: Annotated[str, Shown("Base model", "model")] = ""
    """A checkpoint or diffusers folder that every layer must fit; empty: the standard size of its family."""


class Upload(Tool):
    """An adapter file to the Hugging Face hub. The token is that of the environment (HF_TOKEN) or of the hub's own
    login; it is never stored here."""

    adapter: Annotated[str, Shown("Adapter", "adapter")]
    """Path of a .safetensors file."""

    repo: Annotated[str, Shown("Repository", "text")]
    """user/name on the hub; made if it is not there."""

    name: Annotated[str, Shown("Name in the repository", "text")] = ""
    """Path of the file there. Empty: its own name."""

    private: Annotated[bool, Shown("Private repository", "switch")] = True
    """Where the repository is made: only you can see it."""

    send: Annotated[bool, Shown("Send it", "switch")] = False
    """Off: nothing is sent, and the result tells what would be."""


TOOLS: dict[Kind, type[Tool]] = {
    "inspect": Inspect,
    "merge": Merge,
    "merge-into": MergeInto,
    "extract": Extract,
    "resize": Resize,
    "convert": Convert,
    "metadata": Metadata,
    "verify": Verify,
    "upload": Upload,
}
"""Name of a tool, which is the kind of its runs -> its task."""

TITLES: dict[Kind, str] = {
    "inspect": "Inspect",
    "merge": "Merge adapters",
    "merge-into": "Merge into a checkpoint",
    "extract": "Extract from two checkpoints",
    "resize": "Resize",
    "convert": "Convert names",
    "metadata": "Edit metadata",
    "verify": "Verify",
    "upload": "Upload to the hub",
}


class Bar(BaseModel):
    """A row of a picture: a block, how strongly it is changed, and the largest of all rows for scale."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: float
    layers: int = 0


class Result(BaseModel):
    """What a tool tells at its end. `facts`: name and value; `faults`: what is wrong, one sentence each; `notes`: what
    should be known; `bars`: norms by block; `file`: the absolute path of what was made, `made`: that it is an adapter;
    `metadata`: what the file tells."""

    model_config = ConfigDict(frozen=True)

    headline: str
    facts: tuple[tuple[str, str], ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    file: str = ""
    adapter: bool = False


def save_result(run: RunDir, result: Result) -> None:
    """Put it into the run folder."""
    write_whole(run.path / RESULT, result.model_dump_json(indent=1))


def load_result(folder: Path) -> Result | None:
    """The result in a run folder; None where there is none, or none that can be read."""
    try:
        return Result.model_validate(json.loads((folder / RESULT).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def shown(tool: type[Tool]) -> dict[str, tuple[Shown, Any]]:
    """The fields that are asked for, in their order: how, and pydantic's description of each (help, default)."""
    found = {}
    for name, field in tool.model_fields.items():
        how = next((each for each in field.metadata if isinstance(each, Shown)), None)
        if how is not None:
            found[name] = (how, field)
    return {name: found[name] for name in sorted(found, key=lambda each: each in Makes.model_fields)}
