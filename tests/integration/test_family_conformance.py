"""What holds for every kind of model, on tiny random models of the true classes (`tiny_models`).

Random models do not notice a wrong latent scale or sign by looking bad: pictures, steps and texts are therefore
compared with diffusers' own pipelines."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch
from safetensors.torch import load_file
from tiny_models import ROWS, Row
from torch import Tensor, nn
from whole_runs import of_kind, same_bits

from trainer.contract import catalog, tasks
from trainer.contract import preset as presets
from trainer.contract.events import Resumed, Sampled, StepDone
from trainer.contract.families import of, recognise
from trainer.contract.rundir import RunDir
from trainer.networks.applied import merge_into
from trainer.networks.lora import LoRA
from trainer.noise.process import Tables, add_noise, target
from trainer.parts import BatchFacts, LoadPlan, ModelFiles
from trainer.run import resolve
from trainer.sampling.denoise import draw, same_size
from trainer.sampling.prompts import Prompt
from trainer.saving.adapter import load_adapter, save_adapter

CPU = torch.device("cpu")
CAPTIONS = ["a red circle on a blue background", "a green square"]
TIMES = torch.tensor([100, 700])
SIZES = BatchFacts(torch.tensor([[96, 64], [80, 64]]), torch.tensor([[8, 0], [3, 5]]), torch.tensor([[64, 48]] * 2))
"""Width before height, as in a batch; no two numbers of a row alike, so that none can be taken for another."""


@dataclass(frozen=True)
class Kit:
    """A row's model: as a folder, as a single file, loaded, and in diffusers' own pipeline."""

    row: Row
    folder: Path
    file: Path
    family: Any
    pipeline: Any

    @property
    def targets(self) -> list[Any]:
        """Everything that can be trained."""
        return self.family.targets(True, list(self.family.parts))


def load(path: Path, **plan: Any) -> Any:
    recognised = recognise(str(path))
    family = resolve("families", recognised.family)()
    family.load(ModelFiles(str(path), recognised), LoadPlan(CPU, torch.float32, torch.float32, **plan))
    return family


@pytest.fixture(scope="module", params=ROWS, ids=lambda row: row.id)
def kit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kit:
    from diffusers import DiffusionPipeline

    row, place = request.param, tmp_path_factory.mktemp("models")
    folder = tiny_models.build(row, place / "folder")
    pipeline: Any = DiffusionPipeline.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return Kit(row, folder, tiny_models.single_file(row, folder, place / "one.safetensors"), load(folder), pipeline)


@contextlib.contextmanager
def adapted(kit: Kit, **dora: bool) -> Iterator[LoRA]:
    """All targets with an adapter that does something, and off again."""
    network = LoRA(kit.targets, 3, 3.0, 3, 3.0, **dora)
    generator = torch.Generator().manual_seed(1)
    for layer in network.layers.values():
        nn.init.normal_(layer.up, std=0.1, generator=generator)
    network.attach()
    try:
        yield network
    finally:
        network.detach()


def noisy(seed: int = 5) -> Tensor:
    return torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(seed))


def predicted(family: Any, captions: Sequence[str] = CAPTIONS) -> Tensor:
    with torch.no_grad():
        return family.predict(noisy(), TIMES, family.encode_captions(captions), SIZES)


def encoded_by(kit: Kit, captions: Sequence[str]) -> tuple[Tensor, ...]:
    """What the pipeline makes of prompts: the text, and for SDXL the pooled one."""
    found = kit.pipeline.encode_prompt(list(captions), device=CPU, num_images_per_prompt=1, **GUIDED(False))
    return tuple(value for value in found if value is not None)


def GUIDED(on: bool) -> dict[str, bool]:
    return {"do_classifier_free_guidance": on}


def asked_by(kit: Kit) -> Tensor:
    """The pipeline's own U-Net, asked as its `__call__` asks it."""
    text, *pooled = encoded_by(kit, CAPTIONS)
    added: dict[str, Tensor] = {}
    if pooled:
        rows = [
            (
                kit.pipeline._get_add_time_ids(
                    *(
                        tuple(int(v) for v in row[i].flip(0))
                        for row in (SIZES.original_B2, SIZES.crop_B2, SIZES.target_B2)
                    ),
                    dtype=torch.float32,
                    text_encoder_projection_dim=tiny_models.POOLED,
                )
            )
            for i in range(2)
        ]
        added = {"text_embeds": pooled[0], "time_ids": torch.cat(rows)}
    with torch.no_grad():
        return kit.pipeline.unet(noisy(), TIMES, text, added_cond_kwargs=added or None).sample


def test_it_is_recognised_with_its_defaults(kit: Kit) -> None:
    for place in (kit.folder, kit.file):
        found = recognise(str(place))
        assert (found.family, found.prediction, found.zero_snr) == (
            kit.row.family,
            kit.row.prediction,
            kit.row.zero_snr,
        )
    side = {"SD 1.x": 512, "SD 2.x": 768 if kit.row.prediction == "v" else 512, "SDXL": 1024}[kit.row.family]
    assert of(found).base_resolution == of(found).defaults["dataset.resolution"] == side
    assert catalog.find("samplers", of(found).defaults["sampling.sampler"])
    assert kit.family.process.prediction == kit.row.prediction


def test_the_single_file_is_the_folder(kit: Kit) -> None:
    single, generator = load(kit.file), torch.Generator().manual_seed(0)
    pixels = torch.rand(1, 3, 48, 64, generator=generator) * 2 - 1
    for part, module in kit.family.parts.items():
        mine, other = module.state_dict(), single.parts[part].state_dict()
        assert mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine), part
    assert torch.equal(predicted(kit.family), predicted(single))
    assert torch.equal(kit.family.encode_images(pixels, [1]), single.encode_images(pixels, [1]))
    assert torch.equal(kit.family.decode(noisy()), single.decode(noisy()))
    assert (kit.family.process, kit.family.sampling) == (single.process, single.sampling)
    assert kit.family.vocabulary == single.vocabulary


def test_texts_are_the_pipelines(kit: Kit) -> None:
    mine = kit.family.encode_captions([*CAPTIONS, ""])
    for ours, theirs in zip(mine.values(), encoded_by(kit, [*CAPTIONS, ""]), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def sdscripts_pieces(ids: Sequence[int], max_tokens: int, begin: int, end: int, pad: int) -> list[list[int]]:
    """Token ids as sd-scripts' `_get_input_ids` cuts them (library/strategy_base.py), in its own words: one long text
    with marks and padding is cut into windows, whose ends are then put right. For padding that is the end mark every
    window just gets one."""
    whole = [begin, *ids[:max_tokens], end] + [pad] * max_tokens
    whole = whole[: max_tokens + 2]
    whole[-1] = end if len(ids) >= max_tokens else whole[-1]
    found = []
    for start in range(1, max_tokens, 75):
        piece = [whole[0], *whole[start : start + 75], whole[-1] if pad != end else end]
        if pad != end and piece[-2] not in (end, pad):
            piece[-1] = end
        if pad != end and piece[1] == pad:
            piece[1] = end
        found.append(piece)
    return found


@pytest.mark.parametrize("words", [3, 74, 75, 76, 149, 150, 200, 300])
def test_long_captions_are_cut_as_sd_scripts_cuts_them(kit: Kit, words: int) -> None:
    from trainer.families.clip import pieces, token_ids

    caption = " ".join(["circle"] * words)
    for part, tokenizer in kit.family._tokenizers.items():
        open_clip = part == "te2" or kit.row.family == "SD 2.x"
        pad = 0 if open_clip else tokenizer.eos_token_id
        marks = (tokenizer.bos_token_id, tokenizer.eos_token_id, pad)
        ids = token_ids(tokenizer, caption)
        assert len(ids) == words
        for most in (75, 150, 225):
            mine = pieces(tokenizer, [caption], most, pad)[0].tolist()
            assert mine == sdscripts_pieces(ids, most, *marks)


def test_a_prediction_is_the_pipelines(kit: Kit) -> None:
    assert torch.allclose(predicted(kit.family), asked_by(kit), atol=1e-5)


def test_noise_targets_and_steps_are_the_schedulers(kit: Kit) -> None:
    """What the noise room makes of latents is what diffusers' training scheduler makes of them; a prediction that is
    right takes the sampling scheduler back to the latents in one step."""
    from diffusers import DDIMScheduler, DDPMScheduler

    trained: Any = DDPMScheduler.from_config(kit.pipeline.scheduler.config)
    tables = Tables(kit.family.process)
    times, latents, noise = torch.tensor([0, 300, 700, 999]), torch.randn(4, 4, 6, 8), torch.randn(4, 4, 6, 8)
    mixed = add_noise(tables, latents, noise, times)
    assert torch.allclose(mixed, trained.add_noise(latents, noise, times), atol=1e-5)
    wanted = trained.get_velocity(latents, noise, times) if kit.row.prediction == "v" else noise
    right = target(tables, latents, noise, times)
    assert torch.allclose(right, wanted, atol=1e-5)
    assert (float(tables.snr_T[-1]) == 0.0) == kit.row.zero_snr
    sampler: Any = DDIMScheduler(**known_to(DDIMScheduler, kit.family.sampling.scheduler))
    sampler.set_timesteps(1000)
    for row, time in enumerate(times[:3]):
        back = sampler.step(right[row : row + 1], int(time), mixed[row : row + 1]).pred_original_sample
        assert torch.allclose(back, latents[row : row + 1], atol=2e-2), int(time)


def known_to(kind: type, values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in inspect.signature(kind).parameters}


@pytest.mark.parametrize("negative", ["", "a green square"])
def test_a_whole_picture_is_the_pipelines(kit: Kit, negative: str) -> None:
    """Our denoising with the family's default sampler draws what diffusers' pipeline draws with the scheduler of its
    own folder, which is the same: this holds the latent scale, the betas and spacing, the prediction, the sizes and
    their order, and what stands against the prompt where nothing is said."""
    prompt = Prompt(CAPTIONS[0], negative, 96, 64, 3, 4, 3.0)
    name = of(recognise(str(kit.folder))).defaults["sampling.sampler"]
    scheduler = resolve("samplers", name)
    config = dict(kit.family.sampling.scheduler)
    assert type(kit.pipeline.scheduler) is scheduler
    theirs = kit.pipeline(
        prompt.text,
        negative_prompt=negative or None,
        width=96,
        height=64,
        num_inference_steps=4,
        guidance_scale=3.0,
        output_type="pt",
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    text, other = (kit.family.encode_captions([one]) for one in (prompt.text, negative))
    ours = draw(kit.family, scheduler.from_config(config), prompt, text, other, CPU)
    assert (ours - theirs).abs().max() < 2e-3 and ours.std() > 0.01


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
