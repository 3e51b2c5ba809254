"""What another trainer prints and draws becomes the events of a run of ours."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.summary_pb2 import Summary

from gui.engine import said
from gui.engine.said import Listener, Splitter
from gui.engine.scalars import Follower, Scalar
from gui.engine.teller import BAR_LOSS, Recipe, Teller
from trainer.contract.events import Event, Noted, Phase, RunStarted, Sampled, Saved, StepDone, Validated
from trainer.contract.rundir import RunDir

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
PLAN = said.Begun(images=32, batches=8, epochs=2, accumulate=2, steps=8)


class Told:
    """A run folder, and the events that a teller emits for it."""

    def __init__(self, runs: Path) -> None:
        self.run, self.events = RunDir.create(runs, "zorb"), list[Event]()
        self.teller = Teller(self.run, Recipe("zorb", 4, ("a zorb", "a ring")), self.events.append, "cpu")

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def facts(*lines: str) -> list[said.Fact]:
    listener = Listener()
    return [fact for line in lines for fact in listener.hear(line)]


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        ("steps:   5%|▌   | 2/40 [00:03<00:59,  1.56s/it, avr_loss=0.123]", said.Progress(2, 40, 0.123)),
        ("steps:   0%|          | 0/40 [00:00<?, ?it/s]", said.Progress(0, 40, None)),
        (
            "steps: 100%|█| 40/40 [01:00<00:00, 1.50s/it, Average key norm=0.1, Keys Scaled=0, avr_loss=1.2e-5]",
            said.Progress(40, 40, 1.2e-5),
        ),
        ("epoch validation steps: 100%|█| 8/8 [0:01<0, val_epoch_avg_loss=0.2, timestep=800]", said.Checked(0.2)),
        ("saving checkpoint: C:\\runs\\x\\zorb-000001.safetensors", said.Saving("zorb-000001.safetensors")),
        ("saving checkpoint: /runs/x/-evil.safetensors", said.Saving("-evil.safetensors")),
        ("INFO  generating sample images at step / サンプル画像生成 ステップ: 20", said.Drawing(20)),
    ],
)
def test_a_line_says_a_fact(line: str, fact: said.Fact) -> None:
    assert facts(line) == [fact]


@pytest.mark.parametrize("loss", ["nan", "inf", "..."])
def test_a_loss_that_is_no_number_is_told_as_that(loss: str) -> None:
    [fact] = facts(f"steps: 5%|#| 2/40 [0:03<0:59, 1.5s/it, avr_loss={loss}]")
    assert isinstance(fact, said.Progress) and fact.loss is not None and not math.isfinite(fact.loss)


@pytest.mark.parametrize(
    "line", ["", "a" * 100_000, "100%|", "steps: 5%|#| 99999999999999999999/", "epoch 1/2", "\0\x1b"]
)
def test_other_lines_say_nothing(line: str) -> None:
    assert facts(line) == []


def test_the_bars_of_the_start_count_what_is_done() -> None:
    told = facts("INFO  caching latents...", " 50%|###  | 8/16 [00:01<00:01, 8.0it/s]", "INFO caching latents...")
    assert told == [said.Doing("encoding images"), said.Doing("encoding images", 8, 16)]


def test_the_last_error_is_the_cause_and_not_that_of_the_launcher() -> None:
    listener = Listener()
    text = (
        "Traceback (most recent call last):\n  File x\nValueError: first\n\nTraceback (most recent call last):\n"
        "  File y\n    raise\ntorch.OutOfMemoryError: CUDA out of memory.\n"
        "Traceback (most recent call last):\n  File z\nsubprocess.CalledProcessError: Command '[...]' returned 1"
    )
    for line in text.splitlines():
        assert list(listener.hear(line)) == []
    assert listener.failure == "torch.OutOfMemoryError: CUDA out of memory."


def test_lines_are_cut_where_a_terminal_would_overwrite_them() -> None:
    splitter = Splitter()
    told = [
        *splitter.feed(b"one\r\ntwo\rthr"),
        *splitter.feed("ée\r".encode()[:2]),
        *splitter.feed("ée\r".encode()[2:]),
    ]
    assert told == [("one", True), ("two", False)]
    assert list(splitter.feed(b"\nfour\n")) == [("thrée", True), ("four", True)]
    assert [*splitter.feed(b"last\r"), splitter.rest()] == ["last"]


def test_a_plan_begins_the_run(told: Told) -> None:
    told.teller.take(said.Found(8))
    told.teller.take(PLAN)
    [event] = told.of(RunStarted)
    assert isinstance(event, RunStarted) and (event.total_steps, event.steps_per_epoch, event.images) == (8, 4, 8)
    assert told.teller.total_steps == 8


def step(number: int, loss: float) -> list[Scalar]:
    return [Scalar("loss/current", number, loss, 1e9 + number), Scalar("lr/unet", number, 1e-4, 1e9 + number)]


def test_each_step_has_the_mean_of_its_batches_and_the_applied_rate(told: Told) -> None:
    told.teller.take(PLAN)
    told.teller.figures([*step(0, 0.2), *step(1, 0.4), *step(1, 0.5), *step(2, 0.7)])
    told.teller.figures(
        [Scalar("lr/d*lr/unet", 2, 5e-5, 0), Scalar("lr/group0", 2, 1, 0), Scalar("lr/textencoder", 2, 2e-5, 0)]
    )
    told.teller.figures([])
    one, two = told.of(StepDone)
    assert isinstance(one, StepDone) and isinstance(two, StepDone)
    assert (one.step, one.loss, one.learning_rate) == (1, pytest.approx(0.3), {"unet": 1e-4})
    assert (two.step, two.loss, two.epoch) == (2, pytest.approx(0.6), 0.5)
    assert two.learning_rate == {"unet": 5e-5, "text_encoder": 2e-5} and two.images == 4


def test_without_figures_the_bar_gives_its_mean_and_that_is_said(told: Told) -> None:
    told.teller.take(PLAN)
    for number in range(1, 6):
        told.teller.take(said.Progress(number, 8, 0.9))  # it shows the step before's mean for a moment
        told.teller.take(said.Progress(number, 8, number / 10))
    told.teller.finish()
    losses = {event.step: event.loss for event in told.of(StepDone) if isinstance(event, StepDone)}
    assert losses == {number: number / 10 for number in range(1, 6)}
    assert [event.text for event in told.of(Noted) if isinstance(event, Noted)] == [BAR_LOSS]


def test_an_adapter_is_told_once_it_is_whole(told: Told) -> None:
    told.teller.take(said.Saving("zorb-000001.safetensors"))
    assert told.of(Saved) == []
    (told.run.path / "zorb-000001.safetensors").write_bytes(b"x" * 9)
    told.teller.take(said.Progress(4, 8, 0.1))
    (told.run.path / "zorb.safetensors").write_bytes(b"x" * 10)
    told.teller.take(said.Saving("zorb.safetensors"))
    told.teller.take(said.Saving("never-written.safetensors"))
    told.teller.finish()
    saved = [(event.file, event.bytes, event.what) for event in told.of(Saved) if isinstance(event, Saved)]
    assert saved == [("zorb-000001.safetensors", 9, "in between"), ("zorb.safetensors", 10, "final")]
    assert told.teller.saved == "zorb.safetensors"


def test_pictures_move_to_where_the_page_shows_them(told: Told) -> None:
    drawn = told.run.path / "sample"
    drawn.mkdir()
    for name in ("zorb_000020_01_20260101000000_43.png", "zorb_000020_00_20260101000000_42.png", "foreign.png"):
        Image.new("RGB", (8, 8)).save(drawn / name)
    told.teller.take(said.Progress(19, 40, 0.1))
    assert told.of(Sampled) == [], "they may be half drawn until the bar goes on behind that line"
    told.teller.take(said.Drawing(20))
    assert [event.text for event in told.of(Phase) if isinstance(event, Phase)] == ["drawing samples"]
    told.teller.take(said.Progress(20, 40, 0.1))
    [event] = told.of(Sampled)
    assert isinstance(event, Sampled) and (event.step, event.prompts, event.seeds) == (
        20,
        ["a zorb", "a ring"],
        [42, 43],
    )
    assert event.files == ["samples/000020-00.png", "samples/000020-01.png"]
    assert all((told.run.path / file).is_file() for file in event.files) and (drawn / "foreign.png").is_file()
    Image.new("RGB", (8, 8)).save(drawn / "zorb_e000002_00_20260101000001.png")
    told.teller.take(said.Drawing(40))
    told.teller.finish()
    assert [event.step for event in told.of(Sampled)] == [20, 40]


def test_a_check_is_told_by_the_bar_or_by_the_figures(told: Told) -> None:
    told.teller.take(said.Progress(1, 8, 0.4))
    told.teller.take(said.Checked(0.25))
    told.teller.take(said.Progress(1, 8, 0.4))
    told.teller.take(said.Checked(0.25))  # its bar is shown once more when the program ends
    told.teller.take(said.Progress(1, 8, 0.4))
    told.teller.figures([*step(1, 0.4), Scalar("loss/validation/epoch_average", 1, 0.21, 1e9)])
    told.teller.take(said.Checked(0.2))
    assert [event.loss for event in told.of(Validated) if isinstance(event, Validated)] == [0.25, 0.21]


def test_figures_are_read_while_they_are_written(tmp_path: Path) -> None:
    values = [Summary.Value(tag="loss/current", simple_value=0.5), Summary.Value(tag="picture", image=Summary.Image())]
    records = [Record(step=n, wall_time=7.0, summary=Summary(value=values)).SerializeToString() for n in (1, 2)]
    data = b"".join(struct.pack("<Q", len(one)) + b"crc!" + one + b"crc!" for one in [b"\xff broken", *records])
    file = tmp_path / "20260101" / "network_train" / "events.out.tfevents.1"
    file.parent.mkdir(parents=True)
    follower, found = Follower(tmp_path), []
    for end in range(0, len(data) + 1, 7):
        file.write_bytes(data[:end])
        found += follower.new()
    file.write_bytes(data)
    found += follower.new()
    assert found == [Scalar("loss/current", 1, 0.5, 7.0), Scalar("loss/current", 2, 0.5, 7.0)]
    assert list(follower.new()) == []


def test_a_whole_recorded_run_of_sd_scripts_becomes_its_events(told: Told) -> None:
    """The console and the figures of a real run, as its source says in the second file."""
    recorded = json.loads((GOLDEN / "sdscripts-figures.json").read_text(encoding="utf-8"))["figures"]
    scalars = [Scalar(tag, number, value, 1e9 + number) for tag, number, value in recorded]
    (told.run.path / "zorb-000001.safetensors").write_bytes(b"1")
    (told.run.path / "zorb.safetensors").write_bytes(b"22")
    listener, splitter = Listener(), Splitter()
    for line, _ in splitter.feed((GOLDEN / "sdscripts-console.txt").read_bytes()):
        for fact in listener.hear(line):
            told.teller.take(fact)
            if isinstance(fact, said.Progress):
                before = [one for one in scalars if one.step < fact.step or not fact.step]
                told.teller.figures(before)
                scalars = scalars[len(before) :]
    told.teller.figures(scalars)
    told.teller.finish()
    [started] = told.of(RunStarted)
    assert isinstance(started, RunStarted)
    assert (started.total_steps, started.steps_per_epoch, started.images, started.device) == (8, 4, 16, "cpu")
    steps = [event for event in told.of(StepDone) if isinstance(event, StepDone)]
    assert [event.step for event in steps] == list(range(1, 9))
    losses = [0.00463358, 0.05494685, 0.01273839, 0.08708601]
    assert [event.loss for event in steps[:2]] == pytest.approx([sum(losses[:2]) / 2, sum(losses[2:]) / 2])
    assert [event.file for event in told.of(Saved) if isinstance(event, Saved)] == [
        "zorb-000001.safetensors",
        "zorb.safetensors",
    ]
    phases = [event.text for event in told.of(Phase) if isinstance(event, Phase)]
    assert list(dict.fromkeys(phases)) == [
        "reading the images", "loading the model", "encoding images", "preparing the optimizer", said.DRAWING,
    ]  # fmt: skip
    assert listener.failure == ""
