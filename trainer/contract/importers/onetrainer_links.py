"""What OneTrainer's keys say in our settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .. import optimizer_table
from . import loose
from . import onetrainer_data as data
from . import onetrainer_keys as keys
from .flags import Flags, interval
from .links import Link, Values
from .links_network import BY_OUTPUT, LARGEST

_FORMATS = {"FLOAT_32": "float", "TFLOAT_32": "float", "FLOAT_16": "fp16", "BFLOAT_16": "bf16"}


def _link(flags: tuple[str, ...], paths: tuple[str, ...], read: Callable[[Flags], Values]) -> Link:
    return Link(flags, paths, read, lambda preset: {}, exact=False)


def _plain(flag: str, path: str, kind: Callable[[Any], Any], empty: Any = None) -> Link:
    def read(flags: Flags) -> Values:
        value = kind(flags[flag])
        return {path: empty if value is None else value}

    return _link((flag,), (path,), read)


def _format(key: str, path: str) -> Link:
    def read(flags: Flags) -> Values:
        found = _FORMATS.get(data.word(flags, key))
        if found is None:
            flags.change(key, f"{data.word(flags, key)[:30]} is not offered here: the usual format is taken")
            return {}
        return {path: found}

    return _link((key,), (path,), read)


def _every(flags: Flags, key: str) -> str | None:
    """ "10 minutes" of a number and its unit."""
    count, unit = loose.number(flags[key]) or 0, data.word(flags, f"{key}_unit")
    if unit in ("NEVER", "") or count <= 0:
        return "never"
    if unit in ("EPOCH", "STEP"):
        return interval(count if unit == "STEP" else None, count if unit == "EPOCH" else None)
    minutes = {"SECOND": count / 60, "MINUTE": count, "HOUR": count * 60}.get(unit)
    if minutes is None:
        flags.change(f"{key}_unit", f"{unit[:20]} is not offered here: every step stands for it")
        return "1 step"
    return f"{max(round(minutes), 1)} minute{'' if round(minutes) <= 1 else 's'}"


def _interval(key: str, path: str) -> Link:
    return _link((key, f"{key}_unit"), (path,), lambda flags: {path: _every(flags, key)})


def _model(flags: Flags) -> Values:
    forced = "v" if loose.flag(flags["force_v_prediction"]) else ""
    forced = forced or ("epsilon" if loose.flag(flags["force_epsilon_prediction"]) else "auto")
    rescaled = loose.flag(flags["rescale_noise_scheduler_to_zero_terminal_snr"])
    return {
        "model.family": keys.FAMILIES.get(data.word(flags, "model_type"), "auto"),
        "model.prediction": forced,
        "model.zero_snr": "on" if rescaled else "auto",
    }


def _rates(flags: Flags) -> Values:
    rate = loose.number(flags["learning_rate"])
    if data.word(flags, "learning_rate_scaler") not in ("NONE", ""):
        flags.change("learning_rate_scaler", "rates are never scaled here: multiply the learning rate yourself")
    unet, first, second = (loose.flag(flags[f"{part}.train"]) for part in ("unet", "text_encoder", "text_encoder_2"))
    large = data.word(flags, "model_type").startswith("STABLE_DIFFUSION_XL")
    second = second and large
    values: Values = {"optimizer.learning_rate": rate, "network.unet": unet, "network.text_encoder": first or second}
    own = {part: loose.number(flags[f"{part}.learning_rate"]) for part in ("unet", "text_encoder", "text_encoder_2")}
    values["optimizer.unet_learning_rate"] = own["unet"]
    if first or second:
        values["optimizer.text_encoder_learning_rate"] = (own["text_encoder"] or rate) if first else 0.0
    if large and (first or second):
        values["optimizer.text_encoder_2_learning_rate"] = (own["text_encoder_2"] or rate) if second else 0.0
    return values


def _stop(part: str, path: str) -> Link:
    def read(flags: Flags) -> Values:
        after, unit = (
            loose.number(flags[f"{part}.stop_training_after"]),
            data.word(flags, f"{part}.stop_training_after_unit"),
        )
        epochs = loose.number(flags["epochs"]) or 0
        if not after or unit == "NEVER" or not loose.flag(flags[f"{part}.train"]):
            return {}
        if unit != "EPOCH" or not epochs:
            flags.change(f"{part}.stop_training_after", "here it is a share of the steps: set it yourself")
            return {}
        return {path: min(round(100 * after / epochs, 4), 100.0)}

    return _link((f"{part}.stop_training_after", f"{part}.stop_training_after_unit"), (path,), read)


_SCHEDULES = {
    "CONSTANT": "constant",
    "LINEAR": "linear",
    "COSINE": "cosine",
    "COSINE_WITH_RESTARTS": "cosine with restarts",
    "COSINE_WITH_HARD_RESTARTS": "cosine with restarts",
}


def _schedule(flags: Flags) -> Values:
    name = data.word(flags, "learning_rate_scheduler")
    ours = _SCHEDULES.get(name, "polynomial" if name == "REX" else "constant")
    if name not in _SCHEDULES:
        flags.change("learning_rate_scheduler", f"{name[:30]} is not offered here: {ours} is put there")
    values: Values = {"schedule.name": ours, "schedule.minimum": loose.number(flags["learning_rate_min_factor"]) or 0.0}
    if ours == "cosine with restarts":
        values["schedule.restarts"] = max(round(loose.number(flags["learning_rate_cycles"]) or 1), 1)
    warmup = loose.number(flags["learning_rate_warmup_steps"]) or 0.0
    if warmup <= 1:
        values["schedule.warmup"] = round(100 * warmup, 4)
    else:
        why = "it counts steps, and how many there will be is not known: 5 % of the steps is put there"
        flags.change("learning_rate_warmup_steps", why)
    return values


_OPTIMIZERS = {
    "ADAMW": "AdamW",
    "ADAMW_8BIT": "AdamW8bit",
    "ADAM": "Adam",
    "SGD": "SGD",
    "ADAGRAD": "Adagrad",
    "LION": "Lion",
    "LION_8BIT": "Lion8bit",
    "SCHEDULE_FREE_ADAMW": "ScheduleFreeAdamW",
    "DADAPT_ADAM": "DAdaptAdam",
    "PRODIGY": "Prodigy",
    "ADAFACTOR": "Adafactor",
    "CAME": "CAME",
}
_NEAREST = (("PRODIGY", "Prodigy"), ("DADAPT", "DAdaptAdam"), ("LION", "Lion"), ("ADAFACTOR", "Adafactor"))
_ARGUMENTS = {
    "decouple": "weight_decouple",
    "use_bias_correction": "bias_correction",
    **{name: name for name in ("d0", "d_coef", "growth_rate", "safeguard_warmup", "momentum", "nesterov", "amsgrad")},
    **{name: name for name in ("clip_threshold", "decay_rate", "beta3", "r", "weight_lr_power", "dampening")},
}
_DECAY = {"AdamW": 0.01, "AdamW8bit": 0.01, "ScheduleFreeAdamW": 0.01}


def _optimizer(flags: Flags) -> Values:
    name = data.word(flags, "optimizer.optimizer")
    known = _OPTIMIZERS.get(name) or optimizer_table.find(name.replace("_", "").lower())
    ours = known or next((row for part, row in _NEAREST if part in name), "AdamW")
    if not known:
        flags.change("optimizer.optimizer", f"{name[:30]} is not offered here: {ours} is put there")
    arguments = optimizer_table.arguments(ours)
    args: Values = {}
    betas = [loose.number(flags[f"optimizer.beta{at}"]) for at in (1, 2)]
    if "betas" in arguments and None not in betas:
        args["betas"] = betas
    for theirs, own in _ARGUMENTS.items():
        value = flags[f"optimizer.{theirs}"]
        if own in arguments and isinstance(value, (bool, int, float)) and value is not False:
            args[own] = value
    if ours == "SGD" and args.get("momentum") == 0.9:
        args.pop("momentum")
    if ours == "Adafactor" and loose.flag(flags["optimizer.relative_step"]):
        flags.change("optimizer.relative_step", "it chose its own steps there; here it takes the learning rate")
    decay = loose.number(flags["optimizer.weight_decay"])
    return {
        "optimizer.name": ours,
        "optimizer.args": args,
        "optimizer.weight_decay": _DECAY.get(ours, 0.0) if decay is None else decay,
    }


def _network(flags: Flags) -> Values:
    kind = {"LOHA": "LoHa", "LOKR": "LoKr", "OFT_2": "OFT", "LORA": "LoRA"}.get(data.word(flags, "peft_type"), "LoRA")
    source = {"LoKr": "lokr_dim", "OFT": "oft_block_size"}.get(kind, "lora_rank")
    rank = loose.whole(flags[source]) or 16
    dora = loose.flag(flags["lokr_weight_decompose" if kind == "LoKr" else "lora_decompose"])
    dora = dora and kind in ("LoRA", "LoKr")
    values: Values = {
        "network.type": kind,
        "network.rank": min(max(rank, 1), LARGEST),
        "network.alpha": loose.number(flags["lora_alpha"]) or float(rank),
        "network.dora": dora,
        "network.args": {},
    }
    if kind == "LoKr":
        args = {
            "factor": loose.whole(flags["lokr_decompose_factor"]) or -1,
            "decompose_both": loose.flag(flags["lokr_decompose_both"]),
            "full_matrix": loose.flag(flags["lokr_full_matrix"]),
            "use_tucker": loose.flag(flags["lokr_use_tucker"]),
        }
        values["network.args"] = {name: value for name, value in args.items() if value is not False and value != -1}
    elif kind == "OFT" and loose.flag(flags["oft_scaled"]):
        values["network.args"] = {"rescaled": True}
    if dora and loose.flag(flags["lokr_dora_on_output" if kind == "LoKr" else "lora_decompose_output_axis"]):
        values["network.args"][BY_OUTPUT] = True
    return values


def _layers(flags: Flags) -> Values:
    preset, words = loose.text(flags["layer_filter_preset"]), loose.text(flags["layer_filter"])
    source = "lokr_dim" if data.word(flags, "peft_type") == "LOKR" else "lora_rank"
    if preset == "attn-mlp":
        return {"network.conv_rank": 0}
    if preset == "attn-only":
        return {"network.conv_rank": 0, "network.layers": [{"match": "ff_net|_mlp_|proj_in|proj_out", "rank": 0}]}
    if words and preset not in ("full", ""):
        flags.change("layer_filter", f"layers by name are set as rules here: {words[:60]!r} is not taken over")
        return {"network.conv_rank": 0}
    rank = min(max(loose.whole(flags[source]) or 16, 1), LARGEST)
    return {"network.conv_rank": rank, "network.conv_alpha": loose.number(flags["lora_alpha"]) or float(rank)}


def _name(flags: Flags) -> Values:
    name = loose.text(flags["output_model_destination"]).replace("\\", "/").rpartition("/")[2]
    name = re.sub(r"\.(safetensors|ckpt|pt)$", "", name)
    return {"saving.name": name} if name else {}


def _average(flags: Flags) -> Values:
    return {"network.ema": 0.0 if data.word(flags, "ema") in ("OFF", "") else loose.number(flags["ema_decay"])}


def _clip_skip(flags: Flags) -> Values:
    large = data.word(flags, "model_type").startswith("STABLE_DIFFUSION_XL")
    return {"captions.clip_skip": 1 if large else (loose.whole(flags["text_encoder_layer_skip"]) or 0) + 1}


def _caches(flags: Flags) -> Values:
    kept = loose.flag(flags["latent_caching"])
    return {"memory.cache_latents": kept, "memory.cache_text": kept}


_OPTIMIZER_KEYS = ("optimizer", "weight_decay", "beta1", "beta2", "relative_step", *_ARGUMENTS)

LINKS: tuple[Link, ...] = (
    _link(
        (
            "model_type",
            "force_v_prediction",
            "force_epsilon_prediction",
            "rescale_noise_scheduler_to_zero_terminal_snr",
            "training_method",
        ),
        ("model.family", "model.prediction", "model.zero_snr"),
        _model,
    ),
    _plain("base_model_name", "model.path", loose.text),
    _plain("vae.model_name", "model.vae", loose.text),
    _link(
        (
            "learning_rate",
            "learning_rate_scaler",
            *(f"{part}.{key}" for part in keys.PARTS[:3] for key in ("train", "learning_rate")),
        ),
        (
            "optimizer.learning_rate",
            "optimizer.unet_learning_rate",
            "optimizer.text_encoder_learning_rate",
            "optimizer.text_encoder_2_learning_rate",
            "network.unet",
            "network.text_encoder",
        ),
        _rates,
    ),
    _stop("text_encoder", "optimizer.text_encoder_stop"),
    _stop("text_encoder_2", "optimizer.text_encoder_2_stop"),
    _link(
        ("epochs",),
        ("training.length",),
        lambda flags: {"training.length": interval(None, flags["epochs"]) or "1 epoch"},
    ),
    _plain("batch_size", "training.batch_size", loose.whole),
    _plain("gradient_accumulation_steps", "training.accumulate", loose.whole),
    _link(
        ("learning_rate_scheduler", "learning_rate_warmup_steps", "learning_rate_cycles", "learning_rate_min_factor"),
        ("schedule.name", "schedule.warmup", "schedule.restarts", "schedule.minimum"),
        _schedule,
    ),
    _link(
        tuple(f"optimizer.{key}" for key in _OPTIMIZER_KEYS),
        ("optimizer.name", "optimizer.weight_decay", "optimizer.args"),
        _optimizer,
    ),
    _plain("clip_grad_norm", "optimizer.max_grad_norm", loose.number, 0.0),
    _link(
        (
            "peft_type",
            "lora_rank",
            "lora_alpha",
            "lora_decompose",
            "lora_decompose_output_axis",
            "lokr_dim",
            "lokr_decompose_factor",
            "lokr_decompose_both",
            "lokr_full_matrix",
            "lokr_use_tucker",
            "lokr_weight_decompose",
            "lokr_dora_on_output",
            "oft_block_size",
            "oft_scaled",
        ),
        ("network.type", "network.rank", "network.alpha", "network.dora", "network.args"),
        _network,
    ),
    _link(
        ("layer_filter", "layer_filter_preset"),
        ("network.conv_rank", "network.conv_alpha", "network.layers"),
        _layers,
    ),
    _plain("dropout_probability", "network.dropout", loose.number, 0.0),
    _plain("lora_model_name", "network.start", loose.text),
    _link(("ema", "ema_decay"), ("network.ema",), _average),
    _format("train_dtype", "precision.compute"),
    _format("output_dtype", "precision.save"),
    _format("unet.weight_dtype", "precision.base"),
    _link(("resolution",), ("dataset.resolution",), data.resolution),
    _plain("aspect_ratio_bucketing", "dataset.buckets", loose.flag),
    _link(("latent_caching",), ("memory.cache_latents", "memory.cache_text"), _caches),
    _plain("unet.gradient_checkpointing", "memory.gradient_checkpointing", loose.flag),
    _link(("attention_mechanism",), ("memory.attention",), lambda flags: {"memory.attention": "sdpa"}),
    _link(
        (
            "mse_strength",
            "mae_strength",
            "huber_strength",
            "huber_delta",
            "loss_weight_fn",
            "loss_weight_strength",
        ),
        ("noise.loss", "noise.huber_c", "noise.huber_schedule", "noise.min_snr_gamma", "noise.debiased"),
        data.loss,
    ),
    _link(
        ("offset_noise_weight", "generalized_offset_noise"),
        ("noise.noise_offset",),
        lambda flags: {"noise.noise_offset": loose.number(flags["offset_noise_weight"]) or 0.0},
    ),
    _plain("perturbation_noise_weight", "noise.perturbation", loose.number, 0.0),
    _link(
        (
            "timestep_distribution",
            "min_noising_strength",
            "max_noising_strength",
            "noising_weight",
            "noising_bias",
        ),
        ("noise.timestep_min", "noise.timestep_max", "noise.timesteps", "noise.timestep_mean", "noise.timestep_spread"),
        data.timesteps,
    ),
    _link(("text_encoder_layer_skip",), ("captions.clip_skip",), _clip_skip),
    _link(
        ("masked_training", "unmasked_weight", "normalize_masked_area_loss"),
        ("dataset.masks", "dataset.mask_outside", "dataset.mask_normalise"),
        data.masks,
    ),
    _link(("concepts",), ("dataset.folders",), data.concepts),
    _link(("samples",), ("sampling.prompts",), data.samples),
    _interval("sample_after", "sampling.every"),
    _interval("save_every", "saving.every"),
    _interval("backup_after", "saving.state_every"),
    _interval("validate_after", "validation.every"),
    _link(("output_model_destination",), ("saving.name",), _name),
    _plain("tensorboard", "logging.tensorboard", loose.flag),
)
"""OneTrainer's keys -> our settings."""
