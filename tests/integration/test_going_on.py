"""Runs that go on with other settings, for longer, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file
from whole_runs import of_kind, same_bits, tensors

from gui import continuing, jobs, prove
from gui.runs.watch import Watcher
from gui.tabs import banner
from trainer.__main__ import main
from trainer.contract import checkpoints
from trainer.contract import preset as presets
from trainer.contract.events import Finished, Noted, StepDone, Warned
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir, find_runs
from trainer.contract.settings import Preset

Train = Callable[..., RunDir]
CONSTANT = {"schedule.name": "constant", "schedule.warmup": 0, "hardware.keep_awake": False}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `jobs.resume` would launch is done in this process, which is alive in any case."""
    monkeypatch.setattr(continuing, "launch", lambda run, argv, environ: main(argv[-2:]))
    monkeypatch.setattr(continuing, "alive", lambda run: False)


def steps(run: RunDir) -> list[int]:
    return [event.step for event in of_kind(run, StepDone)]


def test_a_constant_run_extended_is_the_longer_run(train_here: Train) -> None:
    run = train_here(CONSTANT)
    before = tensors(run)
    assert jobs.extend(run, "6 steps") == 3
    assert run.read_state().state == "done" and steps(run) == [1, 2, 3, 4, 5, 6]
    assert same_bits(run, train_here({**CONSTANT, "training.length": "6 steps"}))
    kept = tensors(run, "zorb-step00000003.safetensors")
    assert all(bool((before[key] == kept[key]).all()) for key in before)
    assert any("exactly that of a run of this length" in event.text for event in of_kind(run, Noted))
    old = (run.path / "preset.before-1.toml").read_text(encoding="utf-8")
    assert presets.loads(old).training.length == "3 steps"
    assert presets.load(run.preset).training.length == "6 steps"


def test_a_cosine_run_extended_is_another_one_and_says_so(train_here: Train) -> None:
    run = train_here({"schedule.warmup": 0})
    jobs.extend(run, "9 steps")
    assert steps(run) == list(range(1, 10))
    assert not same_bits(run, train_here({"schedule.warmup": 0, "training.length": "9 steps"}))
    assert any("is not that of a run of this length" in event.text for event in of_kind(run, Noted))
    assert any("The learning rate jumps from" in event.text for event in of_kind(run, Warned))


def test_changed_settings_count_and_are_told(train_here: Train) -> None:
    run = train_here({**CONSTANT, "training.length": "6 steps"}, before=lambda run: run.request("pause", "3"))
    changes = ["optimizer.learning_rate=2e-3", "optimizer.weight_decay=0.5", "training.batch_size=1"]
    assert {change.path for change in jobs.look_ahead(run, changes).changes} == {
        "optimizer.learning_rate", "optimizer.unet_learning_rate", "optimizer.weight_decay", "training.batch_size",
    }  # fmt: skip
    assert run.read_state().state == "paused" and not (run.path / "preset.before-1.toml").exists()
    assert jobs.resume(run, changes) == 3
    assert run.read_state().state == "done"
    rates = [event.learning_rate["unet"] for event in of_kind(run, StepDone)]
    assert rates == [3e-3] * 3 + [2e-3] * 3
    assert [event.images for event in of_kind(run, StepDone)] == [2, 2, 2, 1, 1, 1]
    said = [event.text for event in of_kind(run, Noted)]
    assert any(text.startswith("optimizer.learning_rate: 0.003 → 0.002 from step 4 on") for text in said)
    assert any(text.startswith("optimizer.weight_decay: 0.01 → 0.5 from step 4 on") for text in said)
    same = train_here({**CONSTANT, "training.length": "6 steps"}, before=lambda run: run.request("pause", "3"))
    jobs.resume(same, changes[:1] + changes[2:])
    assert not same_bits(run, same)  # the weight decay was really another one


def test_what_cannot_be_is_refused_and_nothing_is_touched(train_here: Train) -> None:
    run = train_here({"training.length": "6 steps"}, before=lambda run: run.request("pause", "3"))
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    before[run.control / continuing.LOCK] = b""
    for change, words in (
        ("network.rank=8", "put back 4"),
        ("training.length=2 steps", "has done 3 steps already"),
        ("optimizer.learning_rate=-1", "optimizer.learning_rate"),
        ("dataset.folders=/no/such/folder", "/no/such/folder"),
    ):
        with pytest.raises(Problems, match=words):
            jobs.resume(run, [change])
    assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


def test_a_preset_that_was_changed_by_hand_is_looked_at_alike(train_here: Train) -> None:
    run = train_here({"training.length": "6 steps"}, before=lambda run: run.request("pause", "3"))
    text = run.preset.read_text(encoding="utf-8")
    run.preset.write_text(text.replace("max_grad_norm = 1.0", "max_grad_norm = 0.5"), encoding="utf-8")
    jobs.resume(run)
    assert run.read_state().state == "done"
    assert any(event.text.startswith("optimizer.max_grad_norm: 1 → 0.5 from step 4") for event in of_kind(run, Noted))


def test_done_is_done_without_a_longer_length_or_a_state(train_here: Train) -> None:
    run = train_here()
    with pytest.raises(Problems, match="it has 3 steps, and training"):
        jobs.resume(run)
    checkpoints.prune(run, keep=0)
    with pytest.raises(Problems, match="no full state of it was kept"):
        jobs.extend(run, "6 steps")


def test_interrupted_runs_are_found_and_can_be_discarded(train_here: Train, tmp_path: Path) -> None:
    run = train_here({"training.length": "6 steps"}, before=lambda run: run.request("pause", "3"))
    runs = tmp_path / "runs"
    assert 'class="ended"' not in banner.text(runs, Watcher(runs).rows())
    run.update_state(state="running", pid=2**22 - 3, exit_code=None)  # a process that is gone
    said = banner.text(runs, Watcher(runs).rows())
    assert said.count('class="ended"') == 1 and f'data-run="{run.id}"' in said
    assert "stopped at step 3 of 6" in said and "its full state of step 3 is whole" in said
    jobs.discard(run)
    state = run.current_state()
    assert (state.state, state.exit_code, state.cause) == ("stopped", 130, "discarded by the user")
    assert checkpoints.newest(run) is None and tensors(run, "zorb-step00000003.safetensors")
    assert 'class="ended"' not in banner.text(runs, Watcher(runs).rows()) and steps(run) == [1, 2, 3]
    for impossible in (jobs.resume, jobs.discard):
        with pytest.raises(Problems, match="discarded by the user"):
            impossible(run)
    with pytest.raises(Problems, match="nothing to discard"):
        jobs.discard(train_here())


def test_a_lowest_file_from_steps_that_are_lost_does_not_count(train_here: Train) -> None:
    """As after a kill: the file is of step 5, the newest state of step 3."""
    changes = {**CONSTANT, "training.length": "6 steps", "validation.split": "4 images", "validation.every": "3 steps"}
    changes |= {"validation.timesteps": 1, "validation.stop": "stop and keep the lowest"}
    run = train_here(changes, before=lambda run: run.request("pause", "3"))
    lowest = run.path / "zorb-lowest-validation-loss.safetensors"
    save_file(tensors(run, "zorb-step00000003.safetensors"), lowest, {"ss_steps": "5"})
    run.request("pause", "4")
    main(["trainer", str(run.path)])
    assert run.read_state().state == "paused"
    assert not lowest.exists() and (run.path / "zorb-step00000005.safetensors").is_file()
    assert any("was of a step that is done again" in event.text for event in of_kind(run, Noted))
    jobs.resume(run)
    assert run.read_state().state == "done", run.read_state().cause


def test_a_run_that_stopped_early_waits_anew_when_it_is_asked_to_go_on(train_here: Train) -> None:
    changes = {"validation.split": "4 images", "validation.every": "1 step", "validation.timesteps": 1}
    changes |= {"validation.patience": 2, "validation.min_improvement": 99.0, "validation.stop": "stop"}
    run = train_here({**CONSTANT, **changes, "training.length": "9 steps"})
    assert [event.how for event in of_kind(run, Finished)] == ["stopped early"] and steps(run) == [1, 2]
    jobs.resume(run)
    assert of_kind(run, Finished)[-1].how == "stopped early" and steps(run) == [1, 2, 3, 4]
    jobs.resume(run, ["validation.stop=report only"])
    assert of_kind(run, Finished)[-1].how == "done" and steps(run) == list(range(1, 10))


def test_what_fp16_skipped_is_counted_on(train_here: Train) -> None:
    changes = {**CONSTANT, "precision.compute": "fp16", "training.length": "4 steps"}
    run = train_here(changes, before=lambda run: run.request("pause", "2"))
    facts = checkpoints.read_facts(checkpoints.newest(run).path)
    kept = dict(facts["overflows"]["dict"])
    assert kept.keys() == {"skipped", "in_a_row"}
    skipped = [event for event in of_kind(run, Warned) if "skipped so far" in event.text]
    assert (kept["skipped"] > 0) == bool(skipped)


def test_exact_resume_is_shown_on_this_machine_and_its_breach_too(
    small: Callable[..., Preset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jobs, "launch", lambda run, argv, environ: main(argv[-2:]))
    monkeypatch.setattr(jobs, "alive", lambda run: False)
    changes = {"training.accumulate": 2, "precision.save": "bf16", "sampling.every": "1 step"}
    assert prove.prove(jobs.resolve(small(changes)), tmp_path / "runs") == 0
    said = capsys.readouterr().out
    assert "Paused after step 3" in said and "all equal in every bit" in said and "Bit-equal" in said
    whole, resumed = sorted(find_runs(tmp_path / "runs"), key=lambda run: run.id, reverse=True)
    assert whole.id.startswith("prove-zorb-whole-") and resumed.id.startswith("prove-zorb-resumed-")
    assert same_bits_of(whole, resumed) and steps(resumed) == list(range(1, 9))
    file = resumed.path / "prove-zorb-resumed.safetensors"
    damaged = tensors(resumed, file.name)
    next(iter(damaged.values())).view(-1)[0] += 1
    save_file(damaged, file)
    assert prove.judge(whole, resumed) == 1
    assert "Not bit-equal" in capsys.readouterr().out


def same_bits_of(whole: RunDir, resumed: RunDir) -> bool:
    a, b = tensors(whole, "prove-zorb-whole.safetensors"), tensors(resumed, "prove-zorb-resumed.safetensors")
    return a.keys() == b.keys() and all(bool((a[key] == b[key]).all()) for key in a)


def test_two_who_go_on_with_one_run_at_once_start_one_trainer(
    train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A double click, or the page and a terminal: both have seen a run that rests."""
    run = train_here(CONSTANT)
    started: list[int] = []

    def launch(run: RunDir, argv: list[str], environ: dict[str, str]) -> None:
        started.append(len(started))
        for go_on in (lambda: jobs.extend(run, "9 steps"), lambda: jobs.discard(run)):
            with pytest.raises(Problems, match="continued or discarded elsewhere"):
                go_on()

    monkeypatch.setattr(continuing, "launch", launch)
    jobs.extend(run, "6 steps")
    with pytest.raises(Problems, match="still at work"):
        jobs.extend(run, "9 steps")
    assert started == [0] and presets.load(run.preset).training.length == "6 steps"
