"""What is told of settings that the base model makes pointless or doubtful."""

from __future__ import annotations

import inspect
from typing import Any

import diffusers
import pytest

from trainer.contract import catalog, families, preset
from trainer.contract.families import Recognised
from trainer.plan.model_notes import model_notes

XL = Recognised("SDXL", "v", "single file", True, {"x": (1,)}, zero_snr=True, certain=True)
SD2 = Recognised("SD 2.x", "v", "single file", True, {"x": (1,)})
SD1 = Recognised("SD 1.x", "epsilon", "single file", True, {"x": (1,)})


@pytest.mark.parametrize(
    ("model", "changes", "said"),
    [
        (XL, {"captions.clip_skip": 2}, ["CLIP skip has no effect on SDXL"]),
        (SD1, {"captions.clip_skip": 2}, []),
        (XL, {}, []),
        (XL, {"sampling.sampler": "pndm"}, ["cannot begin at pure noise"]),
        (XL, {"sampling.sampler": "pndm", "model.zero_snr": "off"}, []),
        (SD2, {}, ["does not say what it predicts; v is assumed"]),
        (SD2, {"model.prediction": "epsilon"}, []),
        (SD1, {}, []),
    ],
)
def test_notes(model: Recognised, changes: dict[str, Any], said: list[str]) -> None:
    chosen = preset.resolve(preset.with_values(preset.build({}), changes), families.of(model))
    found = model_notes(chosen, model)
    assert len(found) == len(said) and all(part in text for part, text in zip(said, found))


def test_nothing_is_told_of_a_model_that_is_not_known() -> None:
    chosen = preset.resolve(preset.build({}), families.default_family())
    assert model_notes(chosen, None) == model_notes(chosen, Recognised("Flux.1", "flow", "x", False)) == []


def test_which_samplers_know_zero_terminal_snr() -> None:
    """As diffusers' own schedulers take it."""
    for row in catalog.SAMPLERS:
        scheduler = getattr(diffusers, row.target.partition(":")[2])
        assert ("rescale_betas_zero_snr" in inspect.signature(scheduler).parameters) == row.zero_snr, row.name
