"""Events: a line there and back, unfinished lines, kinds that are not known."""

import math
from pathlib import Path

import pytest

from trainer.contract import events
from trainer.contract.events import (
    KINDS,
    Event,
    Failed,
    Finished,
    Likened,
    Noted,
    Phase,
    Reader,
    Resumed,
    RunStarted,
    Sampled,
    Saved,
    StepDone,
    Timing,
    Validated,
    Warned,
    Writer,
    from_line,
    read,
    to_line,
)

ONE_OF_EACH: list[Event] = [
    Resumed(step=7),
    RunStarted(name="a", total_steps=3, steps_per_epoch=1, total_epochs=3.0, images=4, versions={"torch": "2"}),
    Phase(text="loading", done=1, of=2),
    StepDone(step=1, epoch=0.5, loss=0.25, learning_rate={"unet": 1e-4}, grad_norm=None),
    Validated(loss=0.1, per_timestep={"500": 0.2}, lowest=True),
    Sampled(files=["samples/ü.png"], prompts=['a "b"\nc'], seeds=[42]),
    Saved(file="a.safetensors", bytes=10),
    Likened(similarity=0.5, per_picture=[0.4, 0.6], seconds=0.1),
    Timing(seconds={"data": 0.5, "other": 0.1}, wall_s=0.6, steps=3, memory={"device_used": 1e9}, device_use=0.9),
    Noted(text="it is learning", setting="validation.split"),
    Warned(text="x", setting="network.rank"),
    Failed(cause="x", problems=["y"], exit_code=3),
    Finished(how="done", seconds=1.5),
]


def test_there_is_one_of_each() -> None:
    assert {event.kind for event in ONE_OF_EACH} == set(KINDS)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: event.kind)
def test_a_line_there_and_back(event: Event) -> None:
    line = to_line(event)
    assert line.count("\n") == 1 and from_line(line) == event


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have(loss: float) -> None:
    back = from_line(to_line(StepDone(epoch=1, loss=loss, learning_rate={})))
    assert isinstance(back, StepDone)
    assert math.isnan(back.loss) if math.isnan(loss) else back.loss == loss


def test_such_numbers_in_lists_and_tables() -> None:
    back = from_line(to_line(Validated(loss=1.0, per_image=[math.inf, 0.5], per_timestep={"62": math.nan})))
    assert isinstance(back, Validated)
    assert back.per_image == [math.inf, 0.5] and math.isnan(back.per_timestep["62"])


@pytest.mark.parametrize("line", ["", "{", "[]", "3", '{"kind":"later"}', '{"kind":"saved"}', '{"step":1}', "\ufffd"])
def test_what_is_not_known_is_passed_over(line: str) -> None:
    assert from_line(line) is None


def test_later_versions_may_add_values() -> None:
    assert from_line('{"kind":"warned","text":"x","colour":"red"}') == Warned(text="x")


def test_a_reader_gets_each_event_once_and_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = Reader(path)
    assert list(reader.new()) == []
    writer = Writer(path)
    writer.write(Warned(text="ä"))
    assert list(reader.new()) == [Warned(text="ä")]
    line = to_line(Warned(text="zweite")).encode()
    with open(path, "ab") as file:
        file.write(line[:-5])
    assert list(reader.new()) == []
    with open(path, "ab") as file:
        file.write(line[-5:])
    assert list(reader.new()) == [Warned(text="zweite")]
    writer.close()
    assert len(read(path)) == 2
    path.write_bytes(to_line(Warned(text="anew")).encode())
    assert list(reader.new()) == [Warned(text="anew")]


def test_a_line_that_a_killed_process_left_unfinished_is_not_glued_to(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"kind":"noted","text":"a"}\n{"kind":"noted","te')
    writer = events.Writer(path)
    assert writer.position == path.stat().st_size == 28
    writer.write(events.Noted(text="b"))
    assert [event.text for event in events.read(path)] == ["a", "b"] and writer.position == path.stat().st_size
    writer.close()


def test_a_deleted_file_is_made_again_with_what_was_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events.Writer, "CHECK_S", 0.0)
    path = tmp_path / "events.jsonl"
    writer = events.Writer(path)
    writer.write(events.Noted(text="a"))
    try:
        path.unlink()
    except PermissionError:
        pytest.skip("this system keeps open files from being deleted")
    writer.write(events.Noted(text="b"))
    assert [event.text for event in events.read(path)] == ["a", "b"]
    writer.close()


def test_more_than_memory_should_hold_is_counted_and_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events.Writer, "LIMIT", 150)
    writer = events.Writer(tmp_path / "events.jsonl")
    monkeypatch.setattr(writer, "_stay", lambda now: (_ for _ in ()).throw(OSError(28, "full")))
    for text in "abcdef":
        writer.write(events.Noted(text=text))
    monkeypatch.undo()
    assert writer.dropped > 0 and writer.flush()
    assert len(events.read(tmp_path / "events.jsonl")) == 6 - writer.dropped
    writer.close()
