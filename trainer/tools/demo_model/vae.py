"""The VAE: 8x smaller, 4 latent channels, Stable Diffusion 1.5's module names at widths 16-48.

Shapes: pixels_BCHW in [-1, 1], latents_BCHW with H / 8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from PIL import Image, ImageDraw
from torch.nn import functional as F

from trainer.tools.demo_model.draw import COLOURS, IMAGE_PX, draw, random_scene
from trainer.tools.demo_model.pace import Pace
from trainer.tools.demo_model.precision import bf16_where_fast

CROP_PX, CROP_BATCH = 64, 8
WHOLE_BATCH = 3
WHOLE_FROM = 0.85
"""Share of the stage after which whole images replace crops, so that the attention sees its real length."""
PEAK_RATE = 1.2e-3
KL_WEIGHT = 3e-4
EDGE_WEIGHT = 0.5


def build_vae() -> AutoencoderKL:
    """An untrained VAE that starts near "average down, repeat up"; diffusers' own start wastes the first 1000 steps."""
    widths = (16, 32, 48, 48)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=widths,
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=IMAGE_PX,
    )
    with torch.no_grad():
        for module in vae.modules():
            _start_simple(module)
        vae.quant_conv.weight.mul_(0.1)
        vae.quant_conv.weight[:4, :, 0, 0] += torch.eye(4, 8)
        vae.quant_conv.bias.zero_()
        vae.quant_conv.bias[4:] = -6
        vae.post_quant_conv.weight.copy_(torch.eye(4)[:, :, None, None])
    return vae


def _start_simple(module: torch.nn.Module) -> None:
    """Residual branches start at zero, resampling convolutions as plain averages and repeats."""
    if isinstance(module, ResnetBlock2D):
        torch.nn.init.zeros_(module.conv2.weight)
    elif isinstance(module, Downsample2D) and isinstance(module.conv, torch.nn.Conv2d):
        module.conv.weight.zero_()
        for channel in range(module.conv.weight.shape[0]):
            module.conv.weight[channel, channel, :2, :2] = 0.25
    elif isinstance(module, Upsample2D) and isinstance(module.conv, torch.nn.Conv2d):
        torch.nn.init.dirac_(module.conv.weight)
    elif isinstance(module, Attention):
        torch.nn.init.zeros_(module.to_out[0].weight)  # type: ignore[arg-type]


def _clutter(rng: np.random.Generator) -> Image.Image:
    """Random polygons, ellipses, outlines and lines in any colours: what a user may train on is not only our shapes."""
    side = IMAGE_PX * 2
    palette = [*COLOURS.values(), *(tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(5))]
    pick = lambda: palette[int(rng.integers(len(palette)))]  # noqa: E731
    image = Image.new("RGB", (side, side), pick())
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 9))):
        x, y = rng.integers(0, side, 2).tolist()
        w, h = rng.integers(24, 140, 2).tolist()
        box = (x - w // 2, y - h // 2, x + w // 2, y + h // 2)
        kind = rng.integers(4)
        if kind == 0:
            pen.ellipse(box, fill=pick())
        elif kind == 1:
            pen.ellipse(box, outline=pick(), width=int(rng.integers(8, 24)))
        elif kind == 2:
            points = [(float(a), float(b)) for a, b in rng.uniform(-100, 100, (int(rng.integers(3, 6)), 2)) + (x, y)]
            pen.polygon(points, fill=pick())
        else:
            pen.line((x, y, x + w, y + h), fill=pick(), width=int(rng.integers(6, 24)))
    return image.reduce(2)


def training_image(rng: np.random.Generator) -> Image.Image:
    """Two thirds the drawn world, one third clutter."""
    return _clutter(rng) if rng.random() < 1 / 3 else draw(random_scene(rng), rng)


def to_pixels(images: list[Image.Image]) -> torch.Tensor:
    """Images to pixels_BCHW in [-1, 1]."""
    stacked = np.stack([np.asarray(image, np.float32) for image in images])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous() / 127.5 - 1


def batch_of(rng: np.random.Generator, whole: bool) -> torch.Tensor:
    """Crops of random places, or whole images late in training."""
    if whole:
        return to_pixels([training_image(rng) for _ in range(WHOLE_BATCH)])
    crops = []
    for _ in range(CROP_BATCH // 2):
        image = training_image(rng)
        for _ in range(2):
            x, y = rng.integers(0, IMAGE_PX - CROP_PX + 1, 2).tolist()
            crops.append(image.crop((x, y, x + CROP_PX, y + CROP_PX)))
    return to_pixels(crops)


def _edges(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return pixels[..., 1:] - pixels[..., :-1], pixels[..., 1:, :] - pixels[..., :-1, :]


def vae_loss(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """L1 + MSE + L1 of neighbour differences (sharp edges) + a little KL, each a mean per element."""
    posterior: DiagonalGaussianDistribution = vae.encode(pixels).latent_dist
    restored = vae.decode(posterior.sample()).sample
    edges = sum(F.l1_loss(a, b) for a, b in zip(_edges(restored), _edges(pixels)))
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    return F.l1_loss(restored, pixels) + F.mse_loss(restored, pixels) + EDGE_WEIGHT * edges + KL_WEIGHT * kl


def psnr(vae: AutoencoderKL, images: list[Image.Image]) -> float:
    """Peak signal-to-noise ratio of encode + decode in dB, the mean over images."""
    with torch.no_grad():
        pixels = to_pixels(images)
        restored = vae.decode(vae.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)
        errors = (restored - pixels).square().mean(dim=(1, 2, 3)) / 4
    return float((-10 * errors.log10()).mean())


def train_vae(pace: Pace, seed: int, report: Callable[[str], None]) -> AutoencoderKL:
    """Trains from scratch for the time or steps of `pace`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    vae = build_vae()
    vae.to(memory_format=torch.channels_last)  # type: ignore[call-arg]
    optimizer = torch.optim.AdamW(vae.parameters(), lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
    test_rng = np.random.default_rng(seed + 1)
    test = [draw(random_scene(test_rng)) for _ in range(16)]
    for step in pace:
        optimizer.param_groups[0]["lr"] = pace.rate(PEAK_RATE)
        pixels = batch_of(rng, whole=pace.share > WHOLE_FROM).to(memory_format=torch.channels_last)
        with bf16_where_fast():
            loss = vae_loss(vae, pixels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            report(f"vae step {step} {pace.elapsed_s:.0f} s loss {loss.item():.4f} psnr {psnr(vae, test):.2f} dB")
    vae.to(memory_format=torch.contiguous_format)  # type: ignore[call-arg]
    return vae
