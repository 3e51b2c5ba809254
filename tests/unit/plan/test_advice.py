"""What saves memory: only what is left to do, the cheapest in speed first, every setting a real one."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.contract import families
from trainer.contract import preset as presets
from trainer.plan.advice import in_words, memory_relief


def named(**changes: Any) -> list[str]:
    values = {path.replace("__", "."): value for path, value in changes.items()}
    preset = presets.resolve(presets.with_values(presets.build({}), values), families.default_family())
    return [relief.setting for relief in memory_relief(preset)]


DEAR = {
    "precision__compute": "float",
    "sampling__every": "never",
    "optimizer__name": "Lion",
    "memory__cache_latents": False,
    "memory__cache_text": False,
    "training__batch_size": 4,
    "memory__gradient_checkpointing": False,
    "network__rank": 64,
    "dataset__resolution": 768,
}


def test_all_that_can_be_done_the_cheapest_first() -> None:
    assert named(**DEAR) == [
        "precision.compute", "memory.cache_latents", "memory.cache_text", "training.batch_size",
        "memory.gradient_checkpointing", "network.rank", "dataset.resolution",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"precision__compute": "bf16"}, "precision.compute"),
        ({"memory__cache_latents": True}, "memory.cache_latents"),
        ({"training__batch_size": 1}, "training.batch_size"),
        ({"memory__gradient_checkpointing": True}, "memory.gradient_checkpointing"),
        ({"network__text_encoder": True}, "memory.cache_text"),
    ],
)
def test_what_is_done_is_not_advised(changes: dict[str, Any], gone: str) -> None:
    assert gone in named(**DEAR) and gone not in named(**{**DEAR, **changes})


def test_settings_are_real_ones_and_a_few_are_told() -> None:
    assert set(named(**DEAR, network__text_encoder=True)) <= {item.path for item in presets.ITEMS}
    four = presets.with_values(presets.build({}), {"training.batch_size": 4})
    preset = presets.resolve(four, families.default_family())
    text = in_words(memory_relief(preset), most=1)
    assert text.startswith("training.batch_size (2 with training.accumulate = 2") and ";" not in text


def test_what_the_settings_keep_in_memory_by_other_ways_is_named_too() -> None:
    assert named(precision__base="float", optimizer__name="AdamW")[0] == "precision.base"
    told = named(dataset__crop="random", optimizer__name="AdamW", training__batch_size=1)
    assert told[0] == "dataset" and "optimizer.name" in told
    assert "sampling.every" in named(sampling__every="1 epoch") and "sampling.every" not in told  # the VAE stays anyway
    assert "memory.caption_variants" in named(captions__shuffle=True)


def test_the_cpu_is_not_sent_to_formats_that_it_emulates() -> None:
    preset = presets.with_values(presets.build({}), {"precision.compute": "float"})
    resolved = presets.resolve(preset, families.default_family())
    assert "precision.compute" not in [relief.setting for relief in memory_relief(resolved, "cpu")]
