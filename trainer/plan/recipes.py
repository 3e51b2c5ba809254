"""What draws a sample picture elsewhere: one flat table a picture, and its text forms.

It stands in the events, in the PNG file (A1111's "parameters" and our own JSON), under the pictures of the page and in
the report. The start noise is drawn on the CPU by torch from the seed, as diffusers, ComfyUI and A1111 with "RNG: CPU"
do; samplers, rounding and attention differ from program to program, so pictures come out alike, not equal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainer.contract import catalog
from trainer.contract.settings import Preset
from trainer.contract.share import file_name

from . import names
from .plan import Plan

Recipe = dict[str, str | int | float]

NOISE = "drawn on the CPU from the seed"
ALIKE = (
    "Other programs draw a picture that is alike, not equal: the start noise is the same where they draw it on the CPU "
    "(ComfyUI does, A1111 with RNG: CPU), samplers and rounding differ."
)
LABELS = {
    "negative": "Negative prompt",
    "sampler": "Sampler",
    "sampler_a1111": "Sampler in A1111",
    "sampler_comfyui": "Sampler in ComfyUI",
    "scheduler_comfyui": "Scheduler in ComfyUI",
    "steps": "Steps",
    "guidance": "CFG scale",
    "seed": "Seed",
    "width": "Width",
    "height": "Height",
    "clip_skip": "CLIP skip",
    "prediction": "Prediction",
    "base_model": "Base model",
    "base_model_hash": "Base model's hash",
    "vae": "VAE",
    "adapter": "LoRA file",
    "strength": "LoRA strength",
    "adapter_step": "LoRA after step",
    "further": "Further LoRAs",
    "noise": "Start noise",
}
"""Key of a recipe -> what people call it, in the order in which it is told."""


def adapter_file(plan: Plan, step: int) -> str:
    """The file that holds the adapter of a step, "" where none is written then."""
    name, total = str(plan.preset.saving.name), plan.steps.total
    if step == total:
        lowest = plan.preset.validation.stop == "stop and keep the lowest" and plan.held_out
        return names.step_file(name, step) if lowest else names.final_file(name)
    return plan.checkpoint_file(step) if step in plan.checkpoints else ""


def common(preset: Preset, scheduler: Mapping[str, Any]) -> Recipe:
    """What all pictures of a run share. `scheduler`: the family's own arguments for diffusers' schedulers."""
    sampler = str(preset.sampling.sampler)
    row = catalog.find("samplers", sampler)
    shared: Recipe = {"sampler": sampler}
    if isinstance(row, catalog.Sampler):
        spaced = "ddim_uniform" if scheduler.get("timestep_spacing") == "leading" else "sgm_uniform"
        shared |= {"sampler_a1111": row.a1111, "sampler_comfyui": row.comfyui}
        shared |= {"scheduler_comfyui": spaced} if row.comfyui else {}
    shared |= {"clip_skip": preset.captions.clip_skip, "prediction": _prediction(scheduler), "noise": NOISE}
    shared |= {"base_model": file_name(preset.model.path), "vae": file_name(preset.model.vae)}
    return {key: value for key, value in shared.items() if value != ""}


def _prediction(scheduler: Mapping[str, Any]) -> str:
    kind = str(scheduler.get("prediction_type", "epsilon"))
    zero = " with zero terminal SNR" if scheduler.get("rescale_betas_zero_snr") else ""
    return kind.removesuffix("_prediction") + zero


def of_picture(shared: Recipe, own: Mapping[str, Any], step: int, adapter: str) -> Recipe:
    """One picture's table: `own` are the prompt's values; before the first step no LoRA takes part."""
    trained: Recipe = {"adapter_step": step, **({"adapter": adapter, "strength": 1.0} if adapter else {})}
    whole = {**shared, **own, **(trained if step else {})}
    return {key: whole[key] for key in LABELS if key in whole and whole[key] != ""}


def a1111_text(prompt: str, recipe: Mapping[str, Any]) -> str:
    """The "parameters" of a picture as A1111's web UI writes and reads them, and ComfyUI and picture sites read.

    The negative line is there even when it is empty: ComfyUI's import wants it. Parentheses of the prompt are escaped,
    since there they would weigh words and here they are plain text. Source: A1111's `create_infotext` and
    `parse_generation_parameters`, ComfyUI's `importA1111`."""
    adapter = str(recipe.get("adapter", ""))
    tag = f" <lora:{Path(adapter).stem}:{_figure(recipe.get('strength', 1))}>" if adapter else ""
    skip = recipe.get("clip_skip", 1)
    pairs = {
        "Steps": recipe.get("steps"),
        "Sampler": recipe.get("sampler_a1111", recipe.get("sampler")),
        "CFG scale": _figure(recipe["guidance"]) if "guidance" in recipe else None,
        "Seed": recipe.get("seed"),
        "Size": f"{recipe['width']}x{recipe['height']}" if "width" in recipe and "height" in recipe else None,
        "Model hash": str(recipe.get("base_model_hash", ""))[:10] or None,
        "Model": _plain(Path(str(recipe.get("base_model", ""))).stem) or None,
        "Clip skip": None if skip == 1 else skip,
        "RNG": "CPU",
        "Training step": recipe.get("adapter_step", 0),
    }
    told = ", ".join(f"{name}: {_quoted(str(value))}" for name, value in pairs.items() if value is not None)
    return f"{_escaped(prompt)}{tag}\nNegative prompt: {_escaped(str(recipe.get('negative', '')))}\n{told}"


def _figure(value: Any) -> str:
    """A number without needless zeros; what is none (the run folder may be anybody's) as it is."""
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _escaped(text: str) -> str:
    return text.replace("(", "\\(").replace(")", "\\)")


def _plain(text: str) -> str:
    return text.replace(",", "").replace(":", "")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ',:\n"') else text


def json_text(prompt: str, recipe: Mapping[str, Any]) -> str:
    """The same as JSON, for programs."""
    return json.dumps({"prompt": prompt, **recipe})


def rows(recipe: Mapping[str, Any], show: Callable[[Any], str] = str) -> list[tuple[str, str]]:
    """Label and value of what a recipe holds, in the order of `LABELS`; keys of other versions are left out."""
    return [(LABELS[key], show(recipe[key])) for key in LABELS if key in recipe]
