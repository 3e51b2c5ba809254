"""Signals to a trainer, sent within its own process; those to launch.py and to real trainers are in launched runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from whole_runs import assert_no_half_files, of_kind, same_bits, tensors

from trainer.contract import checkpoints
from trainer.contract.events import Event, Finished, StepDone
from trainer.contract.rundir import RunDir
from trainer.sinks.fan import Fan

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals as POSIX knows them")
Train = Callable[..., RunDir]
KEPT = {"saving.state_every": "1 step", "training.length": "6 steps"}


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`at_step(3, SIGINT, SIGINT)`: these come to this process when step 3 is told."""
    before = Fan.__call__
    wanted: dict[int, tuple[signal.Signals, ...]] = {}

    def heard(fan: Fan, event: Event) -> None:
        before(fan, event)
        for number in wanted.pop(event.step, ()) if isinstance(event, StepDone) else ():
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Fan, "__call__", heard)
    return lambda step, *numbers: wanted.update({step: numbers})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_finishes_the_step_and_saves_everything(
    train_here: Train, at_step: Callable[..., None], number: signal.Signals
) -> None:
    at_step(2, number, *[number] * (number == signal.SIGHUP))  # a closed terminal may say so twice
    run = train_here()
    state = run.read_state()
    assert (state.state, state.exit_code, state.step) == ("stopped", 130, 2)
    found = checkpoints.newest(run)
    assert tensors(run) and found is not None and found.step == 2


def test_the_second_signal_ends_at_once_and_what_was_saved_goes_on(
    train_here: Train, at_step: Callable[..., None], left_alone: Train
) -> None:
    from trainer.__main__ import main

    for first, second in ((signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM)):
        at_step(4, first, second)
        run = train_here(KEPT)
        state = run.read_state()
        assert (state.state, state.exit_code) == ("stopped", 130)
        assert state.cause == "ended at once by the user: its last full state is that of step 3"
        assert not (run.path / "zorb.safetensors").exists()
        assert of_kind(run, Finished)[-1].how == "stopped"
        assert_no_half_files(run)
        assert not list(run.path.rglob("*.tmp"))
    main(["trainer", str(run.path)])
    assert run.read_state().exit_code == 0
    assert [event.step for event in of_kind(run, StepDone)] == [1, 2, 3, 4, 5, 6]
    assert same_bits(run, left_alone(KEPT))
