"""What a run tells of itself: pictures with what draws them elsewhere, the adapter's size, which adapter was kept."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from whole_runs import DEMO, of_kind, same_bits, tensors

from gui import headless
from trainer.contract.events import Sampled, Saved, StepDone, Validated, Warned, read
from trainer.contract.rundir import RunDir

Train = Callable[..., RunDir]

OVERFITS = {
    "training.length": "12 steps",
    "optimizer.learning_rate": 0.3,
    "schedule.name": "constant",
    "schedule.warmup": 100,
    "validation.split": "4 images",
    "validation.every": "1 steps",
    "validation.timesteps": 2,
    "validation.stop": "stop and keep the lowest",
    "validation.patience": 3,
    "sampling.every": "100 steps",
    "sampling.at_start": True,
    "sampling.prompts": ["zorb"],
}
"""A rate that rises until the held-out loss, which falls for two steps, does too."""


def pixels(run: RunDir, file: str) -> np.ndarray:
    with Image.open(run.path / file) as image:
        return np.asarray(image.convert("RGB"))


def norm_of(run: RunDir, name: str) -> float:
    """Of all that an adapter file adds, from its matrices."""
    values = tensors(run, name)
    total = 0.0
    for key in (key.removesuffix(".alpha") for key in values if key.endswith(".alpha")):
        down, up = values[f"{key}.lora_down.weight"].flatten(1), values[f"{key}.lora_up.weight"].flatten(1)
        total += float(((up @ down) * values[f"{key}.alpha"] / len(down)).square().sum())
    return total**0.5


def test_the_kept_adapter_is_the_one_that_is_shown(train_here: Train) -> None:
    run = train_here(OVERFITS)
    checks, saves = of_kind(run, Validated), of_kind(run, Saved)
    lowest = min(checks, key=lambda check: check.loss)
    final = saves[-1]
    assert 0 < lowest.step < checks[-1].step, "the run was to overfit"
    assert (final.what, final.weights_step) == ("final", lowest.step)
    before, after = of_kind(run, Sampled)
    assert (after.step, after.weights_step) == (checks[-1].step, lowest.step)
    assert after.recipes[0]["adapter"] == "zorb.safetensors" and after.recipes[0]["adapter_step"] == lowest.step
    with Image.open(run.path / after.files[0]) as image:
        assert "<lora:zorb:1>" in image.text["parameters"]  # type: ignore[attr-defined]
        assert json.loads(image.text["loratory"])["base_model"] == "model"  # type: ignore[attr-defined]
    assert (pixels(run, before.files[0]) != pixels(run, after.files[0])).any()
    last = next(event for event in saves if event.what == "in between")
    told = {event.step: event.adapter_norm for event in of_kind(run, StepDone)}
    assert {step for step, norm in told.items() if norm is not None} <= {1, 10, 12}
    assert last.step == checks[-1].step


def test_the_report_is_written_without_folders(train_here: Train, capsys: pytest.CaptureFixture[str]) -> None:
    run = train_here({"sampling.every": "2 steps", "sampling.at_start": True, "sampling.prompts": ["zorb"]})
    text = run.report.read_text(encoding="utf-8")
    plain = re.sub(r"base64,[\w+/=]+", "", text)
    for said in (
        "Done, after 3 of 3 steps",
        "<code>zorb</code>",
        "Where the time went",
        "before training",
        "Sampler: DDIM",
    ):
        assert said in plain, said
    for private in (str(run.path.parent), str(Path.home()) + "/", str(DEMO.parent)):
        assert private not in plain, private
    run.report.unlink()
    assert headless.report(Namespace(report=run.id, runs=str(run.path.parent))) == 0
    assert str(run.report) in capsys.readouterr().out and run.report.read_text(encoding="utf-8") == text


def test_a_report_that_cannot_be_written_is_a_warning(train_here: Train) -> None:
    run = train_here(before=lambda run: run.report.mkdir())
    assert run.read_state().state == "done" and isinstance(read(run.events)[-1], Warned)
    assert any("report could not be written" in event.text for event in of_kind(run, Warned))


def test_stopped_early_draws_an_after_picture_and_looking_changes_nothing(train_here: Train) -> None:
    """The pictures of the last step, which no interval asked for. The adapter is that of a run without pictures."""
    stop = OVERFITS | {"validation.stop": "stop"}
    drawn = train_here(stop)
    plain = train_here(stop | {"sampling.every": "never", "sampling.at_start": False})
    last = of_kind(drawn, Saved)[-1]
    assert [event.step for event in of_kind(drawn, Sampled)] == [0, last.step] and last.step < 12
    assert of_kind(plain, Sampled) == [] and same_bits(drawn, plain)


def test_the_norm_is_that_of_what_is_added(train_here: Train) -> None:
    run = train_here({"network.conv_rank": 2, "network.alpha": 2.0})
    told = [event.adapter_norm for event in of_kind(run, StepDone)]
    assert told[1] is None and told[2] == pytest.approx(norm_of(run, "zorb.safetensors"), rel=1e-4)
