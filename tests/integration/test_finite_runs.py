"""Runs whose numbers or memory give out: what is kept is that of the step before, and what is told is true."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from whole_runs import assert_no_half_files, of_kind, same_bits

from trainer.contract import checkpoints
from trainer.contract.events import Failed, Resumed, Saved, StepDone, Warned, read
from trainer.contract.rundir import RunDir
from trainer.noise.draws import draw_timesteps
from trainer.update import Update

Train = Callable[..., RunDir]
At = Callable[[int, Callable[[Update, Any], None]], None]
LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"
FOUR = {"training.length": "4 steps", "saving.state_every": "1 step", "schedule.name": "constant"}


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    """`at(step, do)`: `do(update, micro-batches)` when that step begins."""
    wanted: dict[int, Callable[[Update, Any], None]] = {}
    before = Update.__call__

    def call(update: Update, step: int, batches: Any, looks: int) -> Any:
        wanted.pop(step, lambda *_: None)(update, batches)
        return before(update, step, batches, looks)

    monkeypatch.setattr(Update, "__call__", call)
    return wanted.__setitem__


def poison(backward: bool = False, batch: int = 0) -> Callable[[Update, Any], None]:
    """One layer gives NaN for a micro-batch of the step, known by its timesteps: also when it is computed again."""

    def do(update: Update, batches: Any) -> None:
        bad = draw_timesteps(batches[batch].seeds, 1000).tolist()
        unet: Any = update._family.parts["unet"]
        now: list[int] = []
        unet.register_forward_pre_hook(lambda module, given: now.__setitem__(slice(None), given[1].tolist()))

        def spoil(module: Any, given: Any, answer: torch.Tensor) -> torch.Tensor | None:
            if now != bad:
                return None
            if not backward:
                return answer * math.nan
            answer.register_hook(lambda gradient: gradient * math.nan)
            return answer

        unet.get_submodule(LAYER).register_forward_hook(spoil)

    return do


def autopsy(run: RunDir) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.path / "autopsy.json").read_text(encoding="utf-8"))
    return found


def test_what_is_no_number_ends_the_run_with_the_step_before(train_here: Train, at: At) -> None:
    at(3, poison())
    run = train_here(FOUR)
    state, failed = run.read_state(), of_kind(run, Failed)[0]
    assert (state.state, state.exit_code, state.step, state.adapter) == ("failed", 1, 2, "zorb.safetensors")
    assert "the loss of step 3 is nan" in state.cause and "zorb.safetensors" in state.cause
    assert [event.step for event in of_kind(run, StepDone)] == [1, 2]
    assert [(event.step, event.what) for event in of_kind(run, Saved)] == [(2, "final")]
    found = autopsy(run)["found"]
    assert (found["where"], found["layer"], found["dtype"]) == ("forward", f"unet.{LAYER}", "float")
    shown = autopsy(run)["looks"]
    assert len(shown) == 2 and all(look["image"].startswith("badge_") for look in shown)
    story = "\n".join(failed.problems)
    assert f"unet.{LAYER}" in story and shown[0]["image"] in story and f"timestep {shown[0]['timestep']}" in story
    assert "optimizer.learning_rate: 0.003 may be too high - 0.001, a third of it" in failed.problems
    assert_no_half_files(run)


def test_the_kept_adapter_and_state_are_those_of_the_step_before(train_here: Train, at: At) -> None:
    at(3, poison())
    run, whole = train_here(FOUR), train_here({**FOUR, "training.length": "2 steps"})
    assert same_bits(run, whole)
    kept = checkpoints.newest(run)
    assert kept is not None and kept.step == 2
    from trainer.__main__ import main

    main(["trainer", str(run.path)])  # the hooks went with the model: now it is fine
    assert run.read_state().exit_code == 0
    assert same_bits(run, train_here(FOUR))
    assert [event.step for event in of_kind(run, StepDone)] == [1, 2, 3, 4] and of_kind(run, Resumed)[-1].step == 2


def test_the_backward_pass_and_the_micro_batch_are_named(train_here: Train, at: At) -> None:
    at(2, poison(backward=True, batch=1))
    run = train_here({**FOUR, "training.accumulate": 2})
    found, looks = autopsy(run)["found"], autopsy(run)["looks"]
    assert "the gradient of step 2 is nan" in run.read_state().cause
    assert (found["where"], found["layer"]) == ("backward", f"unet.{LAYER}")
    assert {look["micro_batch"] for look in found["looks"]} == {2}
    assert [look["micro_batch"] for look in looks] == [1, 1, 2, 2] and all(look["loss"] > 0 for look in looks)
    assert "batch 2 of the step" in "\n".join(of_kind(run, Failed)[0].problems)


@pytest.mark.parametrize("name", ["AdamW", "Lion", "ScheduleFreeAdamW"])
def test_a_device_that_works_by_itself_keeps_the_step_before_too(
    train_here: Train, at: At, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As on a GPU: guarded on the device, and step 4 is on its way before the figures of step 3 are read."""
    from trainer import course
    from trainer import run as composition

    clipping, parts = composition.Clipping, course.loop.Parts
    monkeypatch.setattr(composition, "Clipping", lambda norm, scaler, _: clipping(norm, scaler, True))
    monkeypatch.setattr(course.loop, "Parts", lambda **given: parts(**{**given, "late": True}))
    changes = {**FOUR, "saving.state_every": "never", "optimizer.name": name, "network.dropout": 0.1}
    seen: list[int] = []
    at(3, poison())
    at(4, lambda update, batches: seen.append(4))
    run = train_here(changes)
    assert seen == [4] and run.read_state().step == 2
    assert same_bits(run, train_here({**changes, "training.length": "2 steps"}))
    assert autopsy(run)["found"]["layer"] == f"unet.{LAYER}"
    from trainer.__main__ import main

    main(["trainer", str(run.path)])
    assert same_bits(run, train_here(changes))


def test_latents_that_are_no_numbers_are_named_by_image(train_here: Train, at: At) -> None:
    def spoil(update: Update, batches: Any) -> None:
        batches[0].latent_source._held.update(
            {place: values * math.nan for place, values in batches[0].latent_source._held.items() if place[0] == 4}
        )

    at(1, spoil)
    run = train_here({"training.length": "16 steps", "training.batch_size": 1, "saving.state_every": "never"})
    found = autopsy(run)["found"]
    assert (found["where"], found["layer"]) == ("latents", "badge_05.png")
    assert "dataset.folders: the VAE gives no numbers for badge_05.png" in "\n".join(of_kind(run, Failed)[0].problems)


def test_an_error_of_the_device_is_told_from_one_of_the_data(train_here: Train, at: At) -> None:
    def once(update: Update, batches: Any) -> None:
        batches[0].__dict__["latents_BCHW"] = batches[0].latents_BCHW * math.inf

    at(2, once)
    run = train_here(FOUR)
    assert autopsy(run)["found"]["where"] == "nowhere"
    assert "hardware.gpus: the device gave another result" in "\n".join(of_kind(run, Failed)[0].problems)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "the device ran out of memory"),
        (MemoryError(), "the computer ran out of memory"),
        (RuntimeError("the driver went away"), "the driver went away"),
    ],
)
def test_nothing_learnt_is_lost_with_the_memory(train_here: Train, at: At, error: Exception, words: str) -> None:
    def fail(update: Update, batches: Any) -> None:
        raise error

    at(3, fail)
    run = train_here({**FOUR, "saving.state_every": "never", "training.batch_size": 4})
    state = run.read_state()
    assert (state.state, state.exit_code, state.step, state.adapter) == ("failed", 1, 2, "zorb.safetensors")
    assert words in state.cause
    short = {**FOUR, "training.length": "2 steps", "training.batch_size": 4}
    assert same_bits(run, train_here(short))
    kept = checkpoints.newest(run)
    assert kept is not None and kept.step == 2
    if "memory" in words:
        paths = [line.split(":")[0] for line in of_kind(run, Failed)[0].problems]
        assert paths.index("training.batch_size") < paths.index("memory.gradient_checkpointing")
    from trainer.__main__ import main

    main(["trainer", str(run.path)])
    assert same_bits(run, train_here({**FOUR, "training.batch_size": 4}))


def test_memory_that_runs_out_while_weights_change_keeps_the_state_before(
    train_here: Train, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(update: Update, batches: Any) -> None:
        monkeypatch.setattr(update._optimizer, "step", _raise)

    at(3, fail)
    run = train_here(FOUR)
    assert run.read_state().step == 2 and "the state that was saved last is whole" in run.read_state().cause
    kept = checkpoints.newest(run)
    assert kept is not None and kept.step == 2 and not (run.path / "zorb.safetensors").exists()


def _raise() -> None:
    raise torch.OutOfMemoryError("out of memory")


def test_memory_that_is_too_small_from_the_start_is_told_with_what_to_change(
    train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.families.sd1 import StableDiffusion1

    monkeypatch.setattr(StableDiffusion1, "targets", lambda *_: _raise())
    run = train_here()
    assert run.read_state().cause == "the device ran out of memory"
    assert any(line.startswith("training.batch_size") for line in of_kind(run, Failed)[0].problems)


def test_events_of_a_failed_run_are_whole(train_here: Train, at: At) -> None:
    at(1, poison())
    run = train_here(FOUR)
    assert run.read_state().step == 0 and not run.read_state().adapter and not list(run.path.glob("*.safetensors"))
    assert isinstance(read(run.events)[-1], Failed)


def test_a_run_at_an_absurd_rate_is_told_to_diverge_once(train_here: Train) -> None:
    changes = {"optimizer.learning_rate": 1.0, "training.length": "40 steps"}
    told = [event for event in of_kind(train_here(changes), Warned) if "diverging" in event.text]
    assert len(told) == 1 and told[0].step <= 30 and "a learning rate of 0.33 instead of 1" in told[0].text
    calm = train_here({"training.length": "40 steps"})
    assert not [event for event in of_kind(calm, Warned) if "diverging" in event.text]


def test_nothing_between_the_steps_ends_a_run(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full memory in a sample, an image that is gone in a check, a disk and a bug in saving: each is told."""
    from trainer.moments import keeper, make
    from trainer.sampling import previews

    def out_of_memory(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB")

    def no_image(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    whole, tries = keeper.adapter_bytes, []

    def sometimes(*given: Any) -> bytes:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("a fault of ours")
        return whole(*given)

    monkeypatch.setattr(previews, "draw", out_of_memory)
    monkeypatch.setattr(make, "measure", no_image)
    monkeypatch.setattr(keeper, "adapter_bytes", sometimes)
    changes = {"sampling.every": "1 step", "saving.every": "1 step", "validation.split": "4 images"}
    run = train_here({**changes, "validation.every": "1 step"})
    assert (run.read_state().state, run.read_state().exit_code) == ("done", 0)
    told = [event.text for event in of_kind(run, Warned)]
    for words in ("memory ran out. Draw smaller or fewer pictures", "Input/output error", "a fault of ours"):
        assert any(words in text for text in told), (words, told)
    assert [(event.step, event.what) for event in of_kind(run, Saved)] == [(2, "in between"), (3, "final")]
    monkeypatch.undo()
    assert same_bits(run, train_here({"validation.split": "4 images"}))


def test_a_final_file_that_fails_is_made_again_and_its_state_is_kept(
    train_here: Train, left_alone: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.__main__ import main
    from trainer.moments import keeper

    whole, fails = keeper.adapter_bytes, [1]

    def made(*given: Any) -> bytes:
        if fails:
            fails.pop()
            raise MemoryError
        return whole(*given)

    monkeypatch.setattr(keeper, "adapter_bytes", made)
    assert train_here().read_state().adapter == "zorb.safetensors"
    fails += [1, 1]
    run = train_here({"saving.state_every": "never"})
    state, kept = run.read_state(), checkpoints.newest(run)
    assert state.state == "failed" and "the final adapter could not be saved" in state.cause
    assert kept is not None and kept.step == 3
    main(["trainer", str(run.path)])
    assert run.read_state().exit_code == 0 and same_bits(run, left_alone())


def test_samples_that_are_no_numbers_are_told_and_drawn_black(
    train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from trainer.families.sd1 import StableDiffusion1

    decode = StableDiffusion1.decode
    monkeypatch.setattr(StableDiffusion1, "decode", lambda *given: decode(*given) * math.nan)
    run = train_here({"sampling.every": "1 step", "precision.compute": "fp16"})
    told = [event.text for event in of_kind(run, Warned) if "is black" in event.text]
    assert run.read_state().exit_code == 0 and len(told) == 1 and "precision.compute" in told[0]
    with Image.open(next(run.samples.glob("step00000001_*.png"))) as picture:
        assert picture.convert("L").getextrema() == (0, 0)


def test_a_model_with_values_that_are_no_numbers_is_refused_by_layer(
    train_here: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.families import files

    load = files.load

    def damaged(*given: Any) -> Any:
        loaded = load(*given)
        with torch.no_grad():
            loaded.parts["unet"].get_submodule(LAYER).weight[0, 0] = math.inf
        return loaded

    monkeypatch.setattr(files, "load", damaged)
    state = train_here().read_state()
    assert state.exit_code == 3 and f"{LAYER}.weight" in state.cause and state.cause.startswith("model.path")
    assert "float" in train_here({"precision.compute": "fp16"}).read_state().cause


def test_the_vae_computes_in_float_whatever_the_rest_does(demo_model_dir: Path) -> None:
    from trainer.contract.families import recognise
    from trainer.families.sd1 import StableDiffusion1
    from trainer.parts import LoadPlan, ModelFiles

    family = StableDiffusion1()
    plan = LoadPlan(torch.device("cpu"), torch.float16, torch.float16)
    family.load(ModelFiles(str(demo_model_dir), recognise(str(demo_model_dir))), plan)
    assert {value.dtype for value in family.parts["vae"].parameters()} == {torch.float32}
    seen: list[torch.dtype] = []
    vae: Any = family.parts["vae"]
    for part in (vae.encoder.conv_in, vae.decoder.conv_out):
        part.register_forward_hook(lambda module, given, answer: seen.append(answer.dtype))
    family.decode(family.encode_images(torch.zeros(1, 3, 64, 64), [1]))
    assert seen == [torch.float32, torch.float32]
