"""What a folded group of the form holds, in a few words each, so that nothing hides. No Gradio in here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gui.form.values import number_text
from trainer.contract.settings import Preset
from trainer.plan.counting import count_of

Words = list[str]


def summaries(full: Preset) -> dict[str, Words]:
    """Group id -> a few words of a resolved preset, each on its own; a group that is not named has none."""
    return {group: [word for word in say(full) if word] for group, say in _SAY.items()}


def _captions(full: Preset) -> Words:
    said = {"files": "from files", "none": "no captions"}
    return [said.get(full.captions.mode, full.captions.mode), "shuffled" if full.captions.shuffle else ""]


def _training(full: Preset) -> Words:
    optimizer, training = full.optimizer, full.training
    return [
        training.length,
        f"batch {training.batch_size}",
        f"{optimizer.name} {number_text(optimizer.learning_rate)}",
        full.schedule.name,
        f"rank {full.network.rank}",
        full.precision.compute,
    ]


def _model(full: Preset) -> Words:
    return [
        _if(full.model.vae, f"VAE {Path(full.model.vae).name}"),
        _other(full.model.prediction, "auto"),
        _if(full.model.adapters, count_of(len(full.model.adapters), "adapter") + " under it"),
    ]


def _dataset(full: Preset) -> Words:
    dataset = full.dataset
    return [
        f"buckets of {dataset.bucket_step} px" if dataset.buckets else "no buckets",
        _if(dataset.flip, "flipped"),
        _if(dataset.crop == "random", "random crops"),
        _if(dataset.rotate, f"turned up to {dataset.rotate:g}°"),
        _if(dataset.jitter, "colour jitter"),
        _if(dataset.masks != "none", f"masks: {dataset.masks}"),
        _if(dataset.balance == "weights", "balanced by weights"),
    ]


def _caption_details(full: Preset) -> Words:
    captions = full.captions
    return [
        _if(captions.keep_tokens, f"keep {captions.keep_tokens}"),
        _if(captions.dropout, f"dropout {captions.dropout:g}"),
        _if(captions.tag_dropout, f"tag dropout {captions.tag_dropout:g}"),
        _if(captions.prefix or captions.suffix, "with prefix or suffix"),
        _if(captions.clip_skip > 1, f"clip skip {captions.clip_skip}"),
        f"{captions.max_tokens} tokens",
    ]


def _network(full: Preset) -> Words:
    network = full.network
    by_block = (network.block_ranks, network.block_conv_ranks, network.down_rates, network.mid_rates, network.up_rates)
    return [
        network.type,
        _if(network.dora, "DoRA"),
        _if(network.unet, "U-Net"),
        _if(network.text_encoder, "text encoder"),
        _if(network.conv_rank, f"convolutions {network.conv_rank}"),
        _if(network.dropout, f"dropout {network.dropout:g}"),
        _if(any(by_block), "block by block"),
        _if(network.layers, count_of(len(network.layers), "layer rule")),
        _if(network.start, f"from {Path(network.start).name}"),
    ]


def _steps(full: Preset) -> Words:
    accumulate = full.training.accumulate
    return [_if(accumulate > 1, f"{accumulate} accumulated"), f"seed {full.training.seed}"]


def _optimizer(full: Preset) -> Words:
    optimizer = full.optimizer
    names = ", ".join(optimizer.args)
    return [f"decay {optimizer.weight_decay:g}", f"gradient norm {optimizer.max_grad_norm:g}", names]


def _schedule(full: Preset) -> Words:
    return [full.schedule.name, f"warmup {full.schedule.warmup:g} %"]


def _noise(full: Preset) -> Words:
    noise = full.noise
    return [
        noise.loss,
        _if(noise.min_snr_gamma, f"min-SNR {noise.min_snr_gamma:g}"),
        _if(noise.noise_offset, f"offset {noise.noise_offset:g}"),
        _if(noise.multires_iterations, "multi-resolution noise"),
        _if(noise.perturbation, f"perturbation {noise.perturbation:g}"),
        _if(noise.debiased, "debiased"),
        _other(noise.timesteps, "uniform"),
        _if((noise.timestep_min, noise.timestep_max) != (0, 1000), f"{noise.timestep_min}-{noise.timestep_max - 1}"),
    ]


def _precision(full: Preset) -> Words:
    return [f"base {full.precision.base}", f"saved as {full.precision.save}"]


def _memory(full: Preset) -> Words:
    memory = full.memory
    return [
        _if(memory.gradient_checkpointing, "gradient checkpointing"),
        memory.attention,
        _if(memory.cache_latents, "latents cached"),
        _if(memory.cache_text, "captions cached"),
    ]


def _validation(full: Preset) -> Words:
    validation = full.validation
    if validation.folder:
        held = "a folder held out"
    else:
        held = "nothing held out" if validation.split == "off" else f"{validation.split} held out"
    return [held, f"checks: {validation.every}"]


def _sampling(full: Preset) -> Words:
    sampling = full.sampling
    return [f"every {sampling.every}".replace("every never", "never"), str(sampling.sampler), f"{sampling.steps} steps"]


def _saving(full: Preset) -> Words:
    every = full.saving.every
    return ["only the final file" if every == "never" else f"every {every}", f"state every {full.saving.state_every}"]


def _hardware(full: Preset) -> Words:
    return [f"GPUs: {full.hardware.gpus}"]


def _logging(full: Preset) -> Words:
    return [_if(full.logging.tensorboard, "TensorBoard"), _if(full.logging.wandb, "wandb")]


def _about(full: Preset) -> Words:
    return [full.about.title, full.about.tested]


def _if(on: object, text: str) -> str:
    return text if on else ""


def _other(value: str, usual: str) -> str:
    return "" if value == usual else value


_SAY: dict[str, Callable[[Preset], Words]] = {
    "g-captions": _captions,
    "g-training": _training,
    "g-more-model": _model,
    "g-more-dataset": _dataset,
    "g-more-captions": _caption_details,
    "g-more-network": _network,
    "g-more-training": _steps,
    "g-more-optimizer": _optimizer,
    "g-more-schedule": _schedule,
    "g-more-noise": _noise,
    "g-more-precision": _precision,
    "g-more-memory": _memory,
    "g-more-validation": _validation,
    "g-more-sampling": _sampling,
    "g-more-saving": _saving,
    "g-more-hardware": _hardware,
    "g-more-logging": _logging,
    "g-more-about": _about,
}
