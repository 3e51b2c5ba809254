"""What a terminal and a pipe show of a run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gui.console import Bar, Lines, Pace, make_view
from trainer.contract.events import Event, Phase, RunStarted, Saved, StepDone, Validated, Warned
from trainer.report.words import duration, size

STARTED = RunStarted(
    name="x", total_steps=200, steps_per_epoch=10, total_epochs=20, images=40, held_out=4, device="CPU [x86]"
)
WORDS = ("step 2/200", "epoch 0.2/20", "loss 0.5", "LR 1.00e-03", "4.00 it/s", "ETA 0:50")


def step(number: int, loss: float = 0.5, seconds: float = 0.25) -> StepDone:
    return StepDone(step=number, epoch=number / 10, loss=loss, learning_rate={"unet": 1e-3}, seconds=seconds, images=4)


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=200, _environ={"TERM": "xterm"})


def shown(on: Console, events: list[Event]) -> str:
    view = make_view(on)
    for event in events:
        view.show(event)
    if isinstance(view, Bar):
        view._progress.refresh()
    text: str = on.file.getvalue()  # type: ignore[attr-defined]
    view.close()
    return text


def test_the_pace_is_smoothed_and_told_in_words() -> None:
    pace = Pace()
    pace.begin(STARTED)
    assert "ETA -:--" in pace.words() and "- it/s" in pace.words()
    for number in (1, 2):
        pace.take(step(number))
    assert all(word in pace.words() for word in WORDS)
    pace.take(step(3, loss=1.5, seconds=20.0))
    assert pace.loss == pytest.approx(0.6) and pace.speed == "2.2 s/it"


def test_a_pipe_gets_lines_and_not_one_a_step() -> None:
    events: list[Event] = [STARTED, *(step(number) for number in range(1, 101))]
    text = shown(console(False), events)
    assert text.count("step ") == 1 and "\x1b" not in text and "\r" not in text
    assert "Training on CPU [x86]: 40 images, 4 held out, 200 steps" in text


def test_the_last_step_is_always_told() -> None:
    view = Lines(on := console(False))
    view.show(STARTED)
    for number in (1, 2, 200):
        view.show(step(number))
    assert "step 200/200" in on.file.getvalue()  # type: ignore[attr-defined]


def test_a_terminal_gets_a_bar() -> None:
    text = shown(console(True), [STARTED, step(1), step(2)])
    assert all(word in text for word in WORDS) and "━" in text


@pytest.mark.parametrize("terminal", [False, True])
def test_texts_are_never_read_as_markup(terminal: bool) -> None:
    odd = "[red]no[/red] [/] [link=http://x]y"
    events: list[Event] = [
        STARTED,
        Warned(text=odd),
        Saved(step=1, file=f"{odd}.safetensors", bytes=1),
        Phase(text=odd),
        Validated(step=1, loss=0.25, lowest=True),
    ]
    text = shown(console(terminal), events)
    assert text.count("[red]no[/red]") >= 2
    assert "validation loss 0.2500 (lowest)" in text


def test_times_and_sizes_for_people() -> None:
    assert [duration(75.2), duration(3725), duration(0.4)] == ["1:15", "1:02:05", "0:00"]
    assert [size(1_155_932), size(99_000), size(12)] == ["1.2 MB", "99.0 kB", "12 bytes"]
