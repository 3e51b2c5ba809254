"""Bars of blocks, counts of rules, the curve of timesteps: they show what the fields say, and write what these hold."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from gui.form import blocks, layer_rules, timestep_plot
from gui.form.live import off_by_model
from gui.form.session import Draft
from trainer.contract import families
from trainer.contract.families import Family
from trainer.contract.preset import resolve, with_values
from trainer.contract.settings import Noise, Preset

FAMILIES = ["SD 1.x", "SDXL"]


def full(family: Family, **changes: Any) -> Preset:
    """A resolved preset with settings of the network changed."""
    return resolve(with_values(Preset(), {f"network.{name}": value for name, value in changes.items()}), family)


def edited(family: Family, preset: Preset, asked: dict[str, Any]) -> Preset:
    """The preset after an edit of the bars, through the fields, as the page does it."""
    draft = Draft(preset=preset)
    for path, content in blocks.contents(preset, family, asked).items():
        draft.edit(path, content)
    assert not draft.faults
    return resolve(draft.preset, family)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("what", ["rank", "conv_rank", "alpha", "conv_alpha", "rate"])
def test_what_a_bar_is_set_to_is_what_it_shows_then(name: str, what: str) -> None:
    family = families.by_name(name)
    preset = full(family, conv_rank=4)
    told = blocks.told(preset, family, family.layers({}))
    assert len(told["names"]) == len(told["layers"]) == len(told[what]["values"]) == {"SD 1.x": 25, "SDXL": 23}[name]
    values = [each if each_index in told["fixed"] and what == "rate" else float(each_index % 5) for each_index, each in
              enumerate(told[what]["values"])]  # fmt: skip
    after = edited(family, preset, {"what": what, "values": values})
    assert blocks.told(after, family, family.layers({}))[what]["values"] == values
    equal = edited(family, after, {"what": what, "equal": True})
    assert blocks.told(equal, family, family.layers({}))[what]["values"] == told[what]["values"]


def test_blocks_are_named_and_their_layers_counted() -> None:
    family = families.by_name("SD 1.x")
    plain = blocks.told(full(family), family, family.layers({}))
    assert plain["names"][0] == "IN00" and plain["names"][12] == "M00" and plain["names"][24] == "OUT11"
    assert sum(plain["layers"]) == 192 and plain["layers"][0] == plain["layers"][3] == 0
    assert blocks.told(full(family, conv_rank=4), family, family.layers({}))["layers"][3] == 1
    wide = families.by_name("SDXL")
    large = blocks.told(full(wide), wide, wide.layers({}))
    assert sum(large["layers"]) == 722 and large["fixed"] == [0, 22]


def test_a_curve_is_kept_by_its_name_until_one_of_its_bars_moves() -> None:
    family = families.by_name("SD 1.x")
    shaped = edited(family, full(family), {"shape": "cosine", "base": 0.25, "where": "both"})
    assert (shaped.network.down_rates, shaped.network.up_rates) == ("cosine+0.25", "cosine+0.25")
    values = blocks.told(shaped, family, [])["rate"]["values"]
    assert values[0] == 1.25 and values[11] == 0.25 and values[12] == 1
    values[24] = 0.5
    after = edited(family, shaped, {"what": "rate", "values": values}).network
    assert (
        after.down_rates == "cosine+0.25" and after.up_rates.startswith("1.25, ") and after.up_rates.endswith(", 0.5")
    )
    one = edited(family, full(family), {"shape": "zeros", "base": 0, "where": "up"}).network
    assert (one.down_rates, one.up_rates) == ("", "zeros")


def test_alphas_bring_the_ranks_that_they_need_and_equal_ranks_need_no_list() -> None:
    family = families.by_name("SDXL")
    preset = edited(family, full(family, rank=8), {"what": "alpha", "values": [4.0] * 22 + [2.5]})
    assert preset.network.block_ranks == [8] * 23 and preset.network.block_alphas[-1] == 2.5
    kept = edited(family, preset, {"what": "rank", "values": [8.0] * 23})
    assert kept.network.block_ranks == [8] * 23, "the alphas still need them"
    ranks = edited(family, full(family, rank=8), {"what": "rank", "values": [8.0] * 22 + [2.0]})
    assert ranks.network.block_ranks == [8] * 22 + [2]
    assert edited(family, ranks, {"what": "rank", "values": [8.0] * 23}).network.block_ranks == []


@pytest.mark.parametrize(
    "asked",
    [{}, {"what": "rank"}, {"what": "rank", "values": [1] * 3}, {"what": "rank", "values": ["x"] * 25},
     {"what": "rank", "values": [-1] * 25}, {"what": "no", "values": [1] * 25}, {"shape": "spiral"},
     {"what": ["rank"], "equal": True}, {"what": "rank", "values": [True] * 10_000}],
)  # fmt: skip
def test_a_message_that_fits_no_bars_changes_nothing(asked: dict[str, Any]) -> None:
    family = families.by_name("SD 1.x")
    assert blocks.contents(full(family), family, asked) == {}


def test_fields_with_faults_still_show_bars() -> None:
    family = families.by_name("SD 1.x")
    told = blocks.told(full(family, block_ranks=[4, 4], down_rates="spiral", rank=16), family, [])
    assert told["rank"]["values"] == [4, 4] + [16] * 23 and told["rate"]["values"] == [1] * 25


def rules(*matches: str, **changes: Any) -> list[dict[str, Any]]:
    family = families.by_name("SD 1.x")
    preset = full(family, layers=[{"match": match} for match in matches], **changes)
    return layer_rules.told(preset, family.layers({}))


def test_a_rule_says_how_many_layers_it_fits() -> None:
    attn2, again, none, bare = rules("attn2_to_", "attn2|attn1_to_q", "nothing_like_it", "")
    assert attn2 == {"text": "fits 64 of 192 layers", "bad": False}
    assert again["text"] == "fits 80 of 192 layers, 64 of them have a rule above"
    assert none == {"text": "fits 0 of 192 layers", "bad": True} and "fits all" in bare["text"]
    assert rules("mlp_fc1", text_encoder=True)[0]["text"] == "fits 12 of 264 layers"


def test_a_pattern_that_is_none_is_told_and_one_that_would_take_for_ever_is_left() -> None:
    assert rules("attn(")[0]["bad"] and "no regular expression" in rules("attn(")[0]["text"]
    began = time.process_time()
    for match in ("(a+)+$", "(.*)*x", "(_|_|a)*!", ".*.*.*.*.*!", "a*a*a*a*a*b", "x" * 300):
        assert rules(match)[0]["text"] == "too involved to be counted here", match
    assert time.process_time() - began < 1.5


def test_the_curve_shades_what_is_left_out() -> None:
    whole = timestep_plot.chart(Noise())
    assert "<svg" in whole and 'left-out"></div>' in whole
    some = timestep_plot.chart(Noise(timestep_min=100, timestep_max=900, timesteps="logit normal"))
    assert re.findall(r'class="(low|high)" style="width:([\d.]+)%"', some) == [("low", "10.0"), ("high", "10.0")]
    assert timestep_plot.chart(Noise(timestep_min=500, timestep_max=500)) == ""


def test_what_means_nothing_to_the_model_says_so() -> None:
    small, large = (families.by_name(name) for name in FAMILIES)
    assert "one text encoder" in off_by_model(full(small), small, None)["optimizer.text_encoder_2_learning_rate"]
    told = off_by_model(full(large), large, None)
    assert "captions.clip_skip" in told and "optimizer.text_encoder_2_stop" not in told
    v = with_values(full(large), {"model.prediction": "v"})
    assert "noise.v_like" in off_by_model(v, large, None) and "noise.v_like" not in told
