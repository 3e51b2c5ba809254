"""Where the time of whole runs goes: slow disks, decoders and samplers are found, a plain run raises no alarm, and
measuring changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from whole_runs import of_kind, same_bits

from trainer import run as composition
from trainer.contract import preset as presets
from trainer.contract.events import Event, StepDone, Timing, read
from trainer.contract.rundir import RunDir
from trainer.data import latents
from trainer.families.sd1 import StableDiffusion1
from trainer.moments import keeper, make
from trainer.report.verdicts import Split, Verdict, verdict
from trainer.sampling import previews
from trainer.timing.stopwatch import SILENT

Train = Callable[..., RunDir]
SIX = {"training.length": "6 steps"}
LIVE = {**SIX, "memory.cache_latents": False}


def summed(run: RunDir) -> Split:
    split = Split()
    for event in of_kind(run, Timing):
        split.add(event)
    return split


def said(run: RunDir) -> Verdict:
    assert run.read_state().exit_code == 0, run.read_state().cause
    return verdict(summed(run), presets.load(run.preset))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, float], None]:
    """`slow(owner, "name", 0.5)`: that function takes half a second longer."""

    def patch(owner: Any, name: str, seconds: float) -> None:
        real = getattr(owner, name)

        def slower(*values: Any, **more: Any) -> Any:
            time.sleep(seconds)
            return real(*values, **more)

        monkeypatch.setattr(owner, name, slower)

    return patch


CHECKED = {**SIX, "validation.split": "4 images", "validation.every": "2 steps", "validation.timesteps": 2}
SAMPLED = {**SIX, "sampling.every": "3 steps"}
TEXT = {**SIX, "memory.cache_text": False}

CASES = [
    (latents, "read_bytes", 0.5, LIVE, "waits for data: reading image files", "memory.cache_latents"),
    (latents, "open_image", 0.5, LIVE, "waits for data: decoding and resizing", "memory.cache_latents"),
    (StableDiffusion1, "encode_images", 0.35, LIVE, "data: the VAE encodes each image anew", "memory.cache_latents"),
    (StableDiffusion1, "encode_captions", 0.3, TEXT, "data: captions are encoded", "memory.cache_text"),
    (make, "measure", 0.2, CHECKED, "goes into validation", "validation.every"),
    (previews, "draw", 0.25, SAMPLED, "goes into sample pictures", "sampling.every"),
    (keeper, "adapter_bytes", 0.35, {**SIX, "saving.every": "1 step"}, "goes into saving", "saving.every"),
]  # fmt: skip
NAMES = ["disk", "decoder", "VAE", "text encoder", "check", "sampler", "saving"]


@pytest.mark.parametrize(("owner", "name", "seconds", "changes", "words", "setting"), CASES, ids=NAMES)
def test_what_is_slow_is_found(
    train_here: Train,
    slow: Callable[..., None],
    owner: Any,
    name: str,
    seconds: float,
    changes: dict[str, Any],
    words: str,
    setting: str,
) -> None:
    slow(owner, name, seconds)
    found = said(train_here(changes))
    assert words in found.text and found.setting == setting, found


def test_a_plain_run_raises_no_alarm_and_its_parts_are_all_of_its_time(train_here: Train) -> None:
    run = train_here({"training.length": "12 steps"})
    split = summed(run)
    events = read(run.events)
    began = next(event.time for event in events if event.kind == "started")
    assert split.wall_s == pytest.approx(events[-1].time - began, rel=0.05), "the events' own clock agrees"
    assert sum(split.seconds.values()) == pytest.approx(split.wall_s, rel=1e-6)
    assert (split.steps, split.images) == (12, 24)
    assert split.share("forward", "backward") > 0.5
    found = said(run)
    assert found.setting == "" and "forward and backward: the processor is at work" in found.text
    assert split.memory["host_used"] > 1e8


def test_measuring_changes_nothing(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"network.dropout": 0.1, "memory.cache_latents": False, "memory.cache_text": False}
    measured = train_here(changes)
    monkeypatch.setattr(composition, "stopwatch", lambda device: SILENT)
    plain = train_here(changes)
    assert of_kind(measured, Timing) and not of_kind(plain, Timing)
    assert same_bits(measured, plain)


def test_a_resumed_run_goes_on_adding(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.__main__ import main
    from trainer.sinks.fan import Fan

    before = Fan.__call__

    def heard(fan: Fan, event: Event) -> None:
        before(fan, event)
        if isinstance(event, StepDone) and event.step == 3:
            asked.request("stop")

    def remember(folder: RunDir) -> None:
        nonlocal asked
        asked = folder

    asked: RunDir
    monkeypatch.setattr(Fan, "__call__", heard)
    run = train_here(SIX, before=remember)
    assert run.read_state().state == "stopped" and summed(run).steps == 3
    first = of_kind(run, Timing)[0]
    main(["trainer", str(run.path)])
    split = summed(run)
    assert run.read_state().state == "done" and split.steps == 6
    assert of_kind(run, Timing)[0] == first and split.wall_s > 1.3 * first.wall_s
    assert sum(split.seconds.values()) == pytest.approx(split.wall_s, rel=1e-6)
