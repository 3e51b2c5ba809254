"""The keys of kohya_ss's LoRA presets that are not flags of the same name: what they stand for, or why they are left.

All keys with the values that its form begins with are recorded in `kohya_gui_defaults.json`.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from .fates import _spread


@lru_cache(maxsize=1)
def defaults() -> dict[str, Any]:
    """Every key that the LoRA tab saves, with the value that the form begins with."""
    text = (Path(__file__).parent / "kohya_gui_defaults.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["defaults"]
    return found


ON_LOADING = {"optimizer": "AdamW"}
"""Keys that get another value than the form's where a preset that is loaded has none."""

NO_DEFAULT = ("pretrained_model_name_or_path", "output_name")
"""Keys whose value in the form is a mere beginning: a preset that has none does not mean it."""


RENAMED: dict[str, str] = {
    "max_resolution": "resolution",
    "optimizer": "optimizer_type",
    "LoRA_type": "network_module",
    "lr_warmup": "lr_warmup_steps",
    "sdxl_no_half_vae": "no_half_vae",
    "sdxl_cache_text_encoder_outputs": "cache_text_encoder_outputs",
    "sd3_clip_l": "clip_l",
    "sd3_t5xxl": "t5xxl",
    "sd3_clip_l_dropout_rate": "clip_l_dropout_rate",
    "sd3_t5_dropout_rate": "t5_dropout_rate",
    "sd3_disable_mmap_load_safetensors": "disable_mmap_load_safetensors",
    "sd3_enable_scaled_pos_embed": "enable_scaled_pos_embed",
    "sd3_fused_backward_pass": "fused_backward_pass",
    "sd3_text_encoder_batch_size": "text_encoder_batch_size",
    "hunyuan_text_encoder": "text_encoder",
    "anima_compile": "compile",
    "constrain": "network_args.constraint",
    "LyCORIS_preset": "network_args.preset",
}
"""Key -> flag."""

FAMILIES: dict[str, tuple[str, str]] = {
    "sdxl": ("sdxl_train_network", "SDXL"),
    "flux1_checkbox": ("flux_train_network", "FLUX.1"),
    "sd3_checkbox": ("sd3_train_network", "SD 3"),
    "hunyuan_image_checkbox": ("hunyuan_image_train_network", "HunyuanImage 2.1"),
    "anima_checkbox": ("anima_train_network", "Anima"),
    "lumina_checkbox": ("lumina_train_network", "Lumina-Image 2"),
}
"""Check box -> sd-scripts' program and the family's name, in the order in which kohya_ss looks at them."""

BLOCKS = [
    "down_lr_weight",
    "mid_lr_weight",
    "up_lr_weight",
    "block_lr_zero_threshold",
    "block_dims",
    "block_alphas",
    "conv_block_dims",
    "conv_block_alphas",
]
"""What is given block by block."""

NETWORK_MEMBERS = [
    "conv_dim",
    "conv_alpha",
    "rank_dropout",
    "module_dropout",
    *BLOCKS,
    "unit",
    "loraplus_lr_ratio",
    "loraplus_unet_lr_ratio",
    "loraplus_text_encoder_lr_ratio",
    "img_attn_dim",
    "txt_attn_dim",
    "img_mlp_dim",
    "txt_mlp_dim",
    "img_mod_dim",
    "txt_mod_dim",
    "single_dim",
    "single_mod_dim",
    "in_dims",
    "train_blocks",
    "train_double_block_indices",
    "train_single_block_indices",
    "split_qkv",
    "train_t5xxl",
    "enable_all_linear",
    "ggpo_sigma",
    "ggpo_beta",
    "factor",
    "bypass_mode",
    "dora_wd",
    "use_cp",
    "use_tucker",
    "use_scalar",
    "rank_dropout_scale",
    "rescaled",
    "train_norm",
    "decompose_both",
    "train_on_input",
]
"""Keys that kohya_ss hands on as members of `--network_args`."""

_DROPPED = {
    "save_as_bool": "which button was pressed",
    "training_preset": "which preset the form was filled from",
    "model_list": "which list the model was chosen from; its name stands in the other field",
    "lowvram": "kohya_ss ignores it too",
    "num_cpu_threads_per_process": "how many threads its launcher gives a program; here all are used",
    "num_machines main_process_port extra_accelerate_launch_args dynamo_mode": "how its launcher starts a program",
    "dynamo_use_fullgraph dynamo_use_dynamic": "how its launcher starts a program",
    "num_processes multi_gpu": "which GPUs train is the computer's affair: choose them here",
    "gpu_ids": "which GPUs train is the computer's affair: choose them here",
    # keys of older versions
    "no_token_padding": "sd-scripts no longer has it",
    "conv_dims conv_alphas": "older names of ranks per block that sd-scripts no longer has",
    "stop_text_encoder_training_pct": "kohya_ss ignores it too",
    "use_latent_files": "older; latents are cached here by content",
    "cache_latents_device": "older; kohya_ss no longer has it",
    "caption_metadata_filename latent_metadata_filename": "of its fine-tuning tab",
    "enable_sample sample_type": "older; kohya_ss no longer has it",
}

DROPPED: dict[str, str] = _spread(_DROPPED)
"""Key -> why it is left out."""

CARRIED: dict[str, str] = {
    "t5xxl_lr": "a rate for a text encoder of model families that cannot be trained here yet",
    "train_lora_ggpo": "GGPO is for a model family that cannot be trained here yet",
}
"""Key -> why it is kept."""

LEGACY: dict[str, str] = {
    "lora_network_weights": "network_weights",
    "use_8bit_adam": "optimizer",
    "use_wandb": "log_with",
}
"""Older key -> the one that stands for it now."""

ZERO_IS_UNSET = frozenset(
    [
        "seed",
        "max_train_steps",
        "max_train_epochs",
        "save_last_n_steps",
        "save_last_n_steps_state",
        "save_last_n_epochs",
        "save_last_n_epochs_state",
        "save_every_n_steps",
        "save_every_n_epochs",
        "sample_every_n_steps",
        "sample_every_n_epochs",
        "min_snr_gamma",
        "noise_offset",
        "adaptive_noise_scale",
        "multires_noise_iterations",
        "ip_noise_gamma",
        "vae_batch_size",
        "min_timestep",
        "max_timestep",
        "v_pred_like_loss",
        "clip_skip",
        "network_dropout",
        "scale_weight_norms",
        "stop_text_encoder_training",
        "lr_scheduler_num_cycles",
        "lr_scheduler_power",
        "blocks_to_swap",
        "caption_dropout_every_n_epochs",
    ]
)
"""Keys where 0 means that nothing is set."""

ZERO_IS_LOST = frozenset(
    ["max_grad_norm", "prior_loss_weight", "huber_c", "huber_scale", "learning_rate", "network_alpha"]
)
"""Keys where kohya_ss forgets a 0 on its way to sd-scripts, which then takes its own default; here a 0 stays one."""


def flag_of(key: str) -> str:
    """The flag that a key stands for."""
    if key in RENAMED:
        return RENAMED[key]
    if key in NETWORK_MEMBERS:
        return f"network_args.{key}"
    for prefix in ("flux1_", "sd3_", "hunyuan_image_", "hunyuan_", "anima_", "lumina_"):
        if key.startswith(prefix) and key not in FAMILIES:
            return key.removeprefix(prefix)
    return key


def owner_of(key: str) -> str:
    """The check box of the family that alone uses a key; "" where several do."""
    if key.startswith("sdxl_"):
        return "sdxl"
    for prefix in ("flux1", "sd3", "hunyuan", "anima", "lumina"):
        if key.startswith(f"{prefix}_"):
            return next(box for box in FAMILIES if box.startswith(prefix))
    owners = {box: keys.split() for box, keys in _OWNED.items()}
    return next((box for box, keys in owners.items() if key in keys), "")


_OWNED = {
    "flux1_checkbox": (
        "model_type ae clip_l t5xxl discrete_flow_shift model_prediction_type timestep_sampling split_mode "
        "train_blocks t5xxl_max_token_length enable_all_linear guidance_scale mem_eff_save apply_t5_attn_mask "
        "split_qkv train_t5xxl cpu_offload_checkpointing single_blocks_to_swap double_blocks_to_swap img_attn_dim "
        "img_mlp_dim img_mod_dim single_dim txt_attn_dim txt_mlp_dim txt_mod_dim single_mod_dim in_dims "
        "train_double_block_indices train_single_block_indices train_lora_ggpo ggpo_sigma ggpo_beta fp8_base_unet"
    ),
    "sd3_checkbox": (
        "clip_g clip_g_dropout_rate logit_mean logit_std mode_scale pos_emb_random_crop_rate save_clip save_t5xxl "
        "t5xxl_device t5xxl_dtype weighting_scheme"
    ),
}
