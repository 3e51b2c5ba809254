"""Real `accelerate launch` subprocesses: the command line, the page's way, several processes, stop, kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from whole_runs import (
    DEMO,
    SMALL,
    assert_no_half_files,
    largest_difference,
    launch,
    of_kind,
    same_bits,
    set_options,
    tensors,
    wait_until,
)

from gui import jobs
from trainer.contract import checkpoints
from trainer.contract.events import Finished, RunStarted, Saved, StepDone, read
from trainer.contract.rundir import RunDir, find_runs
from trainer.contract.settings import Preset

Small = Callable[..., Preset]
LONG = {**SMALL, "training.length": "2000 steps"}
PATIENCE_S = 120

posix = pytest.mark.skipif(os.name == "nt", reason="signals as POSIX knows them")


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Path]:
    """A folder of runs; whatever still lives in it at the end is killed."""
    folder = tmp_path / "runs"
    yield folder
    for run in find_runs(folder):
        jobs.kill(run)


def ended(run: RunDir) -> RunDir:
    """The run, when it is over."""
    wait_until(lambda: run.read_state().exit_code is not None, PATIENCE_S)
    return run


def under_way(runs: Path, steps: int = 2) -> RunDir:
    """The only run in the folder, as soon as it has done some steps."""
    run = wait_until(lambda: find_runs(runs), PATIENCE_S)[0]
    wait_until(lambda: sum(isinstance(event, StepDone) for event in read(run.events)) >= steps, PATIENCE_S)
    return run


def headless(runs: Path, changes: dict[str, Any]) -> subprocess.Popen[str]:
    return launch("--preset", str(DEMO), "--runs", str(runs), *set_options(changes))


SAMPLED = {"sampling.at_start": True, "sampling.every": "3 steps"}


@pytest.fixture(scope="module")
def by_command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunDir, str]]:
    """A whole run from the command line, and what that printed."""
    folder = tmp_path_factory.mktemp("command") / "runs"
    process = headless(folder, {**SMALL, **SAMPLED})
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0 and err == "", out + err
        (run,) = find_runs(folder)
        assert run.read_state().pid != process.pid
        yield run, out
    finally:
        process.kill()
        for run in find_runs(folder):
            jobs.kill(run)


def test_one_command_trains_and_names_what_came_out(by_command: tuple[RunDir, str]) -> None:
    run, out = by_command
    for name in ("zorb.safetensors", "samples/before-after.png"):
        assert (run.path / name).is_file()
        assert str(run.path / name) in out
    assert "step 3/3" in out and "epoch" in out and "loss" in out and "LR" in out and "it/s" in out and "ETA" in out
    assert str(run.path) in out


def test_the_page_and_the_command_line_train_the_same_bits(
    runs: Path, small: Small, by_command: tuple[RunDir, str]
) -> None:
    by_page = ended(jobs.start(small(SAMPLED), runs=runs))
    assert by_page.read_state().exit_code == 0 and same_bits(by_page, by_command[0])


def test_two_processes_train_what_one_does(runs: Path, small: Small, left_alone: Callable[..., RunDir]) -> None:
    plain = {
        "optimizer.name": "SGD",
        "optimizer.learning_rate": 1.0,
        "optimizer.weight_decay": 0.0,
        "schedule.warmup": 0,
    }
    one = left_alone({**plain, "training.batch_size": 6})
    two = ended(jobs.start(small({**plain, "training.batch_size": 3, "hardware.gpus": "cpu,cpu"}), runs=runs))
    assert one.read_state().exit_code == 0
    assert two.read_state().exit_code == 0, two.console.read_text(encoding="utf-8")
    losses = [[event.loss for event in of_kind(run, StepDone)] for run in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert largest_difference(one, two) < 1e-4
    assert of_kind(two, RunStarted)[0].device.startswith("2 x ")
    assert len(of_kind(two, RunStarted)) == len(of_kind(two, Finished)) == 1


def test_a_wrong_number_of_processes_is_refused(runs: Path, small: Small) -> None:
    """A trainer that is started by hand, once, for a preset that wants two."""
    run = RunDir.create(runs, "alone")
    from trainer.contract import preset as presets

    run.preset.write_text(presets.dumps(jobs.resolve(small({"hardware.gpus": "cpu,cpu"}))), encoding="utf-8")
    jobs.launch(run, [sys.executable, "-m", "trainer", str(run.path)], os.environ)
    state = ended(run).read_state()
    assert state.exit_code == 2 and "2 processes were asked for, 1 started" in state.cause


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"network.unet": False}, 2, "network"),
        ({"optimizer.name": "Adamm"}, 2, "Adam"),
        ({"dataset.folders": "/no/such/folder"}, 3, "/no/such/folder"),
        ({"model.path": "/no/such/model.safetensors"}, 3, "/no/such/model.safetensors"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(
    runs: Path, changes: dict[str, Any], code: int, words: str
) -> None:
    process = headless(runs, {**SMALL, **changes})
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code and words in err and "Traceback" not in err
    assert not runs.exists() or not list(runs.iterdir())


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_after_the_step_with_everything_saved(runs: Path, number: signal.Signals) -> None:
    process = headless(runs, LONG)
    run = under_way(runs)
    process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE_S)
    state = run.read_state()
    assert process.returncode == state.exit_code == 130 and state.state == "stopped"
    assert 2 <= state.step < 2000 and tensors(run)
    assert of_kind(run, StepDone)[-1].step == state.step == of_kind(run, Saved)[-1].step
    assert str(run.path / "zorb.safetensors") in out


@posix
def test_the_second_signal_ends_at_once(runs: Path) -> None:
    process = headless(runs, {**LONG, "training.accumulate": 1000})
    run = wait_until(lambda: find_runs(runs), PATIENCE_S)[0]
    wait_until(lambda: of_kind(run, RunStarted), PATIENCE_S)
    process.send_signal(signal.SIGINT)
    wait_until((run.control / "stop").is_file, PATIENCE_S)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "Ended at once" in out, err
    assert run.read_state().state == "stopped" and not run.process_runs() and not of_kind(run, StepDone)


@posix
def test_a_closed_terminal_lets_the_run_finish_its_step_by_itself(runs: Path) -> None:
    process = headless(runs, LONG)
    run = under_way(runs)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    assert process.wait(PATIENCE_S) == 130
    process.communicate()
    state = ended(run).read_state()
    assert (state.state, state.exit_code) == ("stopped", 130) and tensors(run)
    found = checkpoints.newest(run)
    assert found is not None and found.step == state.step == of_kind(run, StepDone)[-1].step


@posix
def test_two_signals_to_the_trainer_itself_end_it_at_once(runs: Path) -> None:
    process = headless(runs, {**LONG, "saving.state_every": "2 steps"})
    run = under_way(runs, 3)
    trainer = psutil.Process(run.read_state().pid)
    trainer.suspend()  # both are there when it looks
    trainer.terminate()
    trainer.send_signal(signal.SIGINT)
    trainer.resume()
    out, err = process.communicate(timeout=PATIENCE_S)
    state = run.read_state()
    assert process.returncode == 130 and (state.state, state.exit_code) == ("stopped", 130), err
    assert "ended at once by the user: its last full state is that of step" in state.cause
    assert "--resume" in out and not (run.path / "zorb.safetensors").exists()
    assert_no_half_files(run)


def test_requests_are_done_between_steps_and_the_stop_command_reaches_a_run_by_its_name(
    runs: Path, small: Small
) -> None:
    run = jobs.start(small({"training.length": "2000 steps"}), runs=runs)
    under_way(runs)
    assert jobs.running(runs)[0].id == run.id
    run.request("save")
    saved = wait_until(lambda: of_kind(run, Saved), PATIENCE_S)[0]
    assert (run.path / saved.file).is_file() and saved.what == "in between"
    process = launch("--stop", run.id[:6], "--runs", str(runs))
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0 and run.id in out, err
    assert ended(run).read_state().exit_code == 130
    wait_until(lambda: not jobs.alive(run))
    again = launch("--stop", run.id, "--runs", str(runs))
    _, err = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 2 and "is not at work: it is stopped" in err


@posix
def test_a_killed_trainer_leaves_whole_files_and_is_told(runs: Path) -> None:
    process = headless(runs, {**LONG, "saving.every": "1 step", "saving.keep_last": 3})
    run = under_way(runs, 4)
    os.kill(run.read_state().pid, signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1 and "died without a word" in err
    assert run.current_state().state == "interrupted"
    assert_no_half_files(run)
    assert list(run.path.glob("zorb-step*.safetensors"))


@posix
@pytest.mark.parametrize("victim", ["launcher", "page"])
def test_a_run_outlives_who_started_it(runs: Path, victim: str) -> None:
    process = headless(runs, {**SMALL, "training.length": "40 steps"})
    run = under_way(runs)
    trainer = psutil.Process(run.read_state().pid)
    launcher = trainer.parent()
    assert launcher is not None and str(run.path) in launcher.cmdline()
    if victim == "page":
        process.kill()
        assert ended(run).read_state().exit_code == 0
    else:
        launcher.kill()
        assert process.wait(PATIENCE_S) == 0
    process.communicate()
    assert len(of_kind(run, StepDone)) == 40


def test_check_prints_the_plan_without_torch(runs: Path) -> None:
    process = launch("--preset", str(DEMO), "--check", "--runs", str(runs))
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "200 in all, 4 per epoch" in out and "zorb.safetensors" in out and not runs.exists()
    code = (
        "import sys\nfrom argparse import Namespace\nfrom gui import headless\n"
        f"options = Namespace(preset={str(DEMO)!r}, set=[], name=None, runs=None)\n"
        "assert headless.check(options) == 0\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'accelerate', 'gradio'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=jobs.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_torch_that_cannot_be_loaded_is_told(runs: Path, small: Small, tmp_path: Path) -> None:
    """A broken installation: the cause stands in run.json, its whole story in the console log."""
    from trainer.contract import preset as presets

    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise OSError('libcudart.so is missing')\n", encoding="utf-8")
    run = RunDir.create(runs, "broken")
    run.preset.write_text(presets.dumps(jobs.resolve(small())), encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": str(broken.parent)}
    jobs.launch(run, [sys.executable, "-m", "trainer", str(run.path)], environ)
    state = ended(run).read_state()
    assert state.exit_code == 1 and state.state == "failed" and "libcudart.so is missing" in state.cause
    wait_until(lambda: not jobs.alive(run))
    assert "Traceback" in run.console.read_text(encoding="utf-8")
