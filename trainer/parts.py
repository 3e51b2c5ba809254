"""The plug-in contracts on one page: Family, Network, Sink, and the values that pass between them.

Names carry shapes: B batch, C channels, H height, W width, T tokens, D width of a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trainer.contract.events import Event
from trainer.contract.families import Recognised


@dataclass(frozen=True)
class ModelFiles:
    """Where the base model lies: `path` a file, a diffusers folder or a hub id; `vae` a separate one or "".

    `prediction` is what the user insists on ("epsilon", "v"), "" to go by the model itself; `zero_snr` the same for
    zero terminal SNR (None: by the model itself)."""

    path: str
    recognised: Recognised
    vae: str = ""
    prediction: str = ""
    zero_snr: bool | None = None


@dataclass(frozen=True)
class LoadPlan:
    """How the base model is loaded. `attention`: "sdpa" or "xformers". `clip_skip` 1 is the last layer; `max_tokens` is
    75, 150 or 225. `encoders_only`: nothing but what captions need."""

    device: torch.device
    base_dtype: torch.dtype
    compute_dtype: torch.dtype
    attention: str = "sdpa"
    gradient_checkpointing: bool = False
    clip_skip: int = 1
    max_tokens: int = 75
    encoders_only: bool = False


@dataclass(frozen=True)
class DiscreteProcess:
    """A noising process in `betas` steps (DDPM): x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise, a = cumprod(1 - beta).

    `prediction`: "epsilon" (the model predicts the noise) or "v" (sqrt(a) noise - sqrt(1 - a) x_0)."""

    betas: tuple[float, ...]
    prediction: str = "epsilon"


Process = DiscreteProcess


@dataclass(frozen=True)
class SamplingDefaults:
    """What the family's own pipeline uses. `scheduler`: keyword arguments for any diffusers scheduler. `zero_negative`:
    without a negative prompt it guides away from zeros, not from an encoded empty text."""

    scheduler: Mapping[str, Any]
    zero_negative: bool = False


Conditioning = dict[str, Tensor]
"""Named tensors, batch first. Families whose captions differ in length pad them themselves and add a mask."""


@dataclass(frozen=True)
class BatchFacts:
    """Per image, in pixels: size before any change, top-left corner of the crop, and size trained at."""

    original_B2: Tensor
    crop_B2: Tensor
    target_B2: Tensor


@dataclass(frozen=True)
class Target:
    """A layer that an adapter may train: `key` is its name in the file without tensor suffix
    ("lora_unet_down_blocks_0_…"), `part` the family's part ("unet", "te1", "te2"), `path` the module's dotted path in
    it."""

    key: str
    part: str
    path: str
    module: nn.Module
    convolution: bool
    """True for what `conv_rank` adds: convolutions and time projections of the residual blocks."""


class Family(Protocol):
    """The tensor half of a model family: load, encode, predict, decode. It knows nothing of training."""

    process: Process
    sampling: SamplingDefaults
    latent_channels: int
    parts: Mapping[str, nn.Module]
    """"unet", "te1", "te2", "vae": what networks, checkpointing and memory act on."""

    def load(self, files: ModelFiles, plan: LoadPlan) -> None:
        """Load all parts, frozen, in eval mode. Problems (kind "model") says what is wrong with the files."""
        ...

    def release(self, part: str) -> None:
        """Drop a part from memory; using it afterwards is an error."""
        ...

    def encode_images(self, pixels_BCHW: Tensor, seeds: Sequence[int]) -> Tensor:
        """Pixels in [-1, 1] -> scaled latents, float32; the VAE's noise of each image is drawn from its seed."""
        ...

    def encode_captions(self, captions: Sequence[str], train: bool = False) -> Conditioning:
        """Captions -> conditioning; with gradients through the text encoder where `train`."""
        ...

    @property
    def vocabulary(self) -> str:
        """What the tokenizer's vocabulary is told apart by: captions encoded with another one are other captions."""
        ...

    def count_tokens(self, caption: str) -> int:
        """Tokens of a caption without begin and end marks."""
        ...

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning, facts: BatchFacts) -> Tensor:
        """The model's output at integer timesteps in [0, len(betas))."""
        ...

    def decode(self, latents_BCHW: Tensor) -> Tensor:
        """Scaled latents -> pixels in [0, 1], float32 on the CPU."""
        ...

    def targets(self, convolutions: bool, parts: Sequence[str]) -> list[Target]:
        """Layers to train in these parts, named as Kohya names them; those of the residual blocks only where asked."""
        ...


@dataclass(frozen=True)
class Piece:
    """Trained values with a rate of their own. `rate`: factor on their part's; `outer`: they start at zero beside
    others that do not (LoRA's up matrices)."""

    values: nn.Parameter
    rate: float = 1.0
    outer: bool = False


class Network(Protocol):
    """An adapter over a family's targets."""

    modules: Mapping[str, nn.Module]
    """Target key -> adapter module, in the order of the file."""

    def attach(self) -> None:
        """Make the base model's layers apply the adapter."""
        ...

    def detach(self) -> None:
        """Give the base model its own layers back."""
        ...

    def parameters(self, part: str) -> list[nn.Parameter]:
        """Trained values of one part ("unet", "te1"), float32."""
        ...

    def pieces(self, part: str) -> Iterator[Piece]:
        """The same with the factors on their rate, in the same order."""
        ...

    def enabled(self, on: bool) -> None:
        """Switch the adapter's effect without detaching it."""
        ...

    def training(self, on: bool) -> None:
        """Training mode (dropout) on or off."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What is saved: key -> float32 CPU tensor, in Kohya's names."""
        ...

    def peft_tensors(self) -> dict[str, Tensor]:
        """The same in the names of PEFT and diffusers; ValueError for what they do not have."""
        ...

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take values as saved by `tensors`."""
        ...

    def begin(self, tensors: Mapping[str, Tensor]) -> None:
        """Start from the values of another adapter's file. Problems where they do not fit."""
        ...

    def shrink(self, limit: float, fine: Tensor) -> None:
        """Scale each layer's update down to norm `limit`, where `fine` (0-dim, on the device) is true."""
        ...

    def norm(self) -> Tensor:
        """Frobenius norm of all that the adapter adds to the model's weights, on their device: not yet read."""
        ...

    def changes(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Of each layer: its part, what the adapter adds to the layer's weight, and that weight."""
        ...

    def facts(self) -> Iterator[tuple[str, str]]:
        """`ss_network_*` metadata of the file."""
        ...


class Sink(Protocol):
    """Something that hears every event of a run."""

    def write(self, event: Event) -> None:
        """Take one event; must not raise for what lies outside the run (a full disk, a lost connection)."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...
