"""The stages in order. Each reads what earlier ones left under `work` and leaves its own result there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTokenizer

from trainer.tools.demo_model.evaluate import evaluate
from trainer.tools.demo_model.export import export
from trainer.tools.demo_model.pace import Pace
from trainer.tools.demo_model.text import tokenize, train_text
from trainer.tools.demo_model.tokenizer import build_tokenizer
from trainer.tools.demo_model.unet import Pool, Trainee, build_pool, build_unet, latent_scale, train_unet
from trainer.tools.demo_model.vae import train_vae

POOL_STEPS = 384
"""Steps of 32 images: 12,288 cached latents, about 13 images for each combination of shape, colours and texture."""


@dataclass(frozen=True)
class Job:
    """Where a stage works, how long it may train, its seed, and where its progress goes."""

    out: Path
    pace: Pace
    seed: int
    report: Callable[[str], None]

    @property
    def work(self) -> Path:
        """Folder of intermediate results."""
        return self.out / "work"

    @property
    def model(self) -> Path:
        """Folder of the finished model."""
        return self.out / "model"

    def tokenizer(self) -> CLIPTokenizer:
        """What the text stage saved."""
        return CLIPTokenizer.from_pretrained(self.work / "tokenizer")

    def vae(self) -> AutoencoderKL:
        """What the vae stage saved."""
        return AutoencoderKL.from_pretrained(self.work / "vae")


def text_stage(job: Job) -> None:
    """Tokenizer and text encoder."""
    tokenizer = build_tokenizer()
    encoder, _ = train_text(tokenizer, job.pace, job.seed, job.report)
    tokenizer.save_pretrained(job.work / "tokenizer")
    encoder.save_pretrained(job.work / "text_encoder")


def vae_stage(job: Job) -> None:
    """The VAE and its scaling factor."""
    vae = train_vae(job.pace, job.seed, job.report)
    vae.register_to_config(scaling_factor=latent_scale(vae, job.seed))
    vae.save_pretrained(job.work / "vae")


def latents_stage(job: Job) -> None:
    """The cached latents and captions; a fixed number of images, whatever the time."""
    pool = build_pool(job.vae(), job.tokenizer(), Pace(steps=POOL_STEPS), job.seed)
    job.report(f"latents: {len(pool.latents_NCHW)} images, deviation {pool.latents_NCHW.std():.3f}")
    save_file({"latents": pool.latents_NCHW, "tokens": pool.tokens_N2L}, job.work / "pool.safetensors")


def unet_stage(job: Job) -> None:
    """The UNet; exports the moving average of its weights every 1000 steps and at the end."""
    torch.manual_seed(job.seed)
    tokenizer, vae = job.tokenizer(), job.vae()
    unet = build_unet()
    trainee = Trainee(unet, CLIPTextModel.from_pretrained(job.work / "text_encoder"))
    tensors = load_file(job.work / "pool.safetensors")

    def keep() -> None:
        export(job.model, tokenizer, trainee.encoder, vae, trainee.kept)

    pool = Pool(tensors["latents"], tensors["tokens"])
    train_unet(
        trainee,
        pool,
        pool.plain_rows(tokenizer("striped checkered", add_special_tokens=False).input_ids),
        tokenize(tokenizer, [""])[0],
        job.pace,
        job.seed,
        job.report,
        keep,
    )
    keep()


def evaluate_stage(job: Job) -> None:
    """Figures and a contact sheet of the finished model."""
    for line in evaluate(job.model, job.out / "evaluation.png"):
        job.report(line)


STAGES: dict[str, tuple[Callable[[Job], None], float]] = {
    "text": (text_stage, 0.015),
    "vae": (vae_stage, 0.175),
    "latents": (latents_stage, 0.0),
    "unet": (unet_stage, 0.81),
    "evaluate": (evaluate_stage, 0.0),
}
"""Each stage with its share of the minutes; those with 0 take what they take (about 3 minutes together)."""
