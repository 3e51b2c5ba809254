"""What a made adapter file says of itself: base model and network as its sources have them, nothing private."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from trainer.contract.families.base import Family
from trainer.plan.adapters.look import Look

from .stream import hashed

_KEPT = (
    "ss_base_model_version", "ss_v2", "ss_zero_terminal_snr", "modelspec.sai_model_spec", "modelspec.architecture",
    "modelspec.implementation", "modelspec.prediction_type", "modelspec.resolution",
)  # fmt: skip
"""What holds for every file made from adapters of one base model."""


def metadata_of(
    sources: Iterable[Look], ranks: Mapping[str, int], wide: Iterable[str], made: Mapping[str, object], title: Path
) -> dict[str, str]:
    """Metadata of a new LoRA. `ranks`: layer -> rank, `wide`: those that are convolutions larger than 1x1; `made`: how
    it came about, kept under `loratory.made`."""
    looks = list(sources)
    kept = {name: looks[0].file.metadata[name] for name in _KEPT if looks and name in looks[0].file.metadata}
    same = {
        name: text for name, text in kept.items() if all(one.file.metadata.get(name, text) == text for one in looks)
    }
    family = looks[0].family if looks else None
    return hashed({**of_family(family), **same, **network(ranks, wide), "modelspec.title": title.stem, **told(made)})


def of_family(family: Family | None) -> dict[str, str]:
    """What tells readers the base model."""
    if family is None:
        return {}
    return {
        "ss_base_model_version": family.version,
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"{family.architecture}/lora",
        "modelspec.implementation": "diffusers",
    }


def network(ranks: Mapping[str, int], wide: Iterable[str]) -> dict[str, str]:
    """Kohya's pairs of network type and rank; "Dynamic" where layers differ, as sd-scripts' own resizing writes it."""
    wide = set(wide)
    plain = {rank for name, rank in ranks.items() if name not in wide}
    convs = {rank for name, rank in ranks.items() if name in wide}
    one = str(next(iter(plain))) if len(plain) == 1 else "Dynamic"
    arguments = {}
    if convs:
        conv = str(next(iter(convs))) if len(convs) == 1 else "Dynamic"
        arguments = {"conv_dim": conv, "conv_alpha": conv}
    found = {"ss_network_module": "networks.lora", "ss_network_dim": one, "ss_network_alpha": one}
    return {**found, "ss_network_args": json.dumps(arguments)} if arguments else found


def told(made: Mapping[str, object]) -> dict[str, str]:
    """How a file came about: numbers and hashes, no names of the user's."""
    return {"loratory.made": json.dumps(made)}


def mark(look: Look) -> str:
    """A source's own hash, by which it can be known again; "" where it has none."""
    return look.file.metadata.get("sshs_model_hash", "")[:12]
