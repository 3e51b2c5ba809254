"""Captioning: taggers and image-to-text models as they are downloaded, and what is written where."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import captioners
import numpy as np
import pytest
import torch
from PIL import Image
from whole_runs import of_kind

from trainer.__main__ import main
from trainer.bench import ROOT
from trainer.contract import tasks
from trainer.contract.events import Phase, Warned
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir
from trainer.contract.tasks import CAPTIONS, Captioning
from trainer.plan import captionfiles
from trainer.plan.captioners import find, recognise
from trainer.tools import captioning
from trainer.tools.captioning_tagger import Tagger, prepare, spaced
from trainer.tools.captioning_text import Writer


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captioners")
    captioners.make_tagger(folder / "wd" / "tagger")
    captioners.make_tagger(folder / "wd" / "first", first=True)
    captioners.make_git(folder / "git")
    captioners.make_blip2(folder / "blip2")
    captioners.make_florence(folder / "florence")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A red, a blue and a broken image; the red one has a caption."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    Image.new("RGB", (40, 20), "red").save(folder / "red.png")
    Image.new("RGB", (20, 40), (0, 0, 255)).save(folder / "more" / "blue.png")
    (folder / "broken.png").write_bytes((folder / "red.png").read_bytes()[:60])
    (folder / "red.txt").write_text("my own words", encoding="utf-8")
    return folder


def caption(folder: Path, model: Path, code: int = 0, **changes: Any) -> RunDir:
    """A whole captioning run over a folder."""
    images = sorted(str(path) for path in folder.rglob("*.png"))
    values = {"model": str(model), "images": images, "folder": str(folder), "gpus": "cpu", **changes}
    run = RunDir.create(folder.parent / "runs", "captions")
    tasks.save(run, tasks.make("captioning", values))
    run.update_state(kind="captioning")
    assert main(["trainer", str(run.path)]) == code, run.read_state().cause
    return run


def test_a_tagger_writes_what_is_missing_and_nothing_else(models: Path, pictures: Path) -> None:
    run = caption(pictures, models / "wd" / "tagger", prefix="zorb, ", no_tags=["Long_Hair"])
    assert (pictures / "red.txt").read_text() == "my own words"
    assert (pictures / "more" / "blue.txt").read_text() == "zorb, miku (voca), 1girl, blue sky, o_o"
    assert not (pictures / "broken.txt").exists()
    assert ["broken.png is skipped" in event.text for event in of_kind(run, Warned)] == [True]
    said = run.read_state().cause
    assert said == "1 caption written, 1 kept as it was, 1 image could not be read"
    assert of_kind(run, Phase)[-1].done == of_kind(run, Phase)[-1].of == 2

    everything = caption(pictures, models / "wd" / "tagger", whom="all images", threshold=0.49, underscores=True)
    assert (pictures / "red.txt").read_text() == "miku_(voca), 1girl, long_hair"
    history = captionfiles.history_file(ROOT, pictures)
    assert everything.id in captionfiles.changes(history)[-1].what
    captionfiles.undo(pictures, history)
    assert (pictures / "red.txt").read_text() == "my own words", "what was there before is kept"


def test_shown_only_writes_nothing(models: Path, pictures: Path) -> None:
    run = caption(pictures, models / "wd" / "tagger", dry=True, most_tags=1)
    assert sorted(path.name for path in pictures.rglob("*.txt")) == ["red.txt"]
    rows = [json.loads(line) for line in (run.path / CAPTIONS).read_text(encoding="utf-8").splitlines()]
    shown = {Path(row["image"]).name: row.get("text") for row in rows}
    assert shown == {"broken.png": None, "blue.png": "miku (voca)", "red.png": "miku (voca)"}
    assert {row.get("before") for row in rows} == {None, "my own words"}


def test_the_tagger_sees_bgr_on_white_up_to_255() -> None:
    square = prepare(Image.new("RGB", (40, 20), (255, 0, 10)), 16)
    assert square.shape == (16, 16, 3) and square.dtype == np.float32
    assert square[8, 8].tolist() == [10, 0, 255], "BGR, not scaled"
    assert square[0, 0].tolist() == [255, 255, 255], "the padding is white"
    assert [spaced(tag) for tag in ("long_hair", "o_o", "^_^", "(o)_(o)", "k-on!_x")] == [
        "long hair", "o_o", "^_^", "(o)_(o)", "k-on! x",
    ]  # fmt: skip


def test_layout_and_batches_come_from_the_model(models: Path) -> None:
    images = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    told = []
    for name in ("tagger", "first"):
        folder = models / "wd" / name
        told.append(Tagger(folder, Captioning(model=str(folder), images=("x",))).captions(images))
    assert told[0] == told[1], "the same model in both layouts"
    assert "blue sky" in told[0][1] and "blue sky" not in told[0][0]


@pytest.mark.parametrize("name", ["git", "blip2", "florence"])
def test_models_of_transformers(models: Path, name: str) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = models / name
    images = [Image.new("RGB", (40, 30), "red"), Image.new("RGB", (30, 50), "blue")]
    task = Captioning(model=str(folder), images=("x",), most_tokens=6)
    found = recognise(str(folder))
    texts = Writer(found, task, torch.device("cpu")).captions(images)
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    more = {"text": "<DETAILED_CAPTION>"} if name == "florence" else {}
    for image, text in zip(images, texts):  # one by one, by the library alone
        made = model.generate(**processor(images=image, return_tensors="pt", **more), max_new_tokens=6, num_beams=3)
        assert " ".join(processor.batch_decode(made, skip_special_tokens=True)[0].split()) == text
    asked = task.model_copy(update={"prompt": "<CAPTION>" if name == "florence" else "what does the"})
    assert all(isinstance(text, str) for text in Writer(found, asked, torch.device("cpu")).captions(images))


def test_a_whole_run_with_sentences(models: Path, pictures: Path) -> None:
    run = caption(pictures, models / "blip2", whom="all images", most_tokens=5, batch_size=2)
    assert (pictures / "red.txt").read_text() != (pictures / "more" / "blue.txt").read_text(), "it saw the images"
    assert run.read_state().cause == "2 captions written, 1 image could not be read"


def test_a_stop_keeps_what_is_done(models: Path, pictures: Path) -> None:
    run = RunDir.create(pictures.parent / "runs", "captions")
    images = [str(pictures / "more" / "blue.png")] * 2 + [str(pictures / "red.png")]
    task = Captioning(model=str(models / "wd" / "tagger"), images=tuple(images), whom="all images")

    def stop_at_once(event: Any) -> None:
        if isinstance(event, Phase) and event.of:
            run.request("stop")

    done = captioning.work(run, task, stop_at_once)
    assert done.how == "stopped" and done.said.startswith("stopped: 1 caption written")
    assert (pictures / "more" / "blue.txt").is_file() and (pictures / "red.txt").read_text() == "my own words"


def test_models_are_recognised_or_refused(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {(each.name, each.kind) for each in find([models])}
    assert names == {
        ("tagger", "tagger"),
        ("first", "tagger"),
        ("git", "text"),
        ("blip2", "text"),
        ("florence", "task"),
    }

    def refused(why: str, make: Callable[[Path], object]) -> None:
        folder = tmp_path / why.replace(" ", "-")
        folder.mkdir()
        make(folder)
        with pytest.raises(Problems, match=why):
            recognise(str(folder))

    def config(**values: Any) -> Callable[[Path], object]:
        return lambda folder: (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")

    refused("selected_tags.csv", lambda folder: (folder / "model.onnx").write_bytes(b"x"))
    refused("code of its own", config(model_type="florence2", auto_map={"AutoModel": "x.y"}, vision_config={}))
    refused("writes no text", config(model_type="clip", architectures=["CLIPModel"], vision_config={}))
    refused("safetensors", config(model_type="git", architectures=["GitForCausalLM"], vision_config={}))
    refused("neither", lambda folder: None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(Problems, match=r"launch\.py --with taggers"):
        Tagger(models / "wd" / "tagger", Captioning(model="x", images=("x",)))


def test_a_damaged_model_is_named(models: Path, pictures: Path) -> None:
    broken = captioners.make_git(pictures.parent / "broken-git")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "cannot be loaded" in caption(pictures, broken, 3).read_state().cause
