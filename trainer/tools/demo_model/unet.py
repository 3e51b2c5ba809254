"""The UNet: Stable Diffusion 1.5's block types and key names at widths 32-64, trained on cached latents.

Shapes: latents_BCHW (scaled by the VAE's factor), timesteps_B, states_BLC from the text encoder.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from transformers import CLIPTextModel, CLIPTokenizer

from trainer.tools.demo_model.captions import caption
from trainer.tools.demo_model.draw import IMAGE_PX, draw, random_scene
from trainer.tools.demo_model.pace import Pace
from trainer.tools.demo_model.precision import bf16_where_fast
from trainer.tools.demo_model.text import WIDTH, tokenize
from trainer.tools.demo_model.vae import to_pixels

BATCH = 16
PEAK_RATE = 1.5e-3
EMA_DECAY = 0.999
EMPTY_SHARE = 0.1
"""Captions replaced by the empty one, which classifier-free guidance needs."""
PLAIN_UNTIL = 0.35
"""Share of the training that shows plain objects only: shapes and colours come first, textures on top of them."""
ENCODE_BATCH = 32


@dataclass(frozen=True)
class Pool:
    """Cached training data: latents_NCHW and, for each, two captions as tokens_N2L."""

    latents_NCHW: torch.Tensor
    tokens_N2L: torch.Tensor

    def plain_rows(self, texture_tokens: list[int]) -> np.ndarray:
        """Indices of the images of which no caption names a texture."""
        named_N = torch.isin(self.tokens_N2L, torch.tensor(texture_tokens)).any(-1).any(-1)
        return torch.nonzero(~named_N)[:, 0].numpy()


def build_scheduler() -> DDPMScheduler:
    """Stable Diffusion 1.5's noise schedule."""
    return DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1,
        timestep_spacing="leading",
    )  # fmt: skip


def build_unet() -> UNet2DConditionModel:
    """An untrained UNet whose residual branches start at zero.

    `attention_head_dim` is the number of heads here, as in the 1.5 configuration.
    """
    unet = UNet2DConditionModel(
        sample_size=IMAGE_PX // 8,
        block_out_channels=(32, 48, 64, 64),
        layers_per_block=2,
        norm_num_groups=8,
        attention_head_dim=2,
        cross_attention_dim=WIDTH,
    )
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D):
            torch.nn.init.zeros_(module.conv2.weight)
        elif isinstance(module, Transformer2DModel):
            torch.nn.init.zeros_(module.proj_out.weight)
    torch.nn.init.zeros_(unet.conv_out.weight)
    unet.set_attn_processor(AttnProcessor())  # CPU flash attention's backward takes 40 % of a step in bf16, this 20 %
    return unet


@torch.no_grad()
def latent_scale(vae: AutoencoderKL, seed: int, count: int = 256) -> float:
    """One over the standard deviation of the latents, so that they enter the UNet with deviation 1."""
    rng = np.random.default_rng(seed)
    pixels = to_pixels([draw(random_scene(rng), rng) for _ in range(count)])
    return float(1 / torch.cat([vae.encode(part).latent_dist.mode() for part in pixels.split(ENCODE_BATCH)]).std())


@torch.no_grad()
def build_pool(vae: AutoencoderKL, tokenizer: CLIPTokenizer, pace: Pace, seed: int) -> Pool:
    """Draws, captions and encodes ENCODE_BATCH images per step of `pace`."""
    rng = np.random.default_rng(seed)
    latents, tokens = [], []
    for _ in pace:
        scenes = [random_scene(rng) for _ in range(ENCODE_BATCH)]
        pixels = to_pixels([draw(scene, rng) for scene in scenes])
        latents.append(vae.encode(pixels).latent_dist.mode() * float(vae.config["scaling_factor"]))
        texts = [caption(scene, rng)[0] for scene in scenes for _ in range(2)]
        tokens.append(tokenize(tokenizer, texts).view(ENCODE_BATCH, 2, -1))
    return Pool(torch.cat(latents).contiguous(), torch.cat(tokens))


class Trainee:
    """The UNet in training, and the moving average of its weights that is kept in the end."""

    def __init__(self, unet: UNet2DConditionModel, encoder: CLIPTextModel) -> None:
        self.unet, self.encoder = unet, encoder
        self.kept = copy.deepcopy(unet)
        self.live: list[torch.Tensor] = list(unet.parameters())
        self.averages: list[torch.Tensor] = list(self.kept.parameters())
        self.optimizer = torch.optim.AdamW(self.live, lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
        alphas = build_scheduler().alphas_cumprod
        self.signal, self.noise = alphas.sqrt(), (1 - alphas).sqrt()
        self.weights = self.noise / self.signal

    def loss(self, latents_BCHW: torch.Tensor, tokens_BL: torch.Tensor) -> torch.Tensor:
        """Squared error of the predicted noise, weighted by 1 / sqrt(SNR) (debiased estimation, Yu et al., 2024).

        What an image shows is decided at high noise, where the plain error hardly counts a wrong shape.
        """
        count = len(latents_BCHW)
        timesteps_B = ((torch.arange(count) + torch.rand(count)) / count * 1000).long()
        noise = torch.randn_like(latents_BCHW)
        signal, sigma = self.signal[timesteps_B].view(-1, 1, 1, 1), self.noise[timesteps_B].view(-1, 1, 1, 1)
        noisy = signal * latents_BCHW + sigma * noise
        with bf16_where_fast():
            with torch.no_grad():
                states_BLC = self.encoder(tokens_BL).last_hidden_state
            predicted = self.unet(noisy, timesteps_B, states_BLC).sample.float()
        return ((predicted - noise).square().mean(dim=(1, 2, 3)) * self.weights[timesteps_B]).mean()

    def step(self, latents_BCHW: torch.Tensor, tokens_BL: torch.Tensor, rate: float, decay: float) -> torch.Tensor:
        """One update of the weights and of their moving average; returns the loss."""
        self.optimizer.param_groups[0]["lr"] = rate
        loss = self.loss(latents_BCHW, tokens_BL)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.live, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(self.averages, self.live, 1 - decay)
        return loss.detach()


def train_unet(
    trainee: Trainee,
    pool: Pool,
    plain_rows: np.ndarray,
    empty_tokens_L: torch.Tensor,
    pace: Pace,
    seed: int,
    report: Callable[[str], None],
    keep: Callable[[], None],
) -> None:
    """Trains for the time or steps of `pace`; calls `keep` every 1000 steps so that a usable model exists early."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    order, losses = np.array([], np.int64), []
    for step in pace:
        if len(order) < BATCH:
            order = rng.permutation(plain_rows if pace.share < PLAIN_UNTIL else len(pool.latents_NCHW))
        rows, order = torch.from_numpy(order[:BATCH]), order[BATCH:]
        tokens_BL = pool.tokens_N2L[rows, torch.from_numpy(rng.integers(0, 2, BATCH))]
        empty_B = torch.from_numpy(rng.random(BATCH) < EMPTY_SHARE)
        tokens_BL = torch.where(empty_B[:, None], empty_tokens_L, tokens_BL)
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        losses.append(trainee.step(pool.latents_NCHW[rows], tokens_BL, pace.rate(PEAK_RATE, 200), decay))
        if step % 100 == 0:
            mean = torch.stack(losses[-100:]).mean().item()
            report(f"unet step {step} {pace.elapsed_s:.0f} s loss {mean:.5f}")
        if step % 1000 == 0:
            keep()
