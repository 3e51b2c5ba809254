"""Which captioning model a folder holds, and which options fit it: from file names and small JSON files, no weights.

Taggers come as an ONNX file beside a table of tags; all others are folders that transformers reads by itself.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainer.contract.problems import Problem, Problems

SETTING = "captioning model"

FLORENCE_TASKS = (
    ("<CAPTION>", "one short sentence"),
    ("<DETAILED_CAPTION>", "a few sentences"),
    ("<MORE_DETAILED_CAPTION>", "a paragraph"),
)
"""What a Florence-2 can be asked for that is a caption."""

KNOWN = (
    ("WD taggers", "SmilingWolf/wd-vit-tagger-v3", "model.onnx and selected_tags.csv", "tags as on Danbooru; drawings"),
    ("Florence-2", "florence-community/Florence-2-base", "the whole folder", "sentences, short or long; fast"),
    ("BLIP-2", "Salesforce/blip2-opt-2.7b", "the whole folder", "one short sentence; large"),
    ("GIT", "microsoft/git-base-coco", "the whole folder", "one short sentence; small and fast"),
)
"""Kind, a model of it on the Hugging Face hub, what to take of it, what it writes."""


@dataclass(frozen=True)
class Captioner:
    """`kind`: "tagger" writes tags above a confidence, "task" answers one of a few questions, "text" continues or
    answers whatever it is asked. `model`: transformers' name of its architecture, "" for a tagger."""

    folder: Path
    kind: Literal["tagger", "task", "text"]
    model: str
    says: str

    @property
    def name(self) -> str:
        """What it is called in lists."""
        return self.folder.name


def recognise(path: str) -> Captioner:
    """The captioning model in a folder, or beside a file. Problems says what is missing."""
    if not path.strip():
        raise _problem("none is chosen", "choose one, or type the path of its folder")
    place = Path(path).expanduser()
    folder = place.parent if place.is_file() else place
    if not folder.is_dir():
        raise _problem(f"there is no folder {path}", "check the path")
    if any(folder.glob("*.onnx")):
        return _tagger(folder)
    if (folder / "config.json").is_file():
        return _text(folder)
    raise _problem(f"{folder.name} holds neither a config.json nor an .onnx file", "choose the folder of one model")


def find(folders: Iterable[Path]) -> list[Captioner]:
    """The captioning models in these folders: each folder itself, else the folders in it, two levels deep."""
    found: dict[Path, Captioner] = {}
    for folder in folders:
        for place in _places(folder):
            try:
                found.setdefault(place, recognise(str(place)))
            except (Problems, OSError):
                continue
    return list(found.values())


def _places(folder: Path) -> list[Path]:
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        deeper = [path for one in inner for path in sorted(one.iterdir()) if path.is_dir()]
    except OSError:
        return []
    return [folder, *inner, *deeper]


def _problem(why: str, fix: str = "") -> Problems:
    return Problems([Problem(SETTING, why, fix, kind="model")])


def onnx_file(folder: Path) -> Path:
    """The tagger's weights: model.onnx, else the first by name."""
    files = sorted(folder.glob("*.onnx"), key=lambda path: (path.name != "model.onnx", path.name))
    return files[0]


def read_tags(folder: Path) -> list[tuple[str, int]]:
    """Name and category of each tag, in the model's order: 9 rating, 0 general, 4 character. Problems where the table
    is missing or is none."""
    files = sorted(folder.glob("*.csv"), key=lambda path: (path.name != "selected_tags.csv", path.name))
    if not files:
        raise _problem(f"{folder.name} has no selected_tags.csv beside its .onnx file", "get it from the same place")
    try:
        with open(files[0], encoding="utf-8-sig", newline="") as file:
            return [(row["name"], int(row["category"])) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, csv.Error):
        why = f"{files[0].name} is no table with the columns name and category"
        raise _problem(why, "get it from the same place as the model") from None


def _tagger(folder: Path) -> Captioner:
    tags = read_tags(folder)
    characters = sum(category == 4 for _, category in tags)
    says = f"tagger with {len(tags):,} tags" + (f", {characters:,} of them characters" if characters else "")
    return Captioner(folder, "tagger", "", says)


def _text(folder: Path) -> Captioner:
    try:
        config: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model, architectures = str(config["model_type"]), [str(name) for name in config.get("architectures") or []]
    except (OSError, ValueError, KeyError, TypeError):
        raise _problem(f"{folder.name}/config.json does not tell what the model is", "download it again") from None
    if config.get("auto_map"):
        fix = "take the copy that transformers reads by itself: florence-community/Florence-2-base or -large"
        fix = fix if "florence" in model.lower() else "choose a model that transformers reads by itself"
        raise _problem(f"{folder.name} needs code of its own, which is never run", fix)
    sees = any(name.startswith("vision") for name in config) or {"encoder", "decoder"} <= set(config)
    writes = any(name.endswith(("Generation", "CausalLM", "DecoderModel", "TextToText")) for name in architectures)
    if not sees or not (writes or not architectures):
        raise _problem(f"{folder.name} holds a {model} model, which writes no text about images", "choose another")
    if not any(folder.glob("*.safetensors")):
        raise _problem(
            f"{folder.name} has no .safetensors weights", "get the files that end so: pickles are not loaded"
        )
    if model == "florence2":
        return Captioner(folder, "task", model, "Florence-2: sentences, short or long")
    return Captioner(folder, "text", model, f"image-to-text model ({model})")
