"""What an autopsy says: the likeliest remedy first, true to the settings."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trainer.contract import families
from trainer.contract import preset as presets
from trainer.report.remedies import Case, Found, Look, Where, remedies, story


def case(where: Where = "forward", changes: dict[str, Any] | None = None, **more: Any) -> Case:
    preset = presets.with_values(presets.build({}), {"precision.compute": "float", **(changes or {})})
    facts: dict[str, Any] = {"loss": math.nan, "grad_norm": math.inf, "device": "CPU", "looks": []}
    found = Found(where, "unet.mid_block.conv", "fp16", 61_000.0)
    preset = presets.resolve(preset, families.default_family())
    return Case(**{"step": 12, "kept": 11, "found": found, "preset": preset, **facts, **more})


def paths(of: Case) -> list[str]:
    return [problem.path for problem in remedies(of)]


def test_fp16_is_suspected_first_unless_the_loss_had_risen() -> None:
    fp16 = {"precision.compute": "fp16"}
    assert paths(case(changes=fp16))[0] == "precision.compute"
    risen = [(0.9, 1.0)] * 5
    assert paths(case(changes=fp16, before=risen, start_loss=0.1))[0] == "optimizer.learning_rate"
    assert paths(case(changes=fp16, before=risen, start_loss=0.8))[0] == "precision.compute"
    assert "precision.compute" not in paths(case())


def test_a_card_whose_fp16_is_known_to_fail_is_sent_to_float() -> None:
    (first, *_) = remedies(case(changes={"precision.compute": "fp16"}, device="NVIDIA GeForce GTX 1660"))
    assert first.fix == "float" and "GTX 16xx" in first.why


def test_only_what_is_not_done_yet_is_advised() -> None:
    done = {"optimizer.max_grad_norm": 1.0, "schedule.warmup": 5}
    undone = {"optimizer.max_grad_norm": 0.0, "schedule.warmup": 0}
    more = {"optimizer.max_grad_norm", "schedule.warmup"}
    assert not more & set(paths(case(changes=done))) and more <= set(paths(case(changes=undone)))


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ("latents", "dataset.folders"),
        ("caption", "precision.compute"),
        ("base model", "model.path"),
        ("nowhere", "hardware.gpus"),
        ("adapter", "training"),
        ("backward", "optimizer.learning_rate"),
        ("gradient", "optimizer.learning_rate"),
        ("unknown", "optimizer.learning_rate"),
    ],
)
def test_every_place_has_its_own_remedy_and_words(where: Where, path: str) -> None:
    assert paths(case(where))[0] == path
    assert any("unet.mid_block.conv" in line for line in story(case(where))) or where == "nowhere"


def test_the_story_names_step_format_layer_images_and_what_came_before() -> None:
    looks = [Look("a.png", 17, "", 1, 0, 0.2), Look("b.png", 940, "", 2, 0, math.nan)]
    found = Found("forward", "unet.mid_block.conv", "fp16", 61_000.0, [looks[1]])
    told = case(changes={"precision.compute": "fp16"}, found=found, looks=looks, before=[(0.1, 0.5)], loss_scale=512.0)
    text = "\n".join(story(told))
    for words in (
        "Step 12 had the loss nan", "that of step 11", "Computed in fp16", "loss scale 512", "6.1e+04",
        "b.png (timestep 940, batch 2 of the step, loss nan)", "losses 0.1; gradient norms 0.5",
    ):  # fmt: skip
        assert words in text, words
    assert "a.png" not in text


def test_a_process_that_lost_another_says_so() -> None:
    from trainer.report.causes import cause_of

    said = "[pair.cc:553] Connection closed by peer [127.0.0.1]:1. Check the logs of the remote worker. GLHF!"
    assert cause_of(RuntimeError(said)).startswith("another process of this run ended")
    assert cause_of(RuntimeError("shapes differ")) == "shapes differ (RuntimeError)"
