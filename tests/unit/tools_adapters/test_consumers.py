"""Our files' keys against what A1111 and ComfyUI were seen to read: their own code was run once, its result is kept.

`tests/golden/consumers/*.json` names the versions, the commits and the functions that were run; `layers.json.gz` has
the layers that both of them matched.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from trainer.contract import catalog
from trainer.networks.base import Make
from trainer.parts import Target
from trainer.plan.adapters.look import all_families
from trainer.plan.layers import LayerSize
from trainer.run import resolve

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "consumers"
READERS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in GOLDEN.glob("*.json")}
LAYERS = json.loads(gzip.decompress((GOLDEN / "layers.json.gz").read_bytes()))

UNREAD = {("comfyui", "IA3")}
"""ComfyUI has no reader of (IA)3; A1111 reads it."""

OUTPUT = {"DoRA by output", "LoHa DoRA by output", "LoKr DoRA by output"}

OTHERWISE = {"comfyui": {"IA3", *OUTPUT}, "a1111": {"IA3", "GLoRA", *OUTPUT}}
"""Kinds whose keys are matched, and whose effect is not ours: ComfyUI divides DoRA's lengths of outputs by the norm of
the weight without the update, A1111 always by the norm of the inputs; A1111 has the matrices of GLoRA in another order,
and (IA)3 for linear layers only. DoRA's lengths of inputs, which are trained unless asked otherwise, both compute
alike."""

WITH_DORA = [row.name for row in catalog.NETWORKS if row.dora]
KINDS = [(row.name, False) for row in catalog.NETWORKS] + [(name, True) for name in WITH_DORA]


def recorded(name: str, dora: bool) -> str:
    """What the record calls a kind."""
    return name if not dora else "DoRA" if name == "LoRA" else f"{name} with DoRA"


def test_both_readers_are_recorded_with_their_versions() -> None:
    assert set(READERS) == {"a1111", "comfyui"}
    assert all(reader["version"] and len(reader["commit"]) == 40 for reader in READERS.values())


@pytest.mark.parametrize("reader", sorted(READERS))
@pytest.mark.parametrize("family", all_families(), ids=lambda family: family.name)
def test_no_key_of_any_kind_was_left_unmatched(reader: str, family: Any) -> None:
    kinds = READERS[reader]["families"][family.name]["kinds"]
    assert {recorded(name, dora) for name, dora in KINDS} <= set(kinds)
    left = {kind for kind, told in kinds.items() if told["unmatched"]}
    assert left == {kind for who, kind in UNREAD if who == reader}
    assert all(told["tensors"] >= 2 * len(LAYERS[family.name]) for told in kinds.values())


@pytest.mark.parametrize("reader", sorted(READERS))
def test_what_a_reader_does_with_a_file_is_what_we_do_but_for_the_kinds_that_are_known(reader: str) -> None:
    effect = READERS[reader]["effect"]
    same = {kind for kind, told in effect.items() if all(map(_small, told.values()))}
    assert set(effect) - same == OTHERWISE[reader]
    assert {"LoRA", "DoRA", "LoHa with DoRA", "LoKr with DoRA"} <= same


def _small(value: object) -> bool:
    return isinstance(value, float) and value < 1e-5


@pytest.mark.parametrize("family", all_families(), ids=lambda family: family.name)
def test_every_layer_that_can_be_trained_is_one_that_both_match(family: Any) -> None:
    assert {layer.key for layer in family.layers({})} == set(LAYERS[family.name])


@pytest.mark.parametrize(("name", "dora"), KINDS)
def test_every_tensor_that_a_network_writes_is_one_that_was_read(name: str, dora: bool) -> None:
    modules = [nn.Linear(16, 32), nn.Conv2d(16, 32, 1), nn.Conv2d(16, 32, 3)]
    targets = [
        Target(f"lora_unet_{number}", "unet", str(number), module, number > 0) for number, module in enumerate(modules)
    ]
    how = Make(size=lambda *_: LayerSize(4, 4.0, 1.0), dora=dora)
    with torch.no_grad():
        written = {tensor.partition(".")[2] for tensor in resolve("networks", name)(targets, how).tensors()}
    for reader in READERS.values():
        for family in reader["families"].values():
            kinds = family["kinds"]
            seen = [told["endings"] for kind, told in kinds.items() if kind.split()[0] == name]
            assert written - {"dora_scale"} <= set().union(*seen)
            assert not dora or "dora_scale" in kinds[recorded(name, dora)]["endings"]
