"""Sinks: one that fails is switched off and told; TensorBoard files that TensorBoard reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from trainer.contract.events import Event, Phase, RunStarted, Sampled, StepDone, Timing, Validated, Warned
from trainer.sinks.console import ConsoleLines
from trainer.sinks.fan import Fan
from trainer.sinks.tensorboard import TensorBoard


class Keeping:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed = False

    def write(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed = True


class Breaking(Keeping):
    """A sink whose connection is lost at the second event."""

    def write(self, event: Event) -> None:
        super().write(event)
        if len(self.events) == 2:
            raise ConnectionError("gone")

    def close(self) -> None:
        raise ConnectionError("gone")


def step(number: int) -> StepDone:
    return StepDone(step=number, epoch=number / 4, loss=0.5 / number, learning_rate={"unet": 1e-3}, grad_norm=0.1)


def test_a_logger_that_fails_is_left_out_and_told() -> None:
    good, bad = Keeping(), Breaking()
    fan = Fan([good])
    fan.add(bad)
    for number in (1, 2, 3):
        fan(step(number))
    assert len(bad.events) == 2
    assert [event.kind for event in good.events] == ["step", "step", "warned", "step"]
    warned = good.events[2]
    assert isinstance(warned, Warned) and "Breaking" in warned.text and "gone" in warned.text
    assert all(event.time > 0 for event in good.events)
    another = Keeping()
    fan.add(another)
    fan.close()
    assert another.closed


def test_the_run_s_own_sinks_hear_everything_whatever_happens() -> None:
    bad, more = Breaking(), [Warned(text="the disk is full")]
    fan = Fan([bad], news=lambda: [more.pop()] if more else [])
    for number in (1, 2, 3):
        fan(step(number))
    assert [event.kind for event in bad.events] == ["step", "warned", "step", "step"]
    assert bad.events[1].step == 1


def test_closing_goes_on_after_an_error() -> None:
    bad, good, fan = Breaking(), Keeping(), Fan([])
    fan.add(bad)
    fan.add(good)
    fan.close()
    assert good.closed


def test_tensorboard_reads_what_we_write(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (tmp_path / "samples").mkdir()
    Image.new("RGB", (16, 16), "red").save(tmp_path / "samples" / "a.png")
    sink = TensorBoard(tmp_path)
    for number in (1, 2):
        sink.write(step(number))
    sink.write(Validated(time=1.0, step=2, loss=0.3, train_loss=0.2))
    sink.write(Timing(time=1.0, step=2, seconds={"data": 6.0, "forward": 4.0}, wall_s=10.0, images=8, device_use=0.5,
                      memory={"host_used": 2e9, "host_total": 8e9}))  # fmt: skip
    sink.write(Sampled(time=1.0, step=2, files=["samples/a.png"], prompts=["a"]))
    sink.close()
    read = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(row.step, round(row.value, 3)) for row in read.Scalars("loss/train")] == [(1, 0.5), (2, 0.25)]
    assert read.Scalars("learning_rate/unet")[0].value == pytest.approx(1e-3)
    assert read.Scalars("loss/validation")[0].value == pytest.approx(0.3)
    assert read.Scalars("time/data")[0].value == pytest.approx(0.6)
    assert read.Scalars("memory_gb/host_used")[0].value == pytest.approx(2.0)
    assert read.Scalars("images_per_second")[0].value == pytest.approx(0.8)
    assert "memory_gb/host_total" not in read.Tags()["scalars"], "it never changes"
    assert read.Images("samples/00")[0].width == 16


def test_tensorboard_forgets_the_steps_that_a_resumed_run_does_again(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for after, numbers in ((0, (1, 2, 4)), (2, (3, 4))):
        sink = TensorBoard(tmp_path)
        sink.write(
            RunStarted(time=1.0, step=after, name="x", total_steps=4, steps_per_epoch=2, total_epochs=2, images=4)
        )
        for number in numbers:
            sink.write(step(number))
        sink.close()
    read = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [row.step for row in read.Scalars("loss/train")] == [1, 2, 3, 4]


def test_the_console_log_says_each_thing_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ConsoleLines()
    for number in (1, 2, 3):
        lines.write(step(number))
    lines.write(Phase(text="encoding images, 9 in all", done=3, of=9))
    lines.write(Phase(text="encoding images, 9 in all", done=9, of=9))
    lines.write(Warned(text="beware"))
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 3
    assert "step 1, epoch 0.25: loss 0.5000" in shown[0] and "encoding" in shown[1] and "warning: beware" in shown[2]
