"""What the comparison with sd-scripts is made of: tiny models, inputs and options that both sides build alike.

Every value (weights, latents, noise, adapters) is a function of its name, by numpy's frozen `RandomState`: nothing but
results needs to be kept. `tests/golden/parity/record.py` runs the real sd-scripts on the cases and keeps what it says,
`tests/integration/test_sdscripts_parity.py` runs ours. Torch and numpy only, since both import it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

RANK, ALPHA, CONV_RANK, CONV_ALPHA = 4, 2.0, 2, 1.0

SD15_UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [16, 24, 32, 32],
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "attention_head_dim": 2,
    "cross_attention_dim": 24,
}
"""Stable Diffusion 1.5's U-Net with all its blocks, in narrow."""

SDXL_UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [32, 64, 128],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 1, 2],
    "norm_num_groups": 8,
    "attention_head_dim": [1, 1, 2],
    "cross_attention_dim": 24,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 6 * 256 + 16,
}
"""SDXL's, in narrow and with fewer transformers in a block."""

UNETS = {"sd15": SD15_UNET, "sdxl": SDXL_UNET}


def _encoder(width: int, layers: int, act: str, **more: Any) -> dict[str, Any]:
    sizes = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_attention_heads": 2,
        "num_hidden_layers": layers,
    }
    words = {"vocab_size": 604, "bos_token_id": 602, "eos_token_id": 603, "pad_token_id": 603}
    return {**sizes, **words, "hidden_act": act, "max_position_embeddings": 77, **more}


ENCODERS: dict[str, dict[str, dict[str, Any]]] = {
    "sd15": {"te1": _encoder(24, 3, "quick_gelu")},
    "sdxl": {"te1": _encoder(10, 12, "quick_gelu"), "te2": _encoder(14, 3, "gelu", projection_dim=16)},
}
"""The text encoders, in narrow; SDXL's first has all its layers, since sd-scripts takes its eleventh by number."""

CAPTIONS = ("a blue circle on a green background", "zorb badge")
IDS = ((602, 320, 596, 594, 519, 320, 590, 599, 603), (602, 89, 78, 81, 321, 598, 67, 70, 324, 603))
"""What the tokenizer of the demo model makes of them."""

LATENT = (4, 16, 8)
TOKENS, TEXT, POOLED = 5, 24, 16
SIZES = (("original", (900, 1400), (512, 700)), ("corner", (24, 0), (0, 160)), ("target", (1024, 768), (1024, 768)))
"""What SDXL is told of two images: height and width, top and left, height and width."""


def values(name: str, shape: Iterable[int]) -> Tensor:
    """Normal values, float32."""
    drawn = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    return torch.from_numpy(drawn.astype(np.float32))


def share(name: str) -> float:
    """A number between 0 and 1."""
    return float(np.random.RandomState(zlib.crc32(name.encode())).random_sample())


def weights(shapes: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """A model's tensors by their names in the original layout, of a size that keeps its answers near 1."""
    return {name: _weight(name, tuple(shape)) for name, shape in shapes.items()}


def _weight(name: str, shape: tuple[int, ...]) -> Tensor:
    drawn = values(name, shape)
    if len(shape) > 1:
        return drawn / np.sqrt(np.prod(shape[1:]))
    return 0.1 * drawn + (1.0 if name.endswith("weight") else 0.0)


def adapter(shapes: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """An adapter's `lora_down` and `lora_up` by their names in the file; not zero, so that both have gradients."""
    return {name: _weight(name, tuple(shape)) * (0.3 if "lora_up" in name else 1.0) for name, shape in shapes.items()}


def text_weights(part: str, shapes: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """A text encoder's tensors by the names that transformers has for them, with or without `text_model.`."""
    return {name: _weight(f"{part}.{name.removeprefix('text_model.')}", tuple(sides)) for name, sides in shapes.items()}


def cases(kind: str) -> tuple[Case, ...]:
    """Those of a kind of model."""
    return tuple(case for case in CASES if case.only in ("", kind))


def projected(trained: Mapping[str, Tensor]) -> dict[str, tuple[float, float]]:
    """Of each adapted layer: its gradient along one direction and its norm; 0 for a layer that took no part. The
    direction is normal with deviation 1, so that what two gradients differ by shows in full size."""
    found: dict[str, list[float]] = {}
    for name, value in trained.items():
        row = found.setdefault(name.split(".")[0], [0.0, 0.0])
        if value.grad is not None:
            gradient = value.grad.double()
            row[0] += float((gradient * values("along " + name, gradient.shape).double()).sum())
            row[1] += float(gradient.square().sum())
    return {key: (along, square**0.5) for key, (along, square) in sorted(found.items())}


@dataclass(frozen=True)
class Case:
    """One step. `theirs`: arguments of sd-scripts; `ours`: settings of the noise section. `timesteps`: one an image.
    `mask`: the loss is weighed place by place. `close`: how far losses may be apart, relative to them.
    `words`: the captions go through the text encoders, whose adapters learn too. `only`: of one kind of model."""

    name: str
    theirs: Mapping[str, Any] = field(default_factory=dict)
    ours: Mapping[str, Any] = field(default_factory=dict)
    prediction: str = "epsilon"
    zero_snr: bool = False
    timesteps: tuple[int, ...] = (37, 811)
    mask: bool = False
    close: float = 1e-5
    words: bool = False
    clip_skip: int = 1
    only: str = ""

    @property
    def batch(self) -> int:
        """Images."""
        return len(self.timesteps)

    def latents(self) -> Tensor:
        """With a mean of its own in each channel, for the adaptive noise offset."""
        means = torch.tensor([0.8, -0.5, 0.1, -1.2]).view(1, 4, 1, 1)
        return values("latents", (2, *LATENT))[: self.batch] + means

    def text(self) -> Tensor:
        """What the captions became [B, T, D]."""
        return values("text", (2, TOKENS, TEXT))[: self.batch]

    def ids(self, pad: int = 603) -> Tensor:
        """The captions' tokens [B, 1, 77]."""
        rows = [[*row, *[pad] * (77 - len(row))] for row in IDS[: self.batch]]
        return torch.tensor(rows)[:, None]

    def pooled(self) -> Tensor:
        """SDXL's second kind of it [B, D]."""
        return values("pooled", (2, POOLED))[: self.batch]

    def sizes(self) -> dict[str, Tensor]:
        """SDXL's six numbers in three pairs, height or top first [B, 2]."""
        return {name: torch.tensor(rows[: self.batch], dtype=torch.float32) for name, *rows in SIZES}

    def weights_of_places(self) -> Tensor:
        """The mask [B, 1, H, W], between 0 and 1."""
        return values("mask", (2, 1, *LATENT[1:]))[: self.batch].sigmoid()


# At timestep 0 sd-scripts' ratio, in float32, is 2.6e-5 off (1 - 0.99915 loses digits); ours is taken in float64.

ONE = (530,)
"""For what sd-scripts draws or measures once a batch and we once a look: a batch of one is the same for both."""

LAST = (400, 999)


def _huber() -> list[Case]:
    cases = []
    for loss in ("huber", "smooth_l1"):
        for schedule in ("constant", "exponential", "snr"):
            theirs = {"loss_type": loss, "huber_schedule": schedule, "huber_c": 0.2, "huber_scale": 1.5}
            ours = {"loss": loss, "huber_schedule": schedule, "huber_c": 0.2, "huber_scale": 1.5}
            cases.append(Case(f"{loss} {schedule}", theirs, ours))
    return cases


CASES: tuple[Case, ...] = (
    Case("l2"),
    Case("l1", {"loss_type": "l1"}, {"loss": "l1"}),
    *_huber(),
    Case("min-snr 5", {"min_snr_gamma": 5.0}, {"min_snr_gamma": 5.0}),
    Case("min-snr 1", {"min_snr_gamma": 1.0}, {"min_snr_gamma": 1.0}, timesteps=(20, 450)),
    Case("min-snr at 0", {"min_snr_gamma": 5.0}, {"min_snr_gamma": 5.0}, timesteps=(0, 999), close=5e-5),
    Case("debiased", {"debiased_estimation_loss": True}, {"debiased": True}, timesteps=(0, 999)),
    Case("v-like", {"v_pred_like_loss": 0.5}, {"v_like": 0.5}, timesteps=(0, 999)),
    Case("noise offset", {"noise_offset": 0.1}, {"noise_offset": 0.1}),
    Case(
        "noise offset at random",
        {"noise_offset": 0.1, "noise_offset_random_strength": True},
        {"noise_offset": 0.1, "noise_offset_random": True},
        timesteps=ONE,
    ),
    Case(
        "adaptive noise offset",
        {"noise_offset": 0.1, "adaptive_noise_scale": 0.05},
        {"noise_offset": 0.1, "adaptive_noise_scale": 0.05},
    ),
    Case(
        "adaptive noise offset below 0",
        {"noise_offset": 0.05, "adaptive_noise_scale": -0.1},
        {"noise_offset": 0.05, "adaptive_noise_scale": -0.1},
    ),
    Case(
        "multi-resolution noise",
        {"multires_noise_iterations": 6, "multires_noise_discount": 0.3},
        {"multires_iterations": 6, "multires_discount": 0.3},
        timesteps=ONE,
    ),
    Case(
        "multi-resolution noise, strong",
        {"multires_noise_iterations": 2, "multires_noise_discount": 0.8},
        {"multires_iterations": 2, "multires_discount": 0.8},
        timesteps=ONE,
    ),
    Case("perturbation", {"ip_noise_gamma": 0.1}, {"perturbation": 0.1}),
    Case(
        "perturbation at random",
        {"ip_noise_gamma": 0.2, "ip_noise_gamma_random_strength": True},
        {"perturbation": 0.2, "perturbation_random": True},
        timesteps=ONE,
    ),
    Case("mask", mask=True),
    Case(
        "many at once",
        {
            "loss_type": "huber",
            "huber_schedule": "snr",
            "min_snr_gamma": 5.0,
            "noise_offset": 0.05,
            "ip_noise_gamma": 0.1,
        },
        {"loss": "huber", "huber_schedule": "snr", "min_snr_gamma": 5.0, "noise_offset": 0.05, "perturbation": 0.1},
        mask=True,
    ),
    Case("captions", words=True),
    Case(
        "captions, clip skip 2",
        {"clip_skip": 2, "loss_type": "l1"},
        {"loss": "l1"},
        words=True,
        clip_skip=2,
        only="sd15",
    ),
    Case("v", prediction="v"),
    Case("v, min-snr 5", {"min_snr_gamma": 5.0}, {"min_snr_gamma": 5.0}, "v"),
    Case("v, debiased", {"debiased_estimation_loss": True}, {"debiased": True}, "v", timesteps=(0, 999)),
    Case(
        "v, scaled like noise",
        {"scale_v_pred_loss_like_noise_pred": True},
        {"scale_v_like_noise": True},
        "v",
        timesteps=(0, 999),
    ),
    Case("v, noise offset", {"noise_offset": 0.1}, {"noise_offset": 0.1}, "v"),
    Case("v, zero terminal SNR", prediction="v", zero_snr=True, timesteps=LAST),
    Case(
        "v, zero terminal SNR, huber snr",
        {"loss_type": "smooth_l1", "huber_schedule": "snr", "huber_c": 0.2},
        {"loss": "smooth_l1", "huber_schedule": "snr", "huber_c": 0.2},
        "v",
        True,
        LAST,
    ),
    Case("v, zero terminal SNR, min-snr 5", {"min_snr_gamma": 5.0}, {"min_snr_gamma": 5.0}, "v", True, LAST),
)

STALE_SNR = ("v, zero terminal SNR, min-snr 5",)
"""Where we do not follow: sd-scripts tabulates the signal-to-noise ratio before it changes the schedule."""
