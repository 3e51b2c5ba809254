"""Stable Diffusion 1.x: a U-Net on 4-channel latents, CLIP-L text, 1000 steps of epsilon (or v) prediction.

Names carry shapes: B batch, C channels, H height, W width, T tokens, D width of a token.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainer.contract.families import recognise, untrained
from trainer.contract.families.recognise import is_hub_id
from trainer.contract.problems import Problem, Problems
from trainer.parts import (
    BatchFacts,
    Conditioning,
    DiscreteProcess,
    LoadPlan,
    ModelFiles,
    SamplingDefaults,
    Target,
)

from . import clip, hub, sd1_files

_ATTENTION_BLOCKS = ("Transformer2DModel",)
_RESIDUAL_BLOCKS = ("ResnetBlock2D", "Downsample2D", "Upsample2D")
_TEXT_BLOCKS = ("CLIPAttention", "CLIPMLP")


class StableDiffusion1:
    """The tensor half of Stable Diffusion 1.x; see `parts.Family`."""

    latent_channels = 4

    def __init__(self) -> None:
        self.parts: dict[str, nn.Module] = {}
        self.process = DiscreteProcess(betas=())
        self.sampling = SamplingDefaults(scheduler={})
        self._tokenizer: Any = None
        self._plan: LoadPlan | None = None
        self._scaling = 1.0

    def load(self, files: ModelFiles, plan: LoadPlan) -> None:
        """Load U-Net, text encoder, VAE and tokenizer, frozen. The VAE stays in float, whose fp16 overflows on some
        models; it is used for moments only and then released."""
        _check_formats(plan)
        place = Path(files.path).expanduser()
        recognised = files.recognised
        if not place.exists() and is_hub_id(files.path):
            place = hub.snapshot(files.path)
            recognised = recognise(str(place))
        if not recognised.trained:
            raise Problems([untrained(files.path, recognised)])
        loaded = sd1_files.load(place, recognised, files.vae, plan.base_dtype)
        if plan.clip_skip > loaded.text_encoder.config.num_hidden_layers:
            layers = loaded.text_encoder.config.num_hidden_layers
            raise Problems(
                [Problem("captions.clip_skip", f"the text encoder has {layers} layers", f"at most {layers}")]
            )
        self._plan, self._tokenizer = plan, loaded.tokenizer
        self._scaling = float(loaded.vae.config.scaling_factor)
        self.parts = {"unet": loaded.unet, "te1": loaded.text_encoder, "vae": loaded.vae}
        for part in self.parts.values():
            part.to(plan.device).requires_grad_(False).eval()
        self._set_process(loaded.scheduler, files.prediction or recognised.prediction)
        self._choose_attention(plan)

    def _set_process(self, scheduler: Mapping[str, Any], prediction: str) -> None:
        from diffusers.schedulers import DDPMScheduler

        zero_snr = bool(scheduler.get("rescale_betas_zero_snr", False))
        common = {
            "num_train_timesteps": int(scheduler.get("num_train_timesteps", 1000)),
            "beta_start": float(scheduler.get("beta_start", 0.00085)),
            "beta_end": float(scheduler.get("beta_end", 0.012)),
            "beta_schedule": str(scheduler.get("beta_schedule", "scaled_linear")),
            "prediction_type": "v_prediction" if prediction == "v" else "epsilon",
        }
        betas: Tensor = DDPMScheduler(**common, rescale_betas_zero_snr=zero_snr).betas  # type: ignore[attr-defined]
        self.process = DiscreteProcess(tuple(betas.double().tolist()), prediction)
        own = {"clip_sample": False, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1}
        spacing = "trailing" if zero_snr else "leading"
        self.sampling = SamplingDefaults(
            {**common, **own, "timestep_spacing": spacing, "rescale_betas_zero_snr": zero_snr}
        )

    def _choose_attention(self, plan: LoadPlan) -> None:
        unet: Any = self.parts["unet"]
        encoder: Any = self.parts["te1"]
        if plan.attention == "xformers":
            try:
                unet.enable_xformers_memory_efficient_attention()
            except Exception as error:
                raise Problems(
                    [Problem("memory.attention", f"xformers does not work here: {str(error)[:160]}", "choose sdpa")]
                ) from None
        if plan.gradient_checkpointing:
            unet.enable_gradient_checkpointing()
            encoder.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
            encoder.train()  # transformers checkpoints in training mode only; CLIP has no dropout

    def release(self, part: str) -> None:
        """Drop a part; its memory is free once nothing else refers to it."""
        del self.parts[part]
        if self.plan.device.type == "cuda":
            torch.cuda.empty_cache()

    @property
    def plan(self) -> LoadPlan:
        """How the model was loaded; RuntimeError before `load`."""
        if self._plan is None:
            raise RuntimeError("the model is not loaded")
        return self._plan

    def _computing(self) -> contextlib.AbstractContextManager[Any]:
        """Autocast, only where the base is kept in float but computed in half precision."""
        plan = self.plan
        if plan.base_dtype == plan.compute_dtype:
            return contextlib.nullcontext()
        return torch.autocast(plan.device.type, plan.compute_dtype)

    @torch.no_grad()
    def encode_images(self, pixels_BCHW: Tensor, seeds: Sequence[int]) -> Tensor:
        """Pixels in [-1, 1] -> a draw from the VAE's posterior, times the scaling factor (float32).

        Each image's noise is drawn on the CPU from its own seed, so that it depends on no batch and no device."""
        vae: Any = self.parts["vae"]
        posterior = vae.encode(pixels_BCHW.to(self.plan.device, torch.float32)).latent_dist
        shape = posterior.mean.shape[1:]
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        latents = posterior.mean + posterior.std * torch.stack(noise).to(posterior.mean)
        scaled: Tensor = latents * self._scaling
        return scaled

    @torch.no_grad()
    def decode(self, latents_BCHW: Tensor) -> Tensor:
        """Scaled latents -> pixels in [0, 1], float32 on the CPU."""
        vae: Any = self.parts["vae"]
        latents = latents_BCHW.to(self.plan.device, torch.float32) / self._scaling
        pixels: Tensor = vae.decode(latents, return_dict=False)[0]
        return (pixels / 2 + 0.5).clamp(0, 1).cpu()

    @property
    def vocabulary(self) -> str:
        """A hash of the tokens and their numbers."""
        return clip.vocabulary_hash(self._tokenizer)

    def count_tokens(self, caption: str) -> int:
        """CLIP's tokens of a caption, without begin and end marks."""
        return len(clip.token_ids(self._tokenizer, caption))

    def encode_captions(self, captions: Sequence[str], train: bool = False) -> Conditioning:
        """{"text": hidden states [B, T, D]}, T = 77, 152 or 227, as the U-Net's cross-attention takes them.

        Gradients flow where `train`, except within `torch.no_grad()`: validation keeps no activations."""
        ids = clip.pieces(self._tokenizer, captions, self.plan.max_tokens).to(self.plan.device)
        with torch.set_grad_enabled(train and torch.is_grad_enabled()), self._computing():
            return {"text": clip.encode(self.parts["te1"], ids, self.plan.clip_skip)}

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning, facts: BatchFacts) -> Tensor:
        """The U-Net's answer (noise, or v), float32. Stable Diffusion 1.x takes no sizes: `facts` is not used."""
        unet: Any = self.parts["unet"]
        dtype = self.plan.base_dtype
        with self._computing():
            answer: Tensor = unet(noisy_BCHW.to(dtype), timesteps_B, conditioning["text"].to(dtype), return_dict=False)[
                0
            ]
        return answer.float()

    def targets(self, convolutions: bool, parts: Sequence[str]) -> list[Target]:
        """Kohya's layers under Kohya's names: 192 in the U-Net (278 with convolutions), 72 in the text encoder."""
        found: list[Target] = []
        if "te1" in parts:
            found += _find(self.parts["te1"], "te1", "lora_te_text_model_", _TEXT_BLOCKS, False)
        if "unet" in parts:
            found += _find(self.parts["unet"], "unet", "lora_unet_", _ATTENTION_BLOCKS, False)
            if convolutions:
                found += _find(self.parts["unet"], "unet", "lora_unet_", _RESIDUAL_BLOCKS, True)
        return found


def _check_formats(plan: LoadPlan) -> None:
    if plan.base_dtype not in (torch.float32, plan.compute_dtype):
        raise Problems(
            [
                Problem(
                    "precision.base",
                    "a half-precision base is computed in its own format only",
                    "set it to the same as precision.compute, or to float",
                )
            ]
        )


def _find(part: nn.Module, name: str, prefix: str, blocks: Sequence[str], residual: bool) -> list[Target]:
    """Linear and Conv2d layers inside blocks of these classes, in the model's own order. A block's class is matched by
    name, as Kohya does."""
    found = []
    for path, block in part.named_modules():
        if type(block).__name__ not in blocks:
            continue
        for inner, layer in block.named_modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                full = f"{path}.{inner}" if inner else path
                found.append(Target(prefix + full.replace(".", "_"), name, full, layer, residual))
    return found
