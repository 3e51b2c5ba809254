"""What holds for every kind of model when it is trained, on tiny random models of the true classes: gradients reach all
that can be adapted, what is saved is what was trained, and a whole run goes on exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from model_kits import CAPTIONS, CPU, Kit, adapted, asked_by, kit_of, load, predicted
from safetensors.torch import load_file
from tiny_models import ROWS
from torch import Tensor
from whole_runs import of_kind, same_bits

from trainer.contract import preset as presets
from trainer.contract import tasks
from trainer.contract.events import Resumed, Sampled, StepDone
from trainer.contract.rundir import RunDir
from trainer.networks.applied import merge_into
from trainer.networks.lora import LoRA
from trainer.noise.process import Tables, add_noise, target
from trainer.sampling.denoise import same_size
from trainer.sampling.prompts import Prompt
from trainer.saving.adapter import load_adapter, save_adapter


@pytest.fixture(scope="module", params=ROWS, ids=lambda row: row.id)
def kit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return kit_of(request.param, tmp_path_factory.mktemp("models"))


def test_one_image_is_learnt_and_gradients_reach_all_targets_and_nothing_else(kit: Kit) -> None:
    pixels = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    family, tables = kit.family, Tables(kit.family.process)
    latents = family.encode_images(pixels, [1])
    noise = torch.randn(1, 4, 6, 8, generator=torch.Generator().manual_seed(2))
    times, facts = torch.tensor([500]), same_size(Prompt("", "", 64, 48, 0, 1, 1.0), 1, CPU)
    wanted, mixed = target(tables, latents, noise, times), add_noise(tables, latents, noise, times)

    def loss() -> Tensor:
        answer = family.predict(mixed, times, family.encode_captions(CAPTIONS[:1], train=True), facts)
        return (answer - wanted).square().mean()

    with adapted(kit) as network:
        network.training(True)
        loss().backward()
        without = {key for key, layer in network.layers.items() if layer.up.grad is None}
        last = {f"lora_te1_text_model_encoder_layers_2_{name}" for name in TEXT_LAYERS}
        last = last if kit.row.family == "SDXL" else set()
        assert without == last, "SDXL's first encoder gives its last layer but one"
        reached = [layer for layer in network.layers.values() if layer.up.grad is not None]
        assert all(float(layer.up.grad.abs().max()) > 0 < float(layer.down.grad.abs().max()) for layer in reached)
        assert not any(p.requires_grad or p.grad is not None for m in family.parts.values() for p in m.parameters())
        optimizer = torch.optim.Adam([p for part in family.parts for p in network.parameters(part)], 3e-3)
        losses = []
        for _ in range(8):
            optimizer.zero_grad()
            value = loss()
            value.backward()
            optimizer.step()
            losses.append(value.item())
        assert losses[-1] < 0.8 * losses[0]


TEXT_LAYERS = ("self_attn_q_proj", "self_attn_k_proj", "self_attn_v_proj", "self_attn_out_proj", "mlp_fc1", "mlp_fc2")


DORA = ({"dora": True}, {"dora": True, "by_output": True})
SAVED = [
    *(pytest.param(row, {}, id=f"{row.id}-LoCon") for row in ROWS),
    *(pytest.param(tiny_models.SDXL, dora, id="-".join([tiny_models.SDXL.id, *dora])) for dora in DORA),
]
"""DoRA with SDXL alone, which has layers of every kind."""


@pytest.mark.parametrize(("kit", "dora"), SAVED, indirect=["kit"])
def test_saved_it_is_the_same_loaded_merged_and_in_diffusers(kit: Kit, tmp_path: Path, dora: dict[str, bool]) -> None:
    plain = predicted(kit.family)
    with adapted(kit, **dora) as network:
        applied = predicted(kit.family)
        saved = network.tensors()
        save_adapter(tmp_path / "a.safetensors", saved, dict(network.facts()), torch.float32)
    effect = float((applied - plain).abs().max())
    assert effect > 0.05, "the adapter does something"
    assert torch.equal(predicted(kit.family), plain), "off, it leaves no trace"
    again = LoRA(kit.targets, 3, 3.0, 3, 3.0, seed=5, **dora)
    again.load_tensors(load_adapter(tmp_path / "a.safetensors")[0])
    again.attach()
    assert torch.equal(predicted(kit.family), applied)
    again.detach()
    merged = load(kit.folder)
    merge_into(merged.targets(True, list(merged.parts)), saved)
    assert (predicted(merged) - applied).abs().max() < effect / 100
    if dora and not dora.get("by_output"):
        return  # diffusers has no such sizes
    save_adapter(tmp_path / "b.safetensors", network.peft_tensors(), {}, torch.float32)
    # diffusers 0.42 leaves DoRA's sizes out of files with Kohya's keys, and says so; in its own keys it reads them
    for file in ("b.safetensors",) if dora else ("a.safetensors", "b.safetensors"):
        kit.pipeline.load_lora_weights(str(tmp_path / file))
        try:
            theirs = asked_by(kit)
        finally:
            kit.pipeline.unload_lora_weights()
        assert (theirs - applied).abs().max() < effect / 100, file


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two small pictures of different shapes with captions of different lengths."""
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    for name, size, caption in (("a", (96, 64), CAPTIONS[0]), ("b", (64, 64), CAPTIONS[1])):
        Image.effect_noise(size, 60).convert("RGB").save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(caption)
    return folder


def said(version: str, architecture: str, prediction: str, v2: bool = False, implementation: str = "diffusers") -> Any:
    """Metadata as sd-scripts writes them (library/sai_model_spec.py, train_util.get_model_version_str_for_sd1_sd2)."""
    spec = {"architecture": f"{architecture}/lora", "prediction_type": prediction, "implementation": implementation}
    return {"ss_v2": str(v2), "ss_base_model_version": version} | {f"modelspec.{key}": spec[key] for key in spec}


STABILITY = "https://github.com/Stability-AI/generative-models"
SAID_OF = {
    "SD 1.x-epsilon": said("sd_v1", "stable-diffusion-v1", "epsilon"),
    "SD 1.x-v": said("sd_v1_v", "stable-diffusion-v1", "v"),
    "SD 2.x-epsilon": said("sd_v2", "stable-diffusion-v2-512", "epsilon", True),
    "SD 2.x-v": said("sd_v2_v", "stable-diffusion-v2-768-v", "v", True),
    "SDXL-epsilon": said("sdxl_base_v1-0", "stable-diffusion-xl-v1-base", "epsilon", False, STABILITY),
    "SDXL-v-zero SNR": said("sdxl_base_v1-0", "stable-diffusion-xl-v1-base", "v", False, STABILITY),
}


def test_interrupted_from_a_file_with_live_captions_it_is_the_run_left_alone(
    kit: Kit, images: Path, train_here: Callable[..., RunDir]
) -> None:
    """One comparison holds three things: a resumed run is exact, a single file trains what the folder trains, and what
    is cached is what would have been computed."""
    from trainer.__main__ import main

    changes = {
        "model.path": str(kit.folder),
        "dataset.folders": [{"path": str(images), "repeats": 1}],
        "training.batch_size": 1,
        "training.length": "3 steps",
        "dataset.bucket_max": 128,
        "saving.name": "zorb",
        "sampling.at_start": kit.row.family == "SDXL",
        "sampling.prompts": ["a red circle"],
        "network.text_encoder": kit.row.zero_snr,
    }
    whole = train_here(changes)
    assert whole.read_state().exit_code == 0, whole.read_state().cause
    other = {**changes, "model.path": str(kit.file), "memory.cache_text": False}
    paused = train_here(other, before=lambda run: run.request("pause", "2"))
    assert (paused.read_state().state, paused.read_state().step) == ("paused", 2), paused.read_state().cause
    main(["trainer", str(paused.path)])
    assert [event.step for event in of_kind(paused, Resumed)] == [2]
    assert same_bits(whole, paused)
    losses = [[event.loss for event in of_kind(run, StepDone)] for run in (whole, paused)]
    assert losses[0] == losses[1] and len(losses[0]) == 3
    metadata = load_adapter(whole.path / "zorb.safetensors")[1]
    assert {name: metadata[name] for name in SAID_OF[kit.row.id]} == SAID_OF[kit.row.id]
    keys = {name.split(".")[0] for name in load_file(whole.path / "zorb.safetensors")}
    trained = ("unet", "te1", "te2") if kit.row.zero_snr else ("unet",)
    assert keys == {t.key for t in kit.targets if t.part in trained and not t.convolution}


@pytest.mark.parametrize("kit", [tiny_models.SDXL], indirect=True, ids=["SDXL"])  # it has two encoders
def test_pictures_asked_for_and_tried_are_those_of_the_run(
    kit: Kit, images: Path, tmp_path: Path, train_here: Callable[..., RunDir]
) -> None:
    """The encoders have left memory once the captions are encoded: a prompt that comes then brings them back. Trying
    the adapter afterwards draws the run's own pictures, before and after."""
    from PIL import Image

    from trainer.__main__ import main

    changes = {
        "model.path": str(kit.file),
        "dataset.folders": [{"path": str(images), "repeats": 1}],
        "training.length": "2 steps",
        "sampling.prompts": ["a red circle"],
        "sampling.at_start": True,
        "saving.name": "zorb",
    }
    run = train_here(changes, before=lambda folder: folder.request("sample", "a small yellow triangle"))
    assert run.read_state().exit_code == 0, run.read_state().cause
    (asked,) = [event for event in of_kind(run, Sampled) if event.asked]
    own = [event.files[0] for event in of_kind(run, Sampled) if not event.asked]
    assert asked.prompts == ["a small yellow triangle"] and (run.path / asked.files[0]).is_file() and len(own) == 2
    preset = presets.load(run.preset)
    values: dict[str, Any] = {name: getattr(preset.sampling, name) for name in ("seed", "width", "height", "steps")}
    values |= {name: getattr(preset.sampling, name) for name in ("guidance", "sampler", "prompts", "negative")}
    adapter = {"file": str(run.path / "zorb.safetensors"), "strength": 1.0}
    task = tasks.make("generating", {"model": str(kit.file), "gpus": "cpu", "columns": [[], [adapter]], **values})
    tried = RunDir.create(tmp_path, "try")
    tasks.save(tried, task)
    tried.update_state(kind="generating")
    assert main(["trainer", str(tried.path)]) == 0, tried.read_state().cause
    again = [event.files[0] for event in of_kind(tried, Sampled)]
    for mine, other in zip(own, again, strict=True):
        with Image.open(run.path / mine) as one, Image.open(tried.path / other) as two:
            assert one.tobytes() == two.tobytes()
