"""A run keeps the images that it holds out, whatever is added to its folder before it goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps
from whole_runs import DEMO, of_kind

from trainer.contract.events import Event, Noted, RunStarted, StepDone, Validated, Warned
from trainer.contract.rundir import RunDir

Train = Callable[..., RunDir]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Ten of the demo's images, with their captions."""
    folder = tmp_path / "badges"
    folder.mkdir()
    for number in range(1, 11):
        for ending in ("png", "txt"):
            shutil.copy(DEMO.parent / "demo" / "images" / f"badge_{number:02d}.{ending}", folder)
    return folder


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    changes = {"dataset.folders": [{"path": str(folder)}], "training.length": "4 steps"}
    return changes | {"validation.split": "3 images", "validation.every": "never"} | more


@pytest.fixture
def stopped(images: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run of four steps that was asked to stop after its second."""
    from trainer.sinks.fan import Fan

    before = Fan.__call__

    def heard(fan: Fan, event: Event) -> None:
        before(fan, event)
        run = next(images.parent.glob("runs/*"))
        if isinstance(event, StepDone) and event.step == 1:
            (run / "split.json").unlink()  # somebody tidies up: the next state brings it back
        if isinstance(event, StepDone) and event.step == 2:
            RunDir(run).request("stop")

    monkeypatch.setattr(Fan, "__call__", heard)
    run = train_here(settings(images))
    monkeypatch.undo()
    assert run.read_state().state == "stopped"
    return run


def test_added_images_change_no_side_of_a_run_that_goes_on(stopped: RunDir, images: Path, train_here: Train) -> None:
    from trainer.__main__ import main

    [first] = of_kind(stopped, RunStarted)
    assert len(first.held_out_images) == first.held_out == 3 and first.images == 7
    told = f"7 train, 3 held out ({', '.join(first.held_out_images)})."
    assert told in [event.text for event in of_kind(stopped, Noted)]
    for number in range(11, 17):
        shutil.copy(DEMO.parent / "demo" / "images" / f"badge_{number:02d}.png", images)
    with Image.open(images / first.held_out_images[0]) as held:
        ImageOps.mirror(held.convert("RGB")).save(images / "sneaked in.jpg", quality=85)
    main(["trainer", str(stopped.path)])
    again = of_kind(stopped, RunStarted)[-1]
    assert stopped.read_state().exit_code == 0, stopped.read_state().cause
    assert again.held_out_images == first.held_out_images and again.images == 13
    warned = " ".join(event.text for event in of_kind(stopped, Warned))
    assert "1 image is left out of training and of validation (sneaked in.jpg)" in warned
    assert "the images are not those that the run began with" in warned
    kept = json.loads((stopped.path / "split.json").read_text(encoding="utf-8"))
    assert [len(kept[side]) for side in ("held_out", "trained", "aside")] == [3, 7, 0]


def test_a_later_run_keeps_the_sides_and_takes_new_images(stopped: RunDir, images: Path, train_here: Train) -> None:
    [first] = of_kind(stopped, RunStarted)
    for number in range(11, 17):
        shutil.copy(DEMO.parent / "demo" / "images" / f"badge_{number:02d}.png", images)
    shutil.rmtree(stopped.path)
    later = train_here(settings(images, **{"training.length": "1 steps"}))
    [begun] = of_kind(later, RunStarted)
    assert begun.held_out_images == first.held_out_images and begun.images == 13


def test_a_folder_of_its_own_is_measured_and_never_trained_on(images: Path, train_here: Train) -> None:
    own = images.parent / "scenes"
    own.mkdir()
    for number in (15, 16):
        shutil.copy(DEMO.parent / "demo" / "images" / f"badge_{number:02d}.png", own)
    changes = settings(images, **{"validation.folder": str(own), "validation.split": "off"})
    run = train_here(changes | {"validation.every": "2 steps", "training.length": "2 steps"})
    [begun] = of_kind(run, RunStarted)
    assert begun.held_out_images == ["badge_15.png", "badge_16.png"] and begun.images == 10
    checks = of_kind(run, Validated)
    assert [check.step for check in checks] == [0, 2] and all(len(check.per_image) == 2 for check in checks)
