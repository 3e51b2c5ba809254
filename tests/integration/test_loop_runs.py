"""Whole runs in one process: what a run leaves behind, that equal runs are equal, and what must not change a result."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from whole_runs import ROOT, largest_difference, of_kind, same_bits, tensors

from trainer.contract.events import (
    Failed,
    Finished,
    Phase,
    RunStarted,
    Sampled,
    Saved,
    StepDone,
    Validated,
    Warned,
    read,
)
from trainer.contract.machine import ENVIRONMENT
from trainer.contract.rundir import RunDir

Train = Callable[..., RunDir]
IMAGES = ROOT / "presets" / "demo" / "images"


def test_a_run_leaves_files_state_and_events(train_here: Train) -> None:
    run = train_here({"sampling.every": "2 steps", "sampling.at_start": True, "logging.tensorboard": True})
    state = run.read_state()
    assert (state.state, state.exit_code, state.adapter, state.step) == ("done", 0, "zorb.safetensors", 3)
    assert state.threads == 1 and state.pid > 0 and state.device.startswith("CPU")
    kinds = [type(event) for event in read(run.events)]
    assert kinds.index(RunStarted) < kinds.index(StepDone) and kinds[-1] is Finished
    assert [event.step for event in of_kind(run, StepDone)] == [1, 2, 3]
    assert [event.step for event in of_kind(run, Sampled)] == [0, 2, 3]
    assert all((run.path / file).is_file() for event in of_kind(run, Sampled) for file in event.files)
    assert (run.samples / "before-after.png").is_file()
    assert list((run.path / "tensorboard").iterdir())
    assert not list(run.path.glob(".*.tmp")) and not list(run.control.iterdir())


def test_step_events_tell_epoch_rate_and_pace(train_here: Train) -> None:
    run = train_here({"schedule.name": "linear", "schedule.warmup": 0})
    steps = of_kind(run, StepDone)
    assert [event.learning_rate["unet"] for event in steps] == pytest.approx([3e-3, 2e-3, 1e-3])
    assert [event.epoch for event in steps] == pytest.approx([1 / 8, 2 / 8, 3 / 8])
    assert all(event.seconds > 0 and event.grad_norm > 0 and event.images == 2 for event in steps)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(train_here: Train, left_alone: Train) -> None:
    first, again, other = left_alone(), train_here(), train_here({"training.seed": 7})
    assert same_bits(first, again)
    assert not same_bits(first, other)


def test_dropout_is_drawn_from_the_seed(train_here: Train, left_alone: Train) -> None:
    first, again = train_here({"network.dropout": 0.2}), train_here({"network.dropout": 0.2})
    assert same_bits(first, again)
    assert not same_bits(first, left_alone())


def test_looking_at_a_run_does_not_change_it(train_here: Train) -> None:
    held_out = {"validation.split": "4 images", "network.dropout": 0.1}
    watched = {
        "validation.every": "1 step",
        "validation.timesteps": 2,
        "sampling.every": "1 step",
        "sampling.at_start": True,
        "saving.every": "1 step",
        "sampling.sampler": "euler_a",
    }
    quiet = train_here({**held_out, "validation.every": "never"})
    busy = train_here({**held_out, **watched})
    assert len(of_kind(busy, Validated)) == 4 and len(of_kind(busy, Sampled)) == 4
    assert same_bits(quiet, busy)


PLAIN = {"optimizer.name": "SGD", "optimizer.learning_rate": 1.0, "optimizer.weight_decay": 0.0, "schedule.warmup": 0}
"""Plain gradient steps: Adam's first ones are signs of gradients, which blow up the last bits of those near zero."""


@pytest.mark.parametrize("parts", [(4, 4), (2, 8), (5, 4)], ids=["4x4", "2x8", "5x4 ragged"])
def test_accumulation_equals_the_larger_batch(train_here: Train, left_alone: Train, parts: tuple[int, int]) -> None:
    """All 16 images in each step, so that both see the same looks."""
    size, count = parts
    whole = left_alone({**PLAIN, "training.batch_size": 16})
    split = train_here({**PLAIN, "training.batch_size": size, "training.accumulate": count})
    losses = [[event.loss for event in of_kind(run, StepDone)] for run in (whole, split)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert [event.images for event in of_kind(split, StepDone)] == [16, 16, 16]
    assert largest_difference(whole, split) < 1e-4


def test_caches_give_what_encoding_at_each_look_gives(
    train_here: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cache folder of the test's own: in the others' all is there already."""
    machine = tmp_path / "machine.toml"
    machine.write_text(f"runs = '{tmp_path / 'runs'}'\ncache = '{tmp_path / 'cache'}'\n", encoding="utf-8")
    monkeypatch.setenv(ENVIRONMENT, str(machine))
    cached = train_here()
    from_disk = train_here()
    live = train_here({"memory.cache_text": False})
    encoded = [any("encoding images" in e.text for e in of_kind(run, Phase)) for run in (cached, from_disk)]
    assert encoded == [True, False]
    assert same_bits(cached, from_disk)
    assert largest_difference(cached, live) < 1e-3


def test_images_encoded_at_each_look_train_too(train_here: Train) -> None:
    run = train_here({"memory.cache_latents": False, "dataset.flip": True, "dataset.jitter": 0.1, "dataset.rotate": 3})
    assert run.read_state().exit_code == 0
    assert len(of_kind(run, StepDone)) == 3


def test_the_text_encoder_is_trained_where_asked(train_here: Train) -> None:
    both = tensors(train_here({"network.text_encoder": True, "optimizer.text_encoder_learning_rate": 1e-3}))
    ups = {key: value for key, value in both.items() if key.startswith("lora_te_") and "lora_up" in key}
    assert ups and all(bool(value.abs().max() > 0) for value in ups.values())
    alone = train_here({"network.unet": False, "network.text_encoder": True})
    assert all(key.startswith("lora_te_") for key in tensors(alone))
    assert list(of_kind(alone, StepDone)[0].learning_rate) == ["text_encoder"]


def test_bf16_and_fp16_learn_about_what_float_learns(train_here: Train, left_alone: Train) -> None:
    full = of_kind(left_alone(), StepDone)
    for precision in ("bf16", "fp16"):
        run = train_here({"precision.compute": precision})
        losses = [event.loss for event in of_kind(run, StepDone)]
        assert losses == pytest.approx([event.loss for event in full], rel=0.05), precision
        assert all(value.dtype.is_floating_point for value in tensors(run).values())


def test_min_snr_and_noise_offset_have_an_effect(train_here: Train, left_alone: Train) -> None:
    plain = left_alone()
    assert not same_bits(plain, train_here({"noise.min_snr_gamma": 5.0}))
    assert not same_bits(plain, train_here({"noise.noise_offset": 0.1}))


EVERY_NOISE = {
    "noise.loss": "huber",
    "noise.huber_schedule": "exponential",
    "noise.debiased": True,
    "noise.v_like": 0.1,
    "noise.noise_offset": 0.1,
    "noise.noise_offset_random": True,
    "noise.adaptive_noise_scale": 0.05,
    "noise.perturbation": 0.1,
    "noise.perturbation_random": True,
    "noise.timesteps": "logit normal",
    "noise.timestep_min": 100,
}


@pytest.mark.parametrize("noise", [EVERY_NOISE, {"noise.multires_iterations": 6}], ids=["all", "multires"])
def test_noise_is_drawn_for_each_look_whatever_its_batch(train_here: Train, noise: dict[str, Any]) -> None:
    whole = train_here({**PLAIN, **noise, "training.batch_size": 16})
    split = train_here({**PLAIN, **noise, "training.batch_size": 5, "training.accumulate": 4})
    losses = [[event.loss for event in of_kind(run, StepDone)] for run in (whole, split)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert largest_difference(whole, split) < 1e-4


def test_clipping_limits_the_first_step_of_sgd(train_here: Train) -> None:
    settings = {"optimizer.name": "SGD", "training.length": "1 step", "optimizer.learning_rate": 1.0}
    settings |= {"optimizer.weight_decay": 0.0, "schedule.warmup": 0, "optimizer.max_grad_norm": 1e-3}
    run = train_here(settings)
    moved = sum(float((value**2).sum()) for key, value in tensors(run).items() if "lora_up" in key) ** 0.5
    assert of_kind(run, StepDone)[0].grad_norm > 1e-3
    assert moved == pytest.approx(1e-3, rel=0.01)


@pytest.mark.parametrize("name", ["Prodigy", "ScheduleFreeAdamW", "AdamW8bit", "Lion"])
def test_other_optimizers_train_and_tell_the_rate_that_they_apply(train_here: Train, name: str) -> None:
    rate = 1.0 if name == "Prodigy" else 1e-3
    run = train_here({"optimizer.name": name, "optimizer.learning_rate": rate, "schedule.name": "constant"})
    assert run.read_state().exit_code == 0, run.read_state().cause
    applied = of_kind(run, StepDone)[-1].learning_rate["unet"]
    assert 0 < applied < 0.1


def test_in_between_files_are_numbered_and_limited(train_here: Train) -> None:
    run = train_here({"training.length": "5 steps", "saving.every": "1 step", "saving.keep_last": 2})
    names = sorted(path.name for path in run.path.glob("*.safetensors"))
    assert names == ["zorb-step00000003.safetensors", "zorb-step00000004.safetensors", "zorb.safetensors"]
    assert [event.what for event in of_kind(run, Saved)] == ["in between"] * 4 + ["final"]


def test_early_stopping_keeps_the_lowest(train_here: Train) -> None:
    settings = {"validation.split": "4 images", "validation.every": "1 step", "validation.timesteps": 1}
    settings |= {"validation.patience": 1, "validation.stop": "stop and keep the lowest", "training.length": "12 steps"}
    run = train_here({**settings, "optimizer.learning_rate": 0.5, "schedule.warmup": 50})
    checks = of_kind(run, Validated)
    assert run.read_state().exit_code == 0
    assert of_kind(run, Finished)[0].how == "stopped early"
    assert not checks[-1].lowest and checks[-1].step < 12
    lowest = min(checks, key=lambda event: event.loss)
    if lowest.step:
        assert same_tensors(run, "zorb.safetensors", "zorb-lowest-validation-loss.safetensors")


def same_tensors(run: RunDir, first: str, second: str) -> bool:
    a, b = tensors(run, first), tensors(run, second)
    return all(bool((a[key] == b[key]).all()) for key in a)


def test_an_unreadable_image_is_named_and_left_out(train_here: Train, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    shutil.copytree(IMAGES, folder)
    cut = folder / "badge_05.png"
    cut.write_bytes(cut.read_bytes()[:200])
    run = train_here({"dataset.folders": [{"path": str(folder)}]})
    assert run.read_state().exit_code == 0
    assert of_kind(run, RunStarted)[0].images == 15
    assert any("badge_05.png" in event.text for event in of_kind(run, Warned))


def test_a_failing_sample_is_a_warning(train_here: Train, tmp_path: Path) -> None:
    gone = {"sampling.prompts_file": str(tmp_path / "gone.txt"), "sampling.at_start": True, "sampling.every": "1 step"}
    (tmp_path / "gone.txt").write_text("zorb --w 64 --h 64\n", encoding="utf-8")

    def remove(run: RunDir) -> None:
        (tmp_path / "gone.txt").write_bytes(b"\xff\xfe\xff")

    run = train_here(gone, before=remove)
    assert run.read_state().exit_code == 0
    assert any("prompt file" in event.text for event in of_kind(run, Warned))


def test_captions_that_are_cut_off_are_counted(train_here: Train) -> None:
    long = {"captions.suffix": "red circle green square " * 20, "captions.max_tokens": 75}
    told = [event.text for event in of_kind(train_here(long), Warned) if event.setting == "captions.max_tokens"]
    assert len(told) == 1 and told[0].startswith("16 captions are longer than 75 tokens")
    long["captions.max_tokens"] = 150
    assert not [event for event in of_kind(train_here(long), Warned) if event.setting == "captions.max_tokens"]


def test_all_problems_are_told_at_once_and_decide_the_exit_code(train_here: Train, tmp_path: Path) -> None:
    bad: dict[str, Any] = {"network.unet": False, "dataset.folders": [{"path": str(tmp_path / "nowhere")}]}
    run = train_here(bad)
    failed = of_kind(run, Failed)[0]
    assert run.read_state().exit_code == failed.exit_code == 2
    assert run.read_state().state == "failed" and run.read_state().cause
    assert any("nowhere" in line for line in failed.problems) and len(failed.problems) >= 2
    missing = train_here({"model.path": str(tmp_path / "no.safetensors")})
    assert missing.read_state().exit_code == 3


def test_a_gpu_that_is_not_there_is_a_clear_error(train_here: Train) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    run = train_here({"hardware.gpus": "0"})
    assert run.read_state().exit_code == 2
    assert "hardware.gpus" in run.read_state().cause and "no GPU" in run.read_state().cause


def test_a_tracker_that_is_not_installed_is_a_clear_error(train_here: Train) -> None:
    if importlib.util.find_spec("wandb"):
        pytest.skip("wandb is installed here")
    state = train_here({"logging.wandb": True}).read_state()
    assert state.exit_code == 2 and "wandb is not installed" in state.cause


def test_a_stop_before_the_first_step_needs_no_step(train_here: Train) -> None:
    run = train_here({"sampling.at_start": True}, before=lambda run: run.request("stop"))
    state = run.read_state()
    assert (state.state, state.exit_code) == ("stopped", 130)
    assert not of_kind(run, Sampled) and not of_kind(run, StepDone) and not list(run.path.glob("*.safetensors"))


def test_requests_that_came_early_wait_for_the_first_step(train_here: Train) -> None:
    def ask(run: RunDir) -> None:
        run.request("save")
        run.request("sample")

    run = train_here(before=ask)
    assert next((event.step, event.file) for event in of_kind(run, Saved)) == (1, "zorb-step00000001.safetensors")
    assert [event.step for event in of_kind(run, Warned) if "without sampling" in event.text] == [1]
    drawn = train_here({"sampling.at_start": True}, before=ask)
    assert [event.step for event in of_kind(drawn, Sampled)] == [0, 1, 3]


def test_a_loss_that_is_no_number_ends_the_run_in_plain_words(train_here: Train) -> None:
    settings = {"optimizer.name": "SGD", "optimizer.learning_rate": 100.0, "optimizer.args": {"momentum": 1.5}}
    settings |= {"optimizer.max_grad_norm": 0.0, "schedule.name": "constant", "schedule.warmup": 0}
    run = train_here({**settings, "training.length": "60 steps", "saving.every": "1 step", "saving.keep_last": 1})
    state = run.read_state()
    assert state.exit_code == 1 and f"of step {state.step + 1} is" in state.cause
    assert any(line.startswith("optimizer.learning_rate: 100") for line in of_kind(run, Failed)[0].problems)
    assert of_kind(run, Failed)[0].step == state.step == of_kind(run, StepDone)[-1].step > 1
    assert list(run.path.glob("zorb-step*.safetensors"))


def test_run_json_is_plain_json(left_alone: Train) -> None:
    values = json.loads(left_alone().state_file.read_text(encoding="utf-8"))
    assert values["versions"]["torch"] and values["total_steps"] == 3
