"""OneTrainer's keys that no setting of ours says, with why; and what the others are where they are absent.

Names are those of its `TrainConfig`; a part's key is written "unet.train". All its keys are recorded in
`tests/golden/onetrainer-keys.json`, against which a test holds these tables.
"""

from __future__ import annotations

from typing import Any

from .fates import _spread

_LATER = "of a model family that cannot be trained here yet"
_OTHER = "of a part that the models trained here do not have"
_COMPUTER = "belongs to one computer"
_EMBEDDING = "embeddings are not trained here"
_OWN_WAY = "here it is done in one fixed way"
_SPREAD = "how several GPUs share the work there"
_QUANTISED = "quantised base weights are not offered here"

DROPPED: dict[str, str] = _spread(
    {
        "debug_mode debug_dir workspace_dir cache_dir huggingface_cache_dir offline_mode": _COMPUTER,
        "tensorboard_expose tensorboard_always_on tensorboard_port multi_gpu device_indexes": _COMPUTER,
        "train_device temp_device dataloader_threads": _COMPUTER,
        "continue_last_backup prevent_overwrites include_train_config only_cache": "of its runs, not of the recipe",
        "gradient_reduce_precision fused_gradient_reduce async_gradient_reduce async_gradient_reduce_buffer": _SPREAD,
        "weight_dtype": "an older key; the U-Net has its own now",
        "output_model_format": "an adapter is always saved as safetensors with Kohya's keys",
        "async_offloading compile enable_autocast_cache fallback_train_dtype": _OWN_WAY,
        "lora_weight_dtype embedding_weight_dtype": "the adapter is always trained in float",
        "force_circular_padding": "seamless pictures are not offered here",
        "clear_cache_before_training": "the cache here is keyed by content, so that it is never stale",
        "custom_learning_rate_scheduler scheduler_params": "a class of Python: nothing in a file is ever run",
        "frames vb_loss_strength timestep_shift dynamic_timestep_shifting": _LATER,
        "loss_scaler": _OWN_WAY,
        "log_cosh_strength": "this loss is not offered here",
        "unmasked_probability masked_prior_preservation_weight": "not offered here; see the weight outside the mask",
        "custom_conditioning_image": "pictures beside pictures are not offered here",
        "ema_update_step_interval": "the average follows every step here",
        "layer_filter_regex": "it says how layer_filter is read",
        "lora_decompose_norm_epsilon lokr_vec_trick": _OWN_WAY,
        "bundle_additional_embeddings embedding_learning_rate preserve_embedding_norm embedding": _EMBEDDING,
        "additional_embeddings": _EMBEDDING,
        "oft_block_share": "not offered here",
        "quantization": _QUANTISED,
        "prior transformer unconditional_transformer effnet_encoder decoder decoder_text_encoder": _OTHER,
        "decoder_vqgan text_encoder_3 text_encoder_4 text_encoder_3_layer_skip text_encoder_4_layer_skip": _OTHER,
        "text_encoder_2_layer_skip": "the second text encoder's text is always taken from the layer before last",
        "text_encoder_sequence_length text_encoder_2_sequence_length": _LATER,
        "optimizer_defaults": "what its form remembers of other optimizers",
        "sample_definition_file_name": "another file; its prompts are read where it lies beside this one",
        "sample_skip_first sample_image_format sample_video_format sample_audio_format": "how samples are drawn there",
        "samples_to_tensorboard non_ema_sampling": "how samples are drawn there",
        "rolling_backup rolling_backup_count backup_before_save": "the last two full states are kept here",
        "save_skip_first save_filename_prefix": "files are named by the run here",
        "secrets cloud": "secrets and other computers: neither read nor kept",
        "config_version __version": "its own version",
        "validation": "held-out images are those of its validation concepts",
    }
)
"""Key -> why it is left out."""

PART_DROPPED: dict[str, str] = {
    "model_name": "its parts come from the base model here",
    "include": "its parts come from the base model here",
    "weight_dtype": "only the U-Net's is a setting here",
    "dropout_probability": "empty captions are set for all encoders together; see caption dropout",
    "train_embedding": _EMBEDDING,
    "attention_mask": _LATER,
    "guidance_scale": _LATER,
    "gradient_checkpointing": "it is one setting for all parts here",
    "offload_fraction": "keeping parts in main memory is not offered here",
    "activation_offloading": "keeping parts in main memory is not offered here",
}
"""Key of a part -> why it is left out, where no setting says it."""

PARTS = ("unet", "text_encoder", "text_encoder_2", "vae")

DEFAULTS: dict[str, Any] = {
    "training_method": "FINE_TUNE",
    "model_type": "STABLE_DIFFUSION_15",
    "base_model_name": "",
    "unet.train": True,
    "text_encoder.train": True,
    "text_encoder_2.train": True,
    "text_encoder.stop_training_after": 30,
    "text_encoder.stop_training_after_unit": "EPOCH",
    "text_encoder_2.stop_training_after": 30,
    "text_encoder_2.stop_training_after_unit": "EPOCH",
    "unet.gradient_checkpointing": True,
    "unet.weight_dtype": "FLOAT_32",
    "output_dtype": "FLOAT_32",
    "train_dtype": "FLOAT_16",
    "tensorboard": True,
    "aspect_ratio_bucketing": True,
    "latent_caching": True,
    "learning_rate": 3e-6,
    "learning_rate_scheduler": "CONSTANT",
    "learning_rate_warmup_steps": 200.0,
    "learning_rate_cycles": 1.0,
    "learning_rate_min_factor": 0.0,
    "learning_rate_scaler": "NONE",
    "epochs": 100,
    "batch_size": 1,
    "gradient_accumulation_steps": 1,
    "clip_grad_norm": 1.0,
    "ema": "OFF",
    "ema_decay": 0.999,
    "resolution": "512",
    "mse_strength": 1.0,
    "mae_strength": 0.0,
    "huber_strength": 0.0,
    "huber_delta": 1.0,
    "loss_weight_fn": "CONSTANT",
    "loss_weight_strength": 5.0,
    "dropout_probability": 0.0,
    "offset_noise_weight": 0.0,
    "perturbation_noise_weight": 0.0,
    "timestep_distribution": "UNIFORM",
    "min_noising_strength": 0.0,
    "max_noising_strength": 1.0,
    "noising_weight": 0.0,
    "noising_bias": 0.0,
    "text_encoder_layer_skip": 0,
    "masked_training": False,
    "unmasked_weight": 0.1,
    "normalize_masked_area_loss": False,
    "lora_decompose_output_axis": False,
    "lokr_dora_on_output": True,
    "layer_filter": "",
    "layer_filter_preset": "full",
    "peft_type": "LORA",
    "lora_rank": 16,
    "lora_alpha": 1.0,
    "lokr_dim": 16,
    "lokr_decompose_factor": -1,
    "oft_block_size": 32,
    "optimizer.optimizer": "ADAMW",
    "sample_after": 10,
    "sample_after_unit": "MINUTE",
    "save_every": 0,
    "save_every_unit": "NEVER",
    "backup_after": 30,
    "backup_after_unit": "MINUTE",
    "validate_after": 1,
    "validate_after_unit": "EPOCH",
}
"""Key -> what OneTrainer takes where it is absent. The base model is left empty: its default is only a beginning."""

FAMILIES = {
    "STABLE_DIFFUSION_15": "SD 1.x",
    "STABLE_DIFFUSION_20": "SD 2.x",
    "STABLE_DIFFUSION_20_BASE": "SD 2.x",
    "STABLE_DIFFUSION_21": "SD 2.x",
    "STABLE_DIFFUSION_21_BASE": "SD 2.x",
    "STABLE_DIFFUSION_XL_10_BASE": "SDXL",
}
"""model_type -> our family."""
