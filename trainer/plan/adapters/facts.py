"""An adapter file in words and numbers, from its header: the page shows this at once, the tools put it into results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .look import Look, alphas, parameters, ranks

PRIVATE = (
    "ss_tag_frequency", "ss_dataset_dirs", "ss_reg_dataset_dirs", "ss_datasets", "ss_bucket_info", "ss_output_name",
    "ss_training_comment", "ss_sd_model_name", "ss_vae_name", "ss_session_id", "ss_training_started_at",
    "ss_training_finished_at", "ss_sd_scripts_commit_hash", "modelspec.author", "modelspec.title",
    "modelspec.trigger_phrase", "modelspec.description", "modelspec.usage_hint", "modelspec.tags", "modelspec.license",
    "modelspec.thumbnail", "modelspec.date", "modelspec.merged_from", "training_info", "name", "sft_dataset",
)  # fmt: skip
"""Metadata that tell of a user's files, tags, names or times."""

NEEDED = (
    "ss_base_model_version", "ss_network_module", "ss_network_dim", "ss_network_alpha", "ss_network_args", "ss_v2",
    "ss_zero_terminal_snr", "modelspec.sai_model_spec", "modelspec.architecture", "modelspec.implementation",
    "modelspec.prediction_type", "modelspec.resolution", "format", "lora_adapter_metadata", "sshs_model_hash",
    "sshs_legacy_hash",
)  # fmt: skip
"""Metadata that programs read to use a file."""

TELLS = "ss_tag_frequency", "ss_dataset_dirs", "ss_output_name", "ss_sd_model_name", "modelspec.author"
"""What is named when a file is about to be published."""


def facts(look: Look) -> list[tuple[str, str]]:
    """What the header says, as name and value, for people."""
    file = look.file
    tensors = list(file.tensors.values())
    formats = sorted({one.dtype for one in tensors})
    told = [
        ("Kind", _counted(look.kinds)),
        ("Base model", look.family.name if look.family else "of no family known here"),
        ("Layers", _parts(look)),
        ("Rank", _counted({str(rank): count for rank, count in ranks(look.layers).items()}) or "none"),
        ("Alpha", _counted({f"{alpha:g}": count for alpha, count in alphas(look.layers).items()}) or "none"),
        *((("DoRA's sizes", f"of {' and '.join(dora_sides(look))}"),) if dora_sides(look) else ()),
        ("Names", look.layout),
        ("Values", f"{parameters(file, look.layers):,}"),
        ("Number format", ", ".join(formats)),
        ("Size", size_of(file.path.stat().st_size)),
    ]
    told += [(title, file.metadata[name]) for name, title in _OF_METADATA if _says(file.metadata.get(name))]
    if look.unknown:
        told.append(("Unknown tensors", f"{len(look.unknown)}, for example {look.unknown[0]}"))
    return told


def size_of(count: int) -> str:
    """Bytes for people, in thousands."""
    for name, unit in (("GB", 1e9), ("MB", 1e6)):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count / 1e3:.1f} kB"


_OF_METADATA = (
    ("modelspec.title", "Title"),
    ("modelspec.trigger_phrase", "Trigger"),
    ("ss_steps", "Steps"),
    ("ss_epoch", "Epoch"),
    ("ss_resolution", "Resolution"),
    ("modelspec.prediction_type", "Prediction"),
)


def _says(text: str | None) -> bool:
    return bool(text) and text not in ("None", "null", "{}")


def _counted(counts: Mapping[str, int]) -> str:
    """`16 (192 layers), 4 (86 layers)`; the one value alone where there is no other."""
    if len(counts) == 1:
        return next(iter(counts))
    shown = [f"{name} ({count} layers)" for name, count in list(counts.items())[:4]]
    return ", ".join(shown) + (f" and {len(counts) - 4} more" if len(counts) > 4 else "")


def _parts(look: Look) -> str:
    counts: dict[str, int] = {}
    for layer in look.layers:
        part = {"unet": "U-Net", "te1": "text encoder", "te2": "text encoder 2"}
        name = part[layer.place.part] if layer.place is not None else "elsewhere"
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def readers(look: Look) -> list[str]:
    """What A1111 1.10.1 and ComfyUI 0.3.68 make of the file otherwise than training did; their own code was tried with
    files of every kind (`tests/golden/consumers`)."""
    kinds = set(look.kinds)
    sides = dora_sides(look)
    told = [
        ("outputs" in sides, "DoRA by output: ComfyUI draws it nearly as trained, A1111 otherwise; compare in Try"),
        ("inputs" in sides, "DoRA by input: ComfyUI and A1111 draw it as it was trained; diffusers and PEFT cannot"),
        ("(IA)3" in kinds, "ComfyUI leaves (IA)3 out; A1111 takes it for linear layers only"),
        ("GLoRA" in kinds, "A1111 cannot use this GLoRA: it has its matrices in another order"),
    ]
    return [text for holds, text in told if holds]


def dora_sides(look: Look) -> list[str]:
    """What DoRA's sizes are of, in this file: "inputs", "outputs"; PEFT knows the latter only."""
    names = [layer.tensors["dora"] for layer in look.layers if "dora" in layer.tensors]
    inner = {"magnitude_vector" not in name and look.file.tensors[name].shape[:1] == (1,) for name in names}
    return [side for side, is_inner in (("inputs", True), ("outputs", False)) if is_inner in inner]


LONGEST = 400


def metadata_rows(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    """All metadata by name; long values cut, JSON made readable."""
    rows = []
    for name in sorted(metadata):
        text = _plain(metadata[name])
        rows.append((name, text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text)} characters)"))
    return rows


def _plain(text: str) -> str:
    if text[:1] not in "{[":
        return text
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(value, ensure_ascii=False)


def stripped(metadata: Mapping[str, str], strip: str, remove: Iterable[str], change: Iterable[str]) -> dict[str, str]:
    """Metadata after an edit, as `contract.adapter_tasks.Metadata` asks for it. ValueError for a line without "="."""
    kept = {name: text for name, text in metadata.items() if not _goes(name, strip, list(remove))}
    for line in change:
        name, equals, text = line.partition("=")
        if not equals or not name.strip():
            raise ValueError(line)
        kept[name.strip()] = text.strip()
    return kept


def _goes(name: str, strip: str, remove: list[str]) -> bool:
    named = any(
        name == each or (each.endswith("*") and name.startswith(each[:-1])) for each in map(str.strip, remove) if each
    )
    if named or strip == "everything":
        return True
    if strip == "all but what readers need":
        return name not in NEEDED
    return strip == "names and tags" and name in PRIVATE
