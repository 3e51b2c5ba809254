"""Links of one flag with one setting, and of the few that only need a table of words."""

from __future__ import annotations

from . import loose
from .links import Link, choice, one, turned

_SAMPLERS = {
    "ddim": "ddim",
    "euler": "euler",
    "k_euler": "euler",
    "euler_a": "euler_a",
    "k_euler_a": "euler_a",
    "dpmsolver++": "dpm++ 2m",
    "dpmsolver": "dpm++ 2m",
    "pndm": "pndm",
}
"""sd-scripts' samplers -> ours."""

_FORMATS = {"no": "float", "fp16": "fp16", "bf16": "bf16"}
_SAVED = {"float": "float", None: "float", "fp16": "fp16", "bf16": "bf16"}

NOISE: tuple[Link, ...] = (
    choice("loss_type", "noise.loss", {name: name for name in ("l2", "l1", "huber", "smooth_l1")}),
    one("huber_c", "noise.huber_c", loose.number),
    one("huber_schedule", "noise.huber_schedule", loose.text),
    one("huber_scale", "noise.huber_scale", loose.number),
    one("min_snr_gamma", "noise.min_snr_gamma", loose.number, 0.0),
    one("noise_offset", "noise.noise_offset", loose.number, 0.0),
    one("noise_offset_random_strength", "noise.noise_offset_random", loose.flag),
    one("adaptive_noise_scale", "noise.adaptive_noise_scale", loose.number, 0.0),
    one("ip_noise_gamma", "noise.perturbation", loose.number, 0.0),
    one("ip_noise_gamma_random_strength", "noise.perturbation_random", loose.flag),
    one("debiased_estimation_loss", "noise.debiased", loose.flag),
    one("scale_v_pred_loss_like_noise_pred", "noise.scale_v_like_noise", loose.flag),
    one("v_pred_like_loss", "noise.v_like", loose.number, 0.0),
    one("min_timestep", "noise.timestep_min", loose.whole, 0),
    one("max_timestep", "noise.timestep_max", loose.whole, 1000),
)

CAPTIONS: tuple[Link, ...] = (
    one("shuffle_caption", "captions.shuffle", loose.flag),
    one("caption_separator", "captions.separator", loose.text, ","),
    one("keep_tokens_separator", "captions.keep_separator", loose.text, ""),
    one("secondary_separator", "captions.secondary_separator", loose.text, ""),
    one("caption_dropout_rate", "captions.dropout", loose.number, 0.0),
    one("caption_tag_dropout_rate", "captions.tag_dropout", loose.number, 0.0),
    one("token_warmup_min", "captions.tag_warmup_min", loose.whole, 1),
    one("caption_suffix", "captions.suffix", loose.text, ""),
    choice("max_token_length", "captions.max_tokens", {None: 75, 75: 75, 150: 150, 225: 225}),
)

IMAGES: tuple[Link, ...] = (
    one("enable_bucket", "dataset.buckets", loose.flag),
    one("min_bucket_reso", "dataset.bucket_min", loose.whole),
    one("max_bucket_reso", "dataset.bucket_max", loose.whole),
    turned("bucket_no_upscale", "dataset.enlarge"),
    one("flip_aug", "dataset.flip", loose.flag),
    Link(
        ("random_crop",),
        ("dataset.crop",),
        lambda flags: {"dataset.crop": "random" if loose.flag(flags["random_crop"]) else "centre"},
        lambda preset: {"random_crop": preset.dataset.crop == "random"},
    ),
    one("prior_loss_weight", "dataset.regularisation_weight", loose.number),
)

COURSE: tuple[Link, ...] = (
    one("pretrained_model_name_or_path", "model.path", loose.text, ""),
    one("vae", "model.vae", loose.text, ""),
    one("train_batch_size", "training.batch_size", loose.whole),
    one("gradient_accumulation_steps", "training.accumulate", loose.whole),
    one("max_grad_norm", "optimizer.max_grad_norm", loose.number),
    choice("mixed_precision", "precision.compute", _FORMATS, "bf16"),
    choice("save_precision", "precision.save", _SAVED),
    one("gradient_checkpointing", "memory.gradient_checkpointing", loose.flag),
    one("vae_batch_size", "memory.vae_batch_size", loose.whole, 1),
    one("sample_at_first", "sampling.at_start", loose.flag),
    choice("sample_sampler", "sampling.sampler", _SAMPLERS, "euler_a"),
    one("metadata_title", "saving.title", loose.text, ""),
    one("metadata_author", "saving.author", loose.text, ""),
    one("training_comment", "saving.comment", loose.text, ""),
)
