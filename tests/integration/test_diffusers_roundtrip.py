"""Our LoRA in diffusers: what we train is what `load_lora_weights` applies; our forward is the pipeline's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from trainer.contract.families import recognise
from trainer.families.sd1 import StableDiffusion1
from trainer.networks.applied import merge_into
from trainer.networks.lora import LoRA
from trainer.parts import BatchFacts, LoadPlan, ModelFiles
from trainer.saving.adapter import load_adapter, save_adapter

CPU = torch.device("cpu")
FACTS = BatchFacts(*[torch.zeros(2, 2)] * 3)
CAPTIONS = ["a red circle on a blue background", "a green square"]


def load(
    path: Path, base: torch.dtype = torch.float32, compute: torch.dtype | None = None, **plan: object
) -> StableDiffusion1:
    family = StableDiffusion1()
    wanted = LoadPlan(CPU, base, compute or base, **plan)  # type: ignore[arg-type]
    family.load(ModelFiles(str(path), recognise(str(path))), wanted)
    return family


@pytest.fixture(scope="module")
def family(demo_model_dir: Path) -> StableDiffusion1:
    return load(demo_model_dir)


@pytest.fixture(scope="module")
def pipeline(demo_model_dir: Path):
    from diffusers import StableDiffusionPipeline

    loaded = StableDiffusionPipeline.from_pretrained(demo_model_dir, local_files_only=True, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture
def noisy() -> Tensor:
    return torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(5))


TIMES = torch.tensor([100, 700])


def with_random_values(network: LoRA) -> LoRA:
    generator = torch.Generator().manual_seed(1)
    for layer in network.layers.values():
        nn.init.normal_(layer.up, std=0.05, generator=generator)
    return network


def pixels_of(pipeline, seed: int = 3) -> Tensor:
    picture = pipeline(
        CAPTIONS[0],
        num_inference_steps=4,
        height=64,
        width=64,
        guidance_scale=3.0,
        output_type="pt",
        generator=torch.Generator().manual_seed(seed),
    )
    return picture.images[0]


def test_text_is_encoded_as_in_the_pipeline(family: StableDiffusion1, pipeline) -> None:
    theirs, _ = pipeline.encode_prompt(CAPTIONS, CPU, 1, False)
    assert torch.allclose(family.encode_captions(CAPTIONS)["text"], theirs, atol=1e-5)


@pytest.mark.parametrize("clip_skip", [1, 2])
def test_clip_skip_counts_layers_from_the_end(demo_model_dir: Path, pipeline, clip_skip: int) -> None:
    """What leaves the n-th last layer, through the final norm, as Kohya and diffusers define it (diffusers' own option
    does not run with transformers 5, which has no `text_model`)."""
    caught: list[Tensor] = []
    layer = pipeline.text_encoder.encoder.layers[-clip_skip]
    hook = layer.register_forward_hook(lambda _m, _i, out: caught.append(out[0] if isinstance(out, tuple) else out))
    pipeline.encode_prompt(CAPTIONS, CPU, 1, False)
    hook.remove()
    ours = load(demo_model_dir, clip_skip=clip_skip).encode_captions(CAPTIONS)["text"]
    assert torch.allclose(ours, pipeline.text_encoder.final_layer_norm(caught[0]), atol=1e-5)


def test_predict_is_a_step_of_the_pipeline(family: StableDiffusion1, pipeline, noisy: Tensor) -> None:
    """Same text, same latents: the same noise, and with the pipeline's own scheduler the same next latents."""
    conditioning = family.encode_captions(CAPTIONS)
    ours = family.predict(noisy, TIMES, conditioning, FACTS)
    embeddings, _ = pipeline.encode_prompt(CAPTIONS, CPU, 1, False)
    theirs = pipeline.unet(noisy, TIMES, encoder_hidden_states=embeddings).sample
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_whole_denoising_is_the_pipelines(family: StableDiffusion1, pipeline) -> None:
    """Our parts with our process under diffusers' DDIM draw the very picture that the pipeline draws: this holds the
    latent scale, the betas and the prediction type."""
    from diffusers import DDIMScheduler

    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False, set_alpha_to_one=False)
    expected = pixels_of(pipeline)
    scheduler = DDIMScheduler(**without_foreign(DDIMScheduler, dict(family.sampling.scheduler)))
    scheduler.set_timesteps(4)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    text = family.encode_captions(["", CAPTIONS[0]])
    for timestep in scheduler.timesteps:
        both = family.predict(latents.expand(2, -1, -1, -1), timestep.expand(2), text, FACTS)
        guided = both[:1] + 3.0 * (both[1:] - both[:1])
        latents = scheduler.step(guided, timestep, latents).prev_sample
    assert torch.allclose(family.decode(latents)[0], expected, atol=2e-3)
    betas = torch.tensor(family.process.betas)
    assert torch.allclose(betas, pipeline.scheduler.betas, rtol=1e-5) and len(betas) == 1000


def without_foreign(kind: type, values: dict[str, object]) -> dict[str, object]:
    import inspect

    return {name: value for name, value in values.items() if name in inspect.signature(kind).parameters}


def test_latents_are_the_pipelines(family: StableDiffusion1, pipeline) -> None:
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    posterior = pipeline.vae.encode(pixels).latent_dist
    draws = torch.stack([family.encode_images(pixels, [seed, seed + 1]) for seed in range(0, 400, 2)])
    assert torch.allclose(
        draws.mean(0) / pipeline.vae.config.scaling_factor, posterior.mean, atol=0.4 * posterior.std.max().item()
    )
    both, alone = family.encode_images(pixels, [7, 8]), family.encode_images(pixels[1:], [8])
    assert torch.allclose(both[1:], alone, atol=1e-5), "an image's draw depends on its own seed alone"


@pytest.mark.parametrize(
    ("parts", "conv_rank"),
    [(["unet"], 0), (["unet"], 4), (["unet", "te1"], 4)],
    ids=["attention", "convolutions", "text encoder"],
)
def test_our_file_in_diffusers_draws_our_picture(
    demo_model_dir: Path,
    tmp_path: Path,
    pipeline,
    noisy: Tensor,
    parts: list[str],
    conv_rank: int,
) -> None:
    family = load(demo_model_dir)
    targets = family.targets(conv_rank > 0, parts)
    network = with_random_values(LoRA(targets, 4, 2.0, conv_rank, 8.0))
    network.attach()
    applied = family.predict(noisy, TIMES, family.encode_captions(CAPTIONS), FACTS)
    file = tmp_path / "lora.safetensors"
    save_adapter(file, network.tensors(), dict(network.facts()), torch.float32)
    plain = pixels_of(pipeline)
    pipeline.load_lora_weights(str(file))
    try:
        embeddings, _ = pipeline.encode_prompt(CAPTIONS, CPU, 1, False)
        theirs = pipeline.unet(noisy, TIMES, encoder_hidden_states=embeddings).sample
        assert torch.allclose(applied, theirs, atol=1e-4)
        with_file = pixels_of(pipeline)
    finally:
        pipeline.unload_lora_weights()
    own = pipeline.unet, pipeline.text_encoder
    try:
        pipeline.unet, pipeline.text_encoder = family.parts["unet"], family.parts["te1"]
        ours = pixels_of(pipeline)
        network.detach()
        merge_into(targets, network.tensors())
        merged = pixels_of(pipeline)
        predicted = family.predict(noisy, TIMES, family.encode_captions(CAPTIONS), FACTS)
    finally:
        pipeline.unet, pipeline.text_encoder = own
    effect = (ours - plain).abs().max().item()
    assert effect > 0.02, "the adapter does something"
    assert (ours - with_file).abs().max() < effect / 100, "diffusers draws what we draw"
    assert (merged - ours).abs().max() < effect / 100, "merged into the weights it is the same"
    assert torch.allclose(predicted, applied, atol=1e-4)


def test_saved_and_loaded_predicts_the_same(demo_model_dir: Path, tmp_path: Path, noisy: Tensor) -> None:
    family = load(demo_model_dir)
    targets = family.targets(True, ["unet", "te1"])
    network = with_random_values(LoRA(targets, 4, 4.0, 4, 4.0))
    network.attach()
    text = family.encode_captions(CAPTIONS)
    before = family.predict(noisy, TIMES, text, FACTS)
    save_adapter(tmp_path / "a.safetensors", network.tensors(), {}, torch.float32)
    network.detach()
    again = LoRA(targets, 4, 4.0, 4, 4.0, seed=5)
    again.load_tensors(load_adapter(tmp_path / "a.safetensors")[0])
    again.attach()
    assert torch.equal(family.predict(noisy, TIMES, family.encode_captions(CAPTIONS), FACTS), before)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_trained_value_gets_the_same_gradient(demo_model_dir: Path, noisy: Tensor, checkpointing: bool) -> None:
    """With gradient checkpointing too, through U-Net and text encoder, and nothing of the base gets one."""
    grads = []
    for on in (False, checkpointing):
        family = load(demo_model_dir, gradient_checkpointing=on)
        network = with_random_values(LoRA(family.targets(True, ["unet", "te1"]), 2, 2.0, 2, 2.0))
        network.attach()
        network.training(True)
        text = family.encode_captions(CAPTIONS, train=True)
        assert text["text"].requires_grad
        family.predict(noisy, TIMES, text, FACTS).square().mean().backward()
        values = network.parameters("unet") + network.parameters("te1")
        assert all(value.grad is not None for value in values)
        assert not any(p.requires_grad for part in family.parts.values() for p in part.parameters())
        grads.append(torch.cat([value.grad.flatten() for value in values]))  # type: ignore[union-attr]
    assert grads[0].abs().sum() > 0
    assert torch.allclose(grads[0], grads[1], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(("base", "compute"), [(torch.bfloat16, torch.bfloat16), (torch.float32, torch.bfloat16)])
def test_half_precision_is_near_float(
    demo_model_dir: Path, family: StableDiffusion1, noisy: Tensor, base: torch.dtype, compute: torch.dtype
) -> None:
    half = load(demo_model_dir, base, compute)
    network = with_random_values(LoRA(half.targets(True, ["unet"]), 2, 2.0, 2, 2.0))
    for layer in network.layers.values():
        nn.init.zeros_(layer.up)
    network.attach()
    exact = family.predict(noisy, TIMES, family.encode_captions(CAPTIONS), FACTS)
    near = half.predict(noisy, TIMES, half.encode_captions(CAPTIONS), FACTS)
    assert near.dtype == torch.float32
    assert (near - exact).norm() / exact.norm() < 0.05
    near.square().mean().backward()
    assert {value.grad.dtype for value in network.parameters("unet")} == {torch.float32}  # type: ignore[union-attr]


@pytest.mark.parametrize("max_tokens", [75, 150, 225])
def test_long_captions_are_encoded_in_pieces(demo_model_dir: Path, pipeline, max_tokens: int) -> None:
    """Kohya's joining, written out: begin mark of the first piece, 75 of each, end mark of the last."""
    family = load(demo_model_dir, max_tokens=max_tokens)
    caption = " ".join(["red circle green square"] * 40)
    assert family.count_tokens(caption) == 160
    got = family.encode_captions([caption])["text"]
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    ids = tokenizer(caption, add_special_tokens=False).input_ids[:max_tokens]
    ids += [tokenizer.eos_token_id] * (max_tokens - len(ids))
    states = []
    for start in range(0, max_tokens, 75):
        piece = [tokenizer.bos_token_id, *ids[start : start + 75], tokenizer.eos_token_id]
        with torch.no_grad():
            states.append(encoder(torch.tensor([piece])).last_hidden_state)
    expected = torch.cat([states[0][:, :1], *[state[:, 1:-1] for state in states], states[-1][:, -1:]], dim=1)
    assert got.shape[1] == max_tokens + 2
    assert torch.allclose(got, expected, atol=1e-5)


def test_captions_keep_activations_only_where_gradients_are_wanted(demo_model_dir: Path) -> None:
    family = load(demo_model_dir)
    LoRA(family.targets(False, ["te1"]), 2, 2.0).attach()
    assert family.encode_captions(CAPTIONS, train=True)["text"].requires_grad
    assert not family.encode_captions(CAPTIONS)["text"].requires_grad
    with torch.no_grad():
        assert not family.encode_captions(CAPTIONS, train=True)["text"].requires_grad


def test_a_released_part_is_gone(demo_model_dir: Path) -> None:
    family = load(demo_model_dir)
    family.release("vae")
    with pytest.raises(KeyError):
        family.decode(torch.zeros(1, 4, 8, 8))
