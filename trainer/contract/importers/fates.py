"""sd-scripts' flags that no setting of ours says: which are carried along, which are dropped, and why.

Together with `links` this is the one table: a test holds it against the flags that sd-scripts' own parsers know
(`sdscripts_flags.json`). Names are those of `--flags` and of `--config_file`; `network_args.x` is a member of
`--network_args`. Reasons are said to people.
"""

from __future__ import annotations

_LATER = "belongs to a model family that cannot be trained here yet"
_LATER_FILE = "a file of a model family that cannot be trained here yet: choose it again once it can be"
_UPLOAD = "a file never starts an upload or a download: do that yourself"
_PLACE = "a place on one computer; here every run has a folder of its own"
_OWN_STATE = "state of an earlier run over there; here a run is continued from its own folder"
_FILE_INFO = "text for the adapter file's metadata that is not written here"
_SPREAD = "how several GPUs share the work over there"
_LOADER = "how images are loaded over there; here that is automatic"
_LOG = "how the console is written over there"
_COMPILE = "compiling the model is not done here"
_VALIDATION = "how held-out images are drawn and measured over there; here they are chosen by content"
_LYCORIS = "an argument of the LyCORIS library that is not offered here"

_CARRIED: dict[str, str] = {
    # the model's family
    "model_type t5xxl_max_token_length gemma2_max_token_length qwen3_max_token_length t5_max_token_length": _LATER,
    "apply_t5_attn_mask apply_lg_attn_mask clip_l_dropout_rate clip_g_dropout_rate t5_dropout_rate": _LATER,
    "pos_emb_random_crop_rate enable_scaled_pos_embed training_shift guidance_scale timestep_sampling": _LATER,
    "sigmoid_scale model_prediction_type discrete_flow_shift system_prompt split_mode blocks_to_swap": _LATER,
    "use_flash_attn use_sage_attn attn_mode split_attn fp8_scaled fp8_vl text_encoder_cpu vae_chunk_size": _LATER,
    "vae_disable_cache unsloth_offload_checkpointing qwen_image_vae_2d text_encoder_batch_size": _LATER,
    "llm_adapter_lr self_attn_lr cross_attn_lr mlp_lr mod_lr sample_batch_size save_clip save_t5xxl": _LATER,
    "t5xxl_device t5xxl_dtype": _LATER,
    "script": "which of sd-scripts' programs trains it; here the model file says what it is",
    # memory and speed
    "fp8_base fp8_base_unet": "base weights in 8 bits are not offered here",
    "full_fp16 full_bf16": "an adapter in half precision is not offered: here it is always trained in float",
    "cpu_offload_checkpointing": "keeping activations in main memory is not offered here",
    "highvram lowram": "the order in which models are moved is chosen here",
    "torch_compile dynamo_backend": _COMPILE,
    "compile compile_backend compile_mode compile_dynamic compile_fullgraph compile_cache_size_limit": _COMPILE,
    "disable_mmap_load_safetensors": "how files are read is chosen here",
    "max_data_loader_n_workers persistent_data_loader_workers": _LOADER,
    "skip_cache_check": "the cache here is keyed by content, so that it needs no check",
    "ddp_timeout ddp_gradient_as_bucket_view ddp_static_graph": _SPREAD,
    "deepspeed zero_stage offload_optimizer_device offload_param_device zero3_init_flag": _SPREAD,
    "zero3_save_16bit_model fp16_master_weights_and_gradients": _SPREAD,
    # data and captions
    "caption_dropout_every_n_epochs": "empty captions for a whole epoch are not offered here; see caption dropout",
    "weighted_captions": "weights in captions, (word:1.3), are not read here",
    "face_crop_aug_range": "crops around faces are not offered here",
    "resize_interpolation": "how images are scaled is fixed here",
    "train_inpainting": "inpainting models cannot be trained here",
    "network_multiplier custom_attributes": "sd-scripts has it in its dataset file only; it is not offered here",
    # schedule and optimizer
    "lr_scheduler_timescale": "the time scale of the inverse square root follows the warmup here",
    # validation, files and logs
    "validation_seed max_validation_steps": _VALIDATION,
    "save_n_epoch_ratio": "files per run instead of an interval; say how often to save",
    "save_last_n_epochs_state save_last_n_steps_state": "the last two full states are kept here",
    "save_model_as": "an adapter is always saved as safetensors here",
    "metadata_description metadata_license metadata_tags metadata_usage_hint metadata_merged_from": _FILE_INFO,
    "metadata_trigger_phrase metadata_preprocessor metadata_is_negative_embedding": _FILE_INFO,
    "log_prefix wandb_run_name log_config": "runs are named by their folder here",
    "console_log_level console_log_simple": _LOG,
    "show_timesteps show_timesteps_resolution": "the page shows the distribution of timesteps by itself",
    # members of --network_args
    "network_args.bypass_mode network_args.use_scalar network_args.rank_dropout_scale": _LYCORIS,
    "network_args.train_norm network_args.unbalanced_factorization": _LYCORIS,
    "network_args.disable_conv_cp": _LYCORIS,
    "network_args.img_attn_dim network_args.txt_attn_dim network_args.img_mlp_dim network_args.txt_mlp_dim": _LATER,
    "network_args.img_mod_dim network_args.txt_mod_dim network_args.single_dim": _LATER,
    "network_args.single_mod_dim network_args.in_dims network_args.train_blocks network_args.split_qkv": _LATER,
    "network_args.train_double_block_indices network_args.train_single_block_indices": _LATER,
    "network_args.train_t5xxl network_args.enable_all_linear network_args.enable_conv": _LATER,
    "network_args.ggpo_beta network_args.ggpo_sigma network_args.attn_dim network_args.mlp_dim": _LATER,
    "network_args.network_reg_lrs": "rates of layers by name are factors here, not rates",
    "network_args.verbose": "more lines on the console over there",
}

_DROPPED: dict[str, str] = {
    "clip_l clip_g t5xxl ae gemma2 text_encoder byt5 qwen3 llm_adapter_path t5_tokenizer_path": _LATER_FILE,
    "controlnet_model_name_or_path": _LATER_FILE,
    "huggingface_token wandb_api_key": "a secret: it is neither read nor kept; use the environment",
    "huggingface_repo_id huggingface_repo_type huggingface_repo_visibility huggingface_path_in_repo": _UPLOAD,
    "save_state_to_huggingface resume_from_huggingface async_upload": _UPLOAD,
    "output_dir tokenizer_cache_dir console_log_file log_tracker_config": _PLACE,
    "offload_optimizer_nvme_path offload_param_nvme_path": _PLACE,
    "resume initial_epoch initial_step skip_until_initial_step": _OWN_STATE,
    "lr_scheduler_args": "arguments of a scheduler are not offered here",
    "fused_backward_pass": "it never worked for adapters in sd-scripts, and is not needed for them",
    "save_state_on_train_end": "a run that is done keeps its full state here by itself",
    "config_file output_config": "how sd-scripts reads and writes its own settings",
    "dataset_config": "another file that describes the images: import that one",
    "dataset_class": "a name of Python code: nothing in a file is ever run",
    "in_json": "a metadata file of captions: put captions beside the images, or import the dataset file",
    "dataset_repeats": "it counts for metadata files only, which are not read here",
    "cache_info": "images are read anew here; nothing is written beside them",
    "debug_dataset": "the page shows what is trained on",
    "metadata_thumbnail": "a picture on one computer",
    "no_half_vae": "the VAE always computes in float here",
    "optimizer_schedulefree_wrapper schedulefree_wrapper_args": "sd-scripts itself does not use it",
    "perlin_noise": "sd-scripts itself does not use it",
    "use_safetensors": "sd-scripts itself does not use it any more",
    "no_metadata": "whether tags and names are published is asked here, and is off unless you turn it on",
    "epoch": "kohya_ss needs it to count steps where none are given",
    "stop_text_encoder_training": "kohya_ss ignores it too",
    "noise_offset_type": "it chooses between noise offset and multi-resolution noise, which was done",
    "mem_eff_save single_blocks_to_swap double_blocks_to_swap": "kohya_ss ignores it too",
}


def _spread(table: dict[str, str]) -> dict[str, str]:
    return {name: reason for names, reason in table.items() for name in names.split()}


CARRIED: dict[str, str] = _spread(_CARRIED)
"""Flag -> why it is no setting here."""

DROPPED: dict[str, str] = _spread(_DROPPED)
"""Flag -> why it is left out."""
