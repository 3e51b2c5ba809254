"""The metadata of an adapter file, under Kohya's names (`ss_*`) and Stability's (`modelspec.*`), all text.

Readers expect `str` of Python values: None is "None", a size "(512, 512)". What Kohya writes and we do not:
`ss_sd_scripts_commit_hash`, which names a version of another program. Names of folders and of the base model's file,
tags and the trigger word are written only where the user publishes them; without, the folder and tag tables are there
and empty, so that readers that expect them work.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from trainer.contract.families import Family
from trainer.contract.settings import Preset
from trainer.plan.curve import options_of
from trainer.plan.gather import regularises
from trainer.plan.plan import Plan

from .hashes import NO_HASHES, Hashes

_MIXED = {"float": "no", "fp16": "fp16", "bf16": "bf16"}


@dataclass(frozen=True)
class RunFacts:
    """What is known only once a run is on its way.

    `network`: the adapter's own `ss_network_*` pairs. `optimizer`: "module.Class(arguments)". `started`, `now`: seconds
    since 1970. `session`: a number that all files of one run share. `prediction`: "epsilon" or "v"."""

    step: int
    started: float
    now: float
    session: int
    network: tuple[tuple[str, str], ...]
    optimizer: str
    prediction: str = "epsilon"
    zero_snr: bool = False
    model: Hashes = NO_HASHES
    vae: Hashes = NO_HASHES


def adapter_metadata(plan: Plan, family: Family, facts: RunFacts) -> dict[str, str]:
    """All metadata of a file saved now, except the two `sshs_*` hashes, which `adapter_bytes` adds.

    `ss_epoch` counts from 1 in every file (Kohya's step saves count from 0)."""
    preset = plan.preset
    values: dict[str, Any] = {
        **_run(plan, facts),
        **_rates(preset, plan.steps.total, facts.optimizer),
        **_model(preset, family, facts),
        **_noise(preset, facts),
        **_data(plan),
        **_published(plan),
    }
    text = {name: value if isinstance(value, str) else str(value) for name, value in values.items()}
    return text | dict(facts.network) | _modelspec(preset, family, facts) | dict(family.metadata)


def optimizer_text(optimizer: object, arguments: Mapping[str, Any]) -> str:
    """`torch.optim.adamw.AdamW(weight_decay=0.01)`, as Kohya writes an optimizer."""
    kind = type(optimizer)
    inner = ",".join(f"{name}={value}" for name, value in arguments.items())
    return f"{kind.__module__}.{kind.__qualname__}" + (f"({inner})" if inner else "")


def _run(plan: Plan, facts: RunFacts) -> dict[str, Any]:
    preset, steps = plan.preset, plan.steps
    regular = round(plan.looks_at(plan.regularisation))  # with repeats, as Kohya counts both
    return {
        "ss_session_id": facts.session,
        "ss_training_started_at": facts.started,
        "ss_training_finished_at": facts.now,
        "ss_output_name": preset.saving.name,
        "ss_training_comment": preset.saving.comment or None,
        "ss_seed": preset.training.seed,
        "ss_steps": facts.step,
        "ss_epoch": steps.epoch_of(max(facts.step, 1)),
        "ss_num_epochs": steps.last_epoch,
        "ss_max_train_steps": steps.total,
        "ss_num_batches_per_epoch": steps.batches,
        "ss_num_train_images": steps.looks - regular,
        "ss_num_validation_images": len(plan.held_out),
        "ss_num_reg_images": regular,
        "ss_validation_split": round(len(plan.held_out) / max(len(plan.images), 1), 6),
        "ss_validation_seed": None,
        "ss_max_validation_steps": None,
        "ss_validate_every_n_epochs": _count(preset.validation.every, "epoch"),
        "ss_validate_every_n_steps": _count(preset.validation.every, "step"),
    }


def _count(every: str, unit: str) -> int | None:
    number, _, word = every.partition(" ")
    return int(number) if word.startswith(unit) else None


def _rates(preset: Preset, total: int, optimizer: str) -> dict[str, Any]:
    chosen, trained = preset.optimizer, preset.network
    return {
        "ss_learning_rate": chosen.learning_rate,
        "ss_unet_lr": chosen.unet_learning_rate if trained.unet else None,
        "ss_text_encoder_lr": chosen.text_encoder_learning_rate if trained.text_encoder else None,
        "ss_optimizer": optimizer,
        "ss_lr_scheduler": preset.schedule.name.replace(" ", "_"),
        "ss_lr_warmup_steps": options_of(preset.schedule, total).warmup_steps,
        "ss_max_grad_norm": chosen.max_grad_norm,
        "ss_gradient_checkpointing": preset.memory.gradient_checkpointing,
        "ss_gradient_accumulation_steps": preset.training.accumulate,
        "ss_scale_weight_norms": preset.network.max_norm or None,
    }


def _model(preset: Preset, family: Family, facts: RunFacts) -> dict[str, Any]:
    skip, tokens = preset.captions.clip_skip, preset.captions.max_tokens
    values = {
        "ss_v2": False,
        "ss_base_model_version": family.version,
        "ss_clip_skip": None if skip == 1 else skip,
        "ss_max_token_length": None if tokens == 75 else tokens,
        "ss_mixed_precision": _MIXED[preset.precision.compute],
        "ss_full_fp16": False,
        "ss_fp8_base": False,
        "ss_fp8_base_unet": False,
        "ss_lowram": False,
    }
    hashes = {
        "ss_sd_model_hash": facts.model.short,
        "ss_new_sd_model_hash": facts.model.sha256,
        "ss_vae_hash": facts.vae.short,
        "ss_new_vae_hash": facts.vae.sha256,
    }
    return values | {name: value for name, value in hashes.items() if value}


def _noise(preset: Preset, facts: RunFacts) -> dict[str, Any]:
    noise = preset.noise
    return {
        "ss_noise_offset": noise.noise_offset or None,
        "ss_noise_offset_random_strength": noise.noise_offset_random and noise.noise_offset > 0,
        "ss_adaptive_noise_scale": (noise.adaptive_noise_scale or None) if noise.noise_offset else None,
        "ss_multires_noise_iterations": noise.multires_iterations or None,
        "ss_multires_noise_discount": noise.multires_discount,
        "ss_ip_noise_gamma": noise.perturbation or None,
        "ss_ip_noise_gamma_random_strength": noise.perturbation_random and noise.perturbation > 0,
        "ss_zero_terminal_snr": facts.zero_snr,
        "ss_min_snr_gamma": noise.min_snr_gamma or None,
        "ss_debiased_estimation": noise.debiased,
        "ss_loss_type": noise.loss,
        "ss_huber_schedule": noise.huber_schedule,
        "ss_huber_scale": noise.huber_scale,
        "ss_huber_c": noise.huber_c,
        "ss_prior_loss_weight": preset.dataset.regularisation_weight,
    }


def _data(plan: Plan) -> dict[str, Any]:
    preset = plan.preset
    dataset, captions = preset.dataset, preset.captions
    side, batch = dataset.resolution, int(preset.training.batch_size)  # type: ignore[arg-type]
    return {
        "ss_batch_size_per_device": batch,
        "ss_total_batch_size": batch * plan.processes,
        "ss_resolution": (side, side),
        "ss_color_aug": dataset.jitter > 0,
        "ss_flip_aug": dataset.flip,
        "ss_random_crop": dataset.crop == "random",
        "ss_face_crop_aug_range": None,
        "ss_resize_interpolation": None,
        "ss_enable_bucket": dataset.buckets,
        "ss_bucket_no_upscale": not dataset.enlarge,
        "ss_min_bucket_reso": dataset.bucket_min if dataset.buckets else None,
        "ss_max_bucket_reso": dataset.bucket_max if dataset.buckets else None,
        "ss_bucket_info": json.dumps(_bucket_info(plan)) if dataset.buckets else "null",
        "ss_shuffle_caption": captions.shuffle,
        "ss_keep_tokens": captions.keep_tokens,
        "ss_caption_dropout_rate": captions.dropout,
        "ss_caption_dropout_every_n_epochs": 0,
        "ss_caption_tag_dropout_rate": captions.tag_dropout,
        "ss_cache_latents": plan.latents_cached,
    }


def _bucket_info(plan: Plan) -> dict[str, Any]:
    """Looks per bucket and the mean distance between an image's and its bucket's aspect ratio, as Kohya gives them."""
    buckets = {
        str(index): {"resolution": list(size), "count": count}
        for index, (size, count) in enumerate(sorted(plan.buckets.items()))
    }
    ratios = [
        abs(place.bucket.width / place.bucket.height - image.size.width / image.size.height)
        for image, place in zip(plan.images, plan.placed)
    ]
    return {"buckets": buckets, "mean_img_ar_error": sum(ratios) / max(len(ratios), 1)}


def _published(plan: Plan) -> dict[str, str]:
    """What tells of the user's files: only where they publish it."""
    empty = {"ss_dataset_dirs": "{}", "ss_reg_dataset_dirs": "{}", "ss_tag_frequency": "{}"}
    preset = plan.preset
    if not preset.saving.publish:
        return empty
    folders: dict[str, dict[str, int]] = {}
    regular: dict[str, dict[str, int]] = {}
    tags: dict[str, Counter[str]] = {}
    for image, source in zip(plan.images, plan.sources):
        if image.folder >= len(preset.dataset.folders):  # of the held-out folder: not learnt from
            continue
        name = image.path.parent.name
        kind = regular if regularises(preset, image) else folders
        kind.setdefault(name, {"n_repeats": image.repeats, "img_count": 0})["img_count"] += 1
        tags.setdefault(name, Counter()).update(_tags(source.lines, preset.captions.separator))
    named = {"ss_dataset_dirs": folders, "ss_reg_dataset_dirs": regular}
    shown = {key: json.dumps(value, ensure_ascii=False) for key, value in named.items()}
    shown["ss_tag_frequency"] = json.dumps({name: dict(count) for name, count in tags.items()}, ensure_ascii=False)
    shown["ss_sd_model_name"] = _file_name(preset.model.path)
    if preset.model.vae:
        shown["ss_vae_name"] = _file_name(preset.model.vae)
    return shown


def _tags(lines: Iterable[str], separator: str) -> list[str]:
    return [tag for line in lines for part in line.split(separator) if (tag := part.strip().lower())]


def _file_name(path: str) -> str:
    """A local path's last part; a hub id as a whole."""
    return Path(path).name if Path(path).exists() or Path(path).is_absolute() else path


def _modelspec(preset: Preset, family: Family, facts: RunFacts) -> dict[str, str]:
    """Stability's modelspec 1.0.1, as sd-scripts fills it for this family."""
    side, saving, skip = preset.dataset.resolution, preset.saving, preset.captions.clip_skip
    spec = {
        "sai_model_spec": "1.0.1",
        "architecture": f"{family.architecture}/lora",
        "implementation": "diffusers",
        "implementation_version": f"loratory/{version()}",
        "title": saving.title or str(saving.name),
        "resolution": f"{side}x{side}",
        "date": datetime.fromtimestamp(facts.now).isoformat(timespec="seconds"),
        "prediction_type": facts.prediction,
        "author": saving.author,
        "encoder_layer": "" if skip == 1 else str(skip),
        "trigger_phrase": preset.captions.trigger if saving.publish else "",
    }
    return {f"modelspec.{name}": value for name, value in spec.items() if value}


@cache
def version() -> str:
    """The program's version, as pyproject.toml says."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    content: str = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    return content
