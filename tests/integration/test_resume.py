"""Stopped or killed, resumed, and equal in every bit to the run that was left alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from whole_runs import of_kind, same_bits, tensors, wait_until

from gui import jobs
from trainer.contract import checkpoints
from trainer.contract.events import (
    Event,
    Failed,
    Finished,
    Noted,
    Resumed,
    RunStarted,
    Sampled,
    StepDone,
    Validated,
    Warned,
    read,
)
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir, find_runs, process_start, write_whole
from trainer.contract.settings import Preset

Train = Callable[..., RunDir]
ACCUMULATED = {"training.batch_size": 2, "training.accumulate": 3, "training.length": "6 steps", "schedule.warmup": 20}
"""16 images: 8 batches, 3 steps an epoch, the last of two batches; steps 1, 2, 4 and 5 lie within an epoch."""
PATIENCE_S = 120
SIGNAL = "stop" if os.name == "nt" else "signal"


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[RunDir, int, str], None]:
    """`at_step(run, step, how)`: that run is interrupted when its step event comes, as by a click or a signal then."""
    from trainer.sinks.fan import Fan

    wanted: dict[Path, tuple[int, str]] = {}
    before = Fan.__call__

    def heard(fan: Fan, event: Event) -> None:
        before(fan, event)
        for path, (step, how) in list(wanted.items()):
            if isinstance(event, StepDone) and event.step == step:
                del wanted[path]
                os.kill(os.getpid(), signal.SIGTERM) if how == "signal" else RunDir(path).request(how)  # type: ignore[arg-type]

    monkeypatch.setattr(Fan, "__call__", heard)
    return lambda run, step, how: wanted.update({run.path: (step, how)})


@pytest.fixture
def stop_after(at_step: Callable[[RunDir, int, str], None]) -> Callable[[RunDir, int], None]:
    """`stop_after(run, step)`: that run is asked to stop when its step event comes."""
    return lambda run, step: at_step(run, step, "stop")


@pytest.fixture
def wholes() -> dict[int, RunDir]:
    """Runs that were left alone, by their accumulation: one is enough for all examples."""
    return {}


@pytest.fixture
def resume() -> Callable[[RunDir], RunDir]:
    """Go on with a run in this process, as `python -m trainer` does."""
    from trainer.__main__ import main

    def go_on(run: RunDir) -> RunDir:
        main(["trainer", str(run.path)])
        return run

    return go_on


def figures(run: RunDir) -> list[Event]:
    """What the steps and checks measured; the clock left out."""
    kinds = (StepDone, Validated)
    events = [event for event in read(run.events) if isinstance(event, kinds)]
    return [replace(event, time=0.0, seconds=0.0) for event in events]


def assert_equal(run: RunDir, whole: RunDir) -> None:
    """The run ended well, with the adapter and the figures of the one that was left alone."""
    assert run.read_state().exit_code == whole.read_state().exit_code == 0, run.read_state().cause
    assert same_bits(run, whole)
    assert figures(run) == figures(whole)


def state_files(run: RunDir) -> list[str]:
    return sorted(path.name for path in run.checkpoints.glob("state-*"))


@pytest.fixture
def interrupted(train_here: Train, stop_after: Callable[[RunDir, int], None], resume: Callable[[RunDir], RunDir]):
    """`interrupted(changes, 2, 4)`: a run that is stopped after steps 2 and 4 and resumed each time."""

    def run(changes: dict[str, Any], *steps: int) -> RunDir:
        stopped = train_here(changes, before=lambda folder: stop_after(folder, steps[0]))
        for i, step in enumerate(steps):
            assert (stopped.read_state().state, stopped.read_state().step) == ("stopped", step)
            if i + 1 < len(steps):
                stop_after(stopped, steps[i + 1])
            resume(stopped)
        assert [event.step for event in of_kind(stopped, Resumed)] == list(steps)
        return stopped

    return run


@st.composite
def interruptions(draw: st.DrawFn) -> list[tuple[int, str]]:
    """Some of the steps before the last, each with how the run is interrupted after it."""
    steps = sorted(draw(st.sets(st.integers(1, 5), min_size=1, max_size=3)))
    return [(step, draw(st.sampled_from(["stop", "pause", SIGNAL]))) for step in steps]


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(accumulate=st.sampled_from([1, 3]), moments=interruptions())
@example(accumulate=3, moments=[(1, "stop"), (2, "pause"), (4, SIGNAL)])
def test_interrupted_anywhere_and_however_it_is_the_run_that_was_left_alone(
    train_here: Train,
    at_step: Callable[[RunDir, int, str], None],
    resume: Callable[[RunDir], RunDir],
    wholes: dict[int, RunDir],
    accumulate: int,
    moments: list[tuple[int, str]],
) -> None:
    changes = {**ACCUMULATED, "training.accumulate": accumulate}
    whole = wholes.get(accumulate) or train_here(changes)
    wholes[accumulate] = whole
    (first, how), *others = moments
    run = train_here(changes, before=lambda run: at_step(run, first, how))
    for (step, how), after in zip(moments, [*others, None]):
        state = "paused" if how == "pause" else "stopped"
        assert (run.read_state().state, run.read_state().step) == (state, step)
        if after:
            at_step(run, *after)
        resume(run)
    assert [event.step for event in of_kind(run, Resumed)] == [step for step, _ in moments]
    assert_equal(run, whole)


@pytest.mark.parametrize(
    ("name", "rate"),
    [("AdamW", 3e-3), ("Prodigy", 1.0), ("ScheduleFreeAdamW", 3e-3), ("AdamW8bit", 3e-3), ("Lion", 1e-3)],
)
def test_optimizers_go_on_exactly(train_here: Train, interrupted: Train, name: str, rate: float) -> None:
    changes = {"optimizer.name": name, "optimizer.learning_rate": rate, "training.length": "7 steps"}
    changes |= {"schedule.name": "constant", "schedule.warmup": 0, "network.rank": 16, "saving.every": "2 steps"}
    changes |= {"network.text_encoder": name != "Prodigy", "network.dropout": 0.1, "network.alpha": 0.3}
    assert_equal(interrupted(changes, 2, 5), train_here(changes))


def test_eight_bit_states_are_in_eight_bits_and_go_on_exactly(train_here: Train, interrupted: Train) -> None:
    changes = {"optimizer.name": "AdamW8bit", "optimizer.args": {"min_8bit_size": 1}, "training.length": "6 steps"}
    run = interrupted(changes, 3)
    assert_equal(run, train_here(changes))
    from safetensors.torch import load_file

    kept = load_file(checkpoints.newest(run).path)
    assert any(str(value.dtype) == "torch.uint8" for value in kept.values())


def test_checks_samples_and_what_early_stopping_remembers_go_on(train_here: Train, interrupted: Train) -> None:
    changes = {"validation.split": "4 images", "validation.every": "1 step", "validation.timesteps": 1}
    changes |= {"validation.patience": 3, "validation.stop": "stop and keep the lowest", "training.length": "12 steps"}
    changes |= {"optimizer.learning_rate": 0.5, "schedule.warmup": 50, "sampling.every": "4 steps"}
    changes |= {"sampling.at_start": True}
    whole = train_here(changes)
    assert of_kind(whole, Finished)[0].how == "stopped early"
    last = of_kind(whole, Validated)[-1].step
    assert last < 12
    run = interrupted(changes, last - 1)
    assert_equal(run, whole)
    assert [event.step for event in of_kind(run, Sampled)] == [event.step for event in of_kind(whole, Sampled)]
    assert of_kind(run, Finished)[-1].how == "stopped early"
    said = [[(e.step, e.text) for e in of_kind(each, Noted) + of_kind(each, Warned) if e.step] for each in (run, whole)]
    assert said[0] == said[1] and any("in a row" in text for _, text in said[0])
    assert (run.samples / "before-after.png").read_bytes()[:4] == b"\x89PNG"


def test_fp16_goes_on_with_its_loss_scale(train_here: Train, interrupted: Train) -> None:
    changes = {"precision.compute": "fp16", "training.length": "4 steps"}
    assert_equal(interrupted(changes, 2), train_here(changes))


def test_states_are_few_and_come_when_due(
    train_here: Train, stop_after: Callable[[RunDir, int], None], left_alone: Train
) -> None:
    changes = {"saving.state_every": "1 step", "training.length": "6 steps"}
    stopped = train_here(changes, before=lambda run: stop_after(run, 4))
    assert state_files(stopped) == ["state-step00000003.safetensors", "state-step00000004.safetensors"]
    assert state_files(left_alone(changes)) == ["state-step00000006.safetensors"]
    done = train_here({"saving.state_every": "never"})
    assert not done.checkpoints.exists()


def test_a_cut_state_gives_way_to_the_one_before(
    train_here: Train, stop_after: Callable[[RunDir, int], None], resume: Callable[[RunDir], RunDir], left_alone: Train
) -> None:
    changes = {"saving.state_every": "1 step", "training.length": "6 steps"}
    run = train_here(changes, before=lambda run: stop_after(run, 4))
    newest = run.checkpoints / "state-step00000004.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    resume(run)
    assert [event.step for event in of_kind(run, Resumed)] == [3]
    lost = read(run.path / "events.lost.jsonl")
    assert [event.step for event in lost if isinstance(event, StepDone)] == [4]
    assert_equal(run, left_alone(changes))


def test_a_paused_run_frees_its_device_and_goes_on_exactly(
    train_here: Train, resume: Callable[[RunDir], RunDir], left_alone: Train
) -> None:
    run = train_here(before=lambda run: run.request("pause", "2"))
    state = run.read_state()
    assert (state.state, state.exit_code, state.step, state.adapter) == ("paused", 130, 2, "")
    assert of_kind(run, Finished)[-1].how == "paused"
    assert not (run.path / "zorb.safetensors").exists()
    assert tensors(run, "zorb-step00000002.safetensors")
    assert state_files(run) == ["state-step00000002.safetensors"]
    run.request("pause")
    assert resume(run).read_state().state == "paused" and run.peek("pause") is None
    assert_equal(resume(run), left_alone())


def test_without_a_state_it_begins_again(
    train_here: Train, stop_after: Callable[[RunDir, int], None], resume: Callable[[RunDir], RunDir], left_alone: Train
) -> None:
    run = train_here(before=lambda run: stop_after(run, 2))
    for path in run.checkpoints.glob("state-*"):
        path.unlink()
    resume(run)
    assert [event.step for event in of_kind(run, Resumed)] == [0]
    assert_equal(run, left_alone())


def test_a_stop_before_the_first_new_step_keeps_everything(
    train_here: Train, stop_after: Callable[[RunDir, int], None], resume: Callable[[RunDir], RunDir], left_alone: Train
) -> None:
    run = train_here(before=lambda run: stop_after(run, 2))
    run.request("stop")
    resume(run)
    assert (run.read_state().state, run.read_state().step) == ("stopped", 2)
    assert_equal(resume(run), left_alone())


def test_a_changed_recipe_is_refused_by_name(
    train_here: Train, stop_after: Callable[[RunDir, int], None], resume: Callable[[RunDir], RunDir], left_alone: Train
) -> None:
    run = train_here(before=lambda run: stop_after(run, 2))
    text = run.preset.read_text(encoding="utf-8")
    assert "\nseed = 42" in text
    changed = text.replace("\nseed = 42", "\nseed = 43").replace("\nrank = 4", "\nrank = 8")
    write_whole(run.preset, changed)
    resume(run)
    problems = of_kind(run, Failed)[-1].problems
    assert run.read_state().exit_code == 2
    assert {line.split(":")[0] for line in problems} == {"training.seed", "network.rank"}
    write_whole(run.preset, text)
    assert_equal(resume(run), left_alone())


def test_alive_and_done_runs_are_refused(train_here: Train) -> None:
    run = train_here()
    run.update_state(pid=0)
    with pytest.raises(Problems, match="is done"):
        jobs.resume(run)
    run.update_state(state="running", pid=os.getpid(), process_started=process_start(os.getpid()))
    with pytest.raises(Problems, match="still"):
        jobs.resume(run)


def test_killed_and_resumed_by_the_launcher(tmp_path: Path, small: Callable[..., Preset], train_here: Train) -> None:
    """A real trainer process, ended by SIGKILL in the middle of its work."""
    changes = {"training.length": "60 steps", "saving.state_every": "7 steps", "network.rank": 2}
    runs = tmp_path / "killed"
    run = jobs.start(small(changes), runs=runs)
    try:
        wait_until(lambda: sum(isinstance(event, StepDone) for event in read(run.events)) >= 16, PATIENCE_S)
        jobs.kill(run)
        assert run.current_state().state == "interrupted"
        done = max(event.step for event in of_kind(run, StepDone))
        assert done < 60
        step = jobs.resume(run)
        assert step % 7 == 0 and 0 < step <= done and done - step < 7
        wait_until(lambda: run.read_state().exit_code is not None, PATIENCE_S)
    finally:
        for found in find_runs(runs):
            jobs.kill(found)
    assert [event.step for event in of_kind(run, StepDone)] == list(range(1, 61))
    assert [event.step for event in of_kind(run, Resumed)] == [step]
    assert len(of_kind(run, RunStarted)) == 2
    assert_equal(run, train_here(changes))
    assert tensors(run)
