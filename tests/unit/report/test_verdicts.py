"""What is said of a run's time, from made-up splits: the right part and setting, and silence where all is well."""

from __future__ import annotations

import re
from typing import Any

import pytest

from trainer.contract import families
from trainer.contract import preset as presets
from trainer.contract.events import Timing
from trainer.contract.settings import Preset
from trainer.report.verdicts import LIMITS, WORDS, WORTH_S, YOUNG_STEPS, Split, in_a_line, verdict

WORK = {"forward": 40.0, "backward": 45.0, "optimizer": 3.0, "transfer": 0.5, "data": 1.0, "other": 2.0}


def split(inside: dict[str, float] | None = None, memory: dict[str, float] | None = None, **more: float) -> Split:
    """A run of a hundred steps whose work takes 91.5 s, and `more`."""
    use = more.pop("use", None)
    seconds = {**WORK, **more}
    found, half = Split(), {part: value / 2 for part, value in seconds.items()}
    for _ in range(2):  # two events, to be added up
        found.add(
            Timing(
                seconds=half,
                wall_s=sum(half.values()),
                steps=50,
                images=200,
                inside={name: value / 2 for name, value in (inside or {}).items()},
                memory=memory or {},
                device_use=use,
            )
        )
    return found


def preset(**changes: Any) -> Preset:
    values = {path.replace("__", "."): value for path, value in changes.items()}
    return presets.resolve(presets.with_values(presets.build({}), values), families.default_family())


CHECKPOINTED = {"memory__gradient_checkpointing": True}
READ, DECODE = {"read": 300.0, "decode": 20.0}, {"read": 5.0, "decode": 290.0}
LIVE = {"memory__cache_latents": False}

CASES = [
    ({"data": 140.0}, READ, LIVE, "61 % of the time waits for data: reading image", "memory.cache_latents"),
    ({"data": 140.0}, DECODE, LIVE, "decoding and resizing images is slow", "memory.cache_latents"),
    ({"data": 140.0}, {"vae": 130.0, "read": 3.0}, LIVE, "the VAE encodes each image anew", "memory.cache_latents"),
    ({"data": 60.0}, READ, {"dataset__jitter": 0.1}, "dataset.jitter keeps the latent cache off", "dataset.jitter"),
    ({"data": 60.0}, READ, {"dataset__rotate": 5}, "dataset.rotate keeps the latent cache off", "dataset.rotate"),
    ({"data": 60.0}, READ, {"dataset__crop": "random"}, "dataset.crop keeps", "dataset.crop"),
    ({"data": 60.0}, {"text": 55.0}, {"memory__cache_text": False}, "turn on the caption cache", "memory.cache_text"),
    ({"data": 60.0}, {"text": 55.0}, {"captions__dropout": 0.1}, "number of variants", "memory.caption_variants"),
    ({"data": 60.0}, {}, {}, "everything is cached, so it is the computer", ""),
    ({"sampling": 60.0}, {}, {}, "40 % of the time goes into sample pictures: draw less often", "sampling.every"),
    ({"validation": 60.0}, {}, {"validation__every": "5 steps"}, 'write validation.every = "auto"', "validation.every"),
    ({"validation": 60.0}, {}, {"validation__each_step": True}, "validation.each_step off", "validation.each_step"),
    ({"validation": 60.0}, {}, {}, "fewer timesteps", "validation.timesteps"),
    ({"saving": 60.0}, {}, {"saving__every": "10 steps"}, "goes into saving: save less often", "saving.every"),
    ({"saving": 60.0}, {}, {}, "goes into saving", "saving.state_every"),
    ({"optimizer": 60.0}, {}, {"optimizer__name": "AdamW8bit"}, "one without 8 bits works faster", "optimizer.name"),
    ({"optimizer": 60.0}, {}, {}, "raise training.batch_size", "training.batch_size"),
    ({"transfer": 60.0}, {}, {}, "the bus to the card is slow", ""),
    ({"transfer": 60.0}, {}, {"hardware__gpus": "0,1"}, "several GPUs wait for each other", "training.accumulate"),
    ({"other": 60.0}, {}, {}, "other programs keep the processor busy", ""),
    ({"sampling": 50.0, "data": 90.0}, READ, LIVE, "39 % of the time waits for data", "memory.cache_latents"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "inside", "changes", "words", "setting"), CASES)
def test_the_largest_trouble_is_named_with_its_setting(
    more: dict[str, float], inside: dict[str, float], changes: dict[str, Any], words: str, setting: str
) -> None:
    said = verdict(split(inside, **more), preset(**changes))
    assert words in said.text and said.setting == setting and said.text.endswith(".")


def test_every_setting_that_is_named_exists() -> None:
    known = {item.path for item in presets.ITEMS}
    for more, inside, changes, _, setting in CASES:
        for chosen in (preset(**changes), None):
            said = verdict(split(inside, **more), chosen)
            named = set(re.findall(r"\b[a-z]+\.[a-z_]+\b", said.text)) | ({said.setting} - {""})
            assert named <= known, said
        assert not setting or setting in known


CARD = {"device_total": 12e9, "device_used": 9e9, "device_peak": 8e9}
ROOMY = {"device_total": 24e9, "device_used": 5e9, "device_peak": 4e9}


@pytest.mark.parametrize(
    ("memory", "use", "changes", "words", "setting"),
    [
        ({}, None, {}, "the processor is at work", ""),
        (CARD, 0.95, {}, "93 % of the time is forward and backward: the GPU is busy, that is how it should be.", ""),
        ({"device_peak": 1e9}, None, CHECKPOINTED, "the GPU is busy", ""),
        (ROOMY, 0.95, CHECKPOINTED, "79 % of the card's memory is free", "memory.gradient_checkpointing"),
        (CARD, 0.95, CHECKPOINTED, "that is how it should be", ""),
        (ROOMY, 0.35, {}, "the GPU computes only 35 % of it", "training.batch_size"),
        (CARD, 0.35, {}, "that is how it should be", ""),
    ],
)  # fmt: skip
def test_where_nothing_is_in_the_way_the_device_is_judged(
    memory: dict[str, float], use: float | None, changes: dict[str, Any], words: str, setting: str
) -> None:
    more = {} if use is None else {"use": use}
    said = verdict(split(memory=memory, **more), preset(**changes))
    assert words in said.text and said.setting == setting


@pytest.mark.parametrize("part", LIMITS)
def test_limits_are_where_they_are_said_to_be(part: str) -> None:
    rest = sum(WORK.values()) - WORK.get(part, 0.0)
    over = LIMITS[part] / (1 - LIMITS[part]) * rest
    assert verdict(split(**{part: 1.02 * over}), preset()).text.startswith(f"{100 * LIMITS[part]:.0f} %")
    assert "forward and backward" in verdict(split(**{part: 0.98 * over}), preset()).text


def test_a_part_that_took_no_time_to_speak_of_is_no_trouble() -> None:
    quick = Split()
    quick.add(Timing(seconds={"forward": 0.1, "saving": WORTH_S - 0.01}, wall_s=WORTH_S + 0.09, steps=20))
    assert "forward and backward" in verdict(quick, preset()).text


def test_nothing_is_said_too_early() -> None:
    young = Split()
    young.add(Timing(seconds={"data": 30.0}, wall_s=30.0, steps=YOUNG_STEPS - 1))
    assert verdict(young).text == "" and verdict(Split()).text == ""
    begun = split(sampling=300.0)  # pictures before the first step of a run of which little is done
    assert "forward and backward" in verdict(begun, preset(), done=0.1).text
    assert "sample pictures" in verdict(begun, preset(), done=0.5).text


def test_events_add_up() -> None:
    found = split(memory={"device_peak": 5.0, "host_used": 1.0}, use=0.5, sampling=8.5)
    found.add(Timing(seconds={}, wall_s=100.0, memory={"device_peak": 3.0, "host_used": 2.0}, device_use=1.0))
    assert found.wall_s == pytest.approx(200) and (found.steps, found.images) == (100, 400)
    assert found.memory == {"device_peak": 5.0, "host_used": 2.0}
    assert found.device_use == pytest.approx(0.75)
    assert found.images_per_second == pytest.approx(400 / 191.5)
    assert found.share("forward", "backward") == pytest.approx(0.425)


def test_a_line_for_the_terminal() -> None:
    line = in_a_line(split(data=91.5))
    assert line.startswith("waiting for data 50 %, backward 25 %, forward 22 %") and line.endswith("(of 3:02)")
    assert "transfer" not in line, "half a second in three minutes"
    assert in_a_line(Split()) == "" and set(WORDS) == set(Timing.PARTS)
