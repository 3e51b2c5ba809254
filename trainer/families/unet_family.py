"""What all families with a U-Net, CLIP and a VAE share: loading, the noising process, images, layers. What the captions
become and what the U-Net is asked stands in each family's own file.

Names carry shapes: B batch, C channels, H height, W width, T tokens, D width of a token.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trainer.contract.families import recognise, untrained
from trainer.contract.families.facts import UNetFacts
from trainer.contract.families.recognise import is_hub_id
from trainer.contract.problems import Problem, Problems
from trainer.parts import Conditioning, DiscreteProcess, LoadPlan, ModelFiles, SamplingDefaults, Target

from . import clip, hub
from . import files as model_files
from .loading import placed

_ATTENTION_BLOCKS = ("Transformer2DModel",)
_RESIDUAL_BLOCKS = ("ResnetBlock2D", "Downsample2D", "Upsample2D")
_TEXT_BLOCKS = ("CLIPAttention", "CLIPMLP")


class UNetFamily:
    """The shared half of the families; see `parts.Family`. `facts`: the torch-free half; `layout`: its files."""

    facts: ClassVar[UNetFacts]
    layout: ClassVar[model_files.Layout]
    latent_channels = 4

    def __init__(self) -> None:
        self.parts: dict[str, nn.Module] = {}
        self.process = DiscreteProcess(betas=())
        self.sampling = SamplingDefaults(scheduler={})
        self._tokenizers: dict[str, Any] = {}
        self._plan: LoadPlan | None = None
        self._scaling = 1.0

    def load(self, files: ModelFiles, plan: LoadPlan) -> None:
        """Load U-Net, text encoders, VAE and tokenizers, frozen. The VAE stays in float, whose fp16 overflows on some
        models (all of SDXL's own); it is used for moments only and then released."""
        _check_formats(plan)
        place, recognised = Path(files.path).expanduser(), files.recognised
        if not place.exists() and is_hub_id(files.path):
            place = hub.snapshot(files.path)
            recognised = recognise(str(place))
        if not recognised.trained:
            raise Problems([untrained(files.path, recognised)])
        if recognised.family != self.facts.name:
            why = f"{files.path} is {recognised.family}, not {self.facts.name} as its name lets expect"
            raise Problems([Problem("model.path", why, "start again: it is known now", "model")])
        loaded = model_files.load(self.layout, place, recognised, files.vae, plan.base_dtype, plan.encoders_only)
        self._plan, self._tokenizers, self.parts = plan, loaded.tokenizers, loaded.parts
        self._check_clip_skip(plan)
        for part in self.parts.values():
            placed(part, plan.device).requires_grad_(False).eval()
        if plan.encoders_only:
            return
        self._scaling = float(self._vae.config.scaling_factor)
        zero_snr = recognised.zero_snr if files.zero_snr is None else files.zero_snr
        self._set_process(loaded.scheduler, files.prediction or recognised.prediction, zero_snr, loaded.index)
        self._choose_attention(plan)

    @property
    def _unet(self) -> Any:
        return self.parts["unet"]

    @property
    def _vae(self) -> Any:
        return self.parts["vae"]

    def _check_clip_skip(self, plan: LoadPlan) -> None:
        encoder: Any = self.parts["te1"]
        layers = encoder.config.num_hidden_layers
        if self.facts.takes_clip_skip and plan.clip_skip > layers:
            why = f"the text encoder has {layers} layers"
            raise Problems([Problem("captions.clip_skip", why, f"at most {layers}")])

    def _set_process(
        self, scheduler: Mapping[str, Any], prediction: str, zero_snr: bool, index: Mapping[str, Any]
    ) -> None:
        """The noising that the model was trained with. Zero terminal SNR rescales the betas so that the last step is
        pure noise, and is sampled from that step on (arXiv 2305.08891)."""
        from diffusers.schedulers import DDPMScheduler

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
        full = {**common, **own, "timestep_spacing": spacing, "rescale_betas_zero_snr": zero_snr}
        self.sampling = SamplingDefaults(full, self._without_negative(index))

    @staticmethod
    def _without_negative(index: Mapping[str, Any]) -> bool:
        """Whether the family's pipeline takes zeros where no negative prompt is given, not an encoded empty text."""
        return False

    def _choose_attention(self, plan: LoadPlan) -> None:
        if plan.attention == "xformers":
            try:
                self._unet.enable_xformers_memory_efficient_attention()
            except Exception as error:
                raise Problems(
                    [Problem("memory.attention", f"xformers does not work here: {str(error)[:160]}", "choose sdpa")]
                ) from None
        if plan.gradient_checkpointing:
            self._unet.enable_gradient_checkpointing()
            encoders: list[Any] = [part for name, part in self.parts.items() if name.startswith("te")]
            for encoder in encoders:
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
        posterior = self._vae.encode(pixels_BCHW.to(self.plan.device, torch.float32)).latent_dist
        shape = posterior.mean.shape[1:]
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        latents = posterior.mean + posterior.std * torch.stack(noise).to(posterior.mean)
        scaled: Tensor = latents * self._scaling
        return scaled

    @torch.no_grad()
    def decode(self, latents_BCHW: Tensor) -> Tensor:
        """Scaled latents -> pixels in [0, 1], float32 on the CPU."""
        latents = latents_BCHW.to(self.plan.device, torch.float32) / self._scaling
        pixels: Tensor = self._vae.decode(latents, return_dict=False)[0]
        return (pixels / 2 + 0.5).clamp(0, 1).cpu()

    @property
    def vocabulary(self) -> str:
        """A hash of the tokens and their numbers, of all tokenizers."""
        return "-".join(dict.fromkeys(clip.vocabulary_hash(one) for one in self._tokenizers.values()))

    def count_tokens(self, caption: str) -> int:
        """CLIP's tokens of a caption, without begin and end marks."""
        return len(clip.token_ids(self._tokenizers["te1"], caption))

    def _ids(self, part: str, captions: Sequence[str], pad: int | None) -> Tensor:
        """Token ids [B, P, 77] of captions for one encoder, on the device."""
        ids = clip.pieces(self._tokenizers[part], captions, self.plan.max_tokens, pad)
        return ids.to(self.plan.device)

    def _ask(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning, **more: Any) -> Tensor:
        """The U-Net's answer (noise, or v), float32."""
        dtype = self.plan.base_dtype
        with self._computing():
            text = conditioning["text"].to(dtype)
            answer: Tensor = self._unet(noisy_BCHW.to(dtype), timesteps_B, text, return_dict=False, **more)[0]
        return answer.float()

    def targets(self, convolutions: bool, parts: Sequence[str]) -> list[Target]:
        """Kohya's layers under Kohya's names: encoders first, then the U-Net, each in its own order."""
        found: list[Target] = []
        for part in (name for name in self.parts if name.startswith("te") and name in parts):
            found += self._find(part, _TEXT_BLOCKS, False)
        if "unet" in parts:
            found += self._find("unet", _ATTENTION_BLOCKS, False)
            if convolutions:
                found += self._find("unet", _RESIDUAL_BLOCKS, True)
        return found

    def _find(self, part: str, blocks: Sequence[str], residual: bool) -> list[Target]:
        """Linear and Conv2d layers inside blocks of these classes, in the model's own order. A block's class is matched
        by name, as Kohya does."""
        found = []
        for path, block in self.parts[part].named_modules():
            if type(block).__name__ not in blocks:
                continue
            for inner, layer in block.named_modules():
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    full = f"{path}.{inner}" if inner else path
                    found.append(Target(self.facts.key_of(part, full), part, full, layer, residual))
        return found


def _check_formats(plan: LoadPlan) -> None:
    if plan.base_dtype not in (torch.float32, plan.compute_dtype):
        why = "a half-precision base is computed in its own format only"
        fix = "set it to the same as precision.compute, or to float"
        raise Problems([Problem("precision.base", why, fix)])
