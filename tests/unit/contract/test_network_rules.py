"""Rules of the network's settings: one row each, with the setting that it names and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.contract import families, preset, rules, rules_network
from trainer.contract.adapter_lines import make_line, parse_line
from trainer.contract.settings import Preset

FAMILY = families.by_name("SD 1.x")
LARGE = families.by_name("SDXL")


def resolved(changes: dict[str, Any]) -> Preset:
    return preset.resolve(preset.with_values(preset.build({}), changes), FAMILY)


TABLE: list[tuple[dict[str, Any], str, str]] = [
    ({"network.type": "OFT", "network.dora": True}, "network.dora", "cannot be trained as DoRA"),
    ({"network.type": "IA3", "network.rank_stabilised": True}, "network.rank_stabilised", "no alpha / rank"),
    ({"network.type": "BOFT", "network.max_norm": 1.0}, "network.max_norm", "rotation"),
    ({"network.type": "IA3", "optimizer.loraplus": 4.0}, "optimizer.loraplus", "start at zero"),
    ({"network.type": "LoKr", "saving.diffusers": True}, "saving.diffusers", "diffusers does not read it"),
    ({"network.dora": True, "saving.diffusers": True}, "saving.diffusers", "sizes are of a layer's outputs"),
    (
        {"network.type": "LoKr", "network.start": "a.safetensors", "network.start_ranks": True},
        "network.start_ranks",
        "tell no ranks",
    ),
    ({"network.args": {"factor": 8}}, "network.args", "LoRA has no argument 'factor'"),
    ({"network.type": "LoKr", "network.args": {"fator": 8}}, "network.args", "no argument 'fator'"),
    ({"network.type": "LoKr", "network.args": {"factor": 2.5}}, "network.args", "whole number"),
    ({"network.type": "LoKr", "network.args": {"factor": 0}}, "network.args", "-1 to 1024, not 0"),
    ({"network.type": "OFT", "network.args": {"rescaled": 1}}, "network.args", "true or false"),
    ({"network.type": "OFT", "network.args": {"constraint": "much"}}, "network.args", "it is a number"),
    ({"network.type": "DyLoRA", "network.rank": 10}, "network.rank", "not a multiple of 4"),
    ({"network.layers": [{"match": "attn(", "rank": 4}]}, "network.layers", "row 1: 'attn(' is no regular"),
    ({"network.layers": [{"match": " ", "rank": 4}]}, "network.layers", "row 1 names no layers"),
    ({"network.layers": [{"match": "attn"}]}, "network.layers", "row 1 changes nothing"),
    ({"network.block_conv_alphas": [1.0] * 25}, "network.block_conv_alphas", "no convolution is trained"),
    ({"network.block_ranks": [4] * 24}, "network.block_ranks", "24 values, SD 1.x has 25 blocks"),
    ({"network.block_ranks": [-1] * 25}, "network.block_ranks", "below 0"),
    ({"network.down_rates": "cosinus"}, "network.down_rates", "neither a number"),
    ({"network.mid_rates": "1,1"}, "network.mid_rates", "2 factors for 1 block"),
    ({"optimizer.name": "Prodigy", "optimizer.loraplus": 4.0}, "optimizer.loraplus", "one rate for everything"),
    ({"optimizer.name": "Prodigy", "network.up_rates": "cosine"}, "network.up_rates", "one rate for everything"),
    (
        {"optimizer.name": "Prodigy", "network.layers": [{"match": "attn", "rate": 0.5}]},
        "network.layers",
        "one rate for everything",
    ),
    (
        {"network.unet": False, "network.text_encoder": True, "optimizer.text_encoder_stop": 50.0},
        "optimizer.text_encoder_stop",
        "U-Net is off",
    ),
    ({"optimizer.name": "ScheduleFreeAdamW", "network.ema": 0.99}, "network.ema", "averages its own path"),
    ({"model.adapters": ["a.safetensors @ strong"]}, "model.adapters", "is no strength"),
]


@pytest.mark.parametrize(("changes", "path", "said"), TABLE)
def test_what_does_not_go_is_one_problem(changes: dict[str, Any], path: str, said: str) -> None:
    (problem,) = rules.check(resolved(changes), FAMILY)
    assert problem.path == path and said in problem.why and problem.fix
    if problem.change:  # what the button does, solves it
        assert rules.check(resolved({**changes, **dict(problem.change)}), FAMILY) == []


def test_every_rule_of_networks_has_a_row() -> None:
    found = set()
    for changes, _, _ in TABLE:
        chosen = resolved(changes)
        found |= {rule for rule in rules_network.SETTINGS if rule(chosen)}
        found |= {rule for rule in rules_network.FAMILY if rule(chosen, FAMILY)}
    assert found == {*rules_network.SETTINGS, *rules_network.FAMILY}


@pytest.mark.parametrize(
    "changes",
    [
        {"network.type": "LoKr", "network.args": {"factor": -1, "decompose_both": True}},
        {"network.type": "DyLoRA", "network.args": {"block_size": 2}, "network.rank": 6},
        {"network.type": "OFT", "network.args": {"constraint": 1}},
        {"network.dora": True, "network.rank_stabilised": True},
        {"network.dora": True, "network.args": {"wd_on_output": True}, "saving.diffusers": True},
        {"network.dora": True, "network.type": "LoKr", "network.args": {"wd_on_output": False, "factor": 4}},
        {"network.block_ranks": [4] * 25, "network.block_conv_ranks": [2] * 25},
        {"network.down_rates": "cosine+.25", "network.mid_rates": "0", "network.up_rates": "1,1,0"},
        {"optimizer.name": "Prodigy", "network.up_rates": "1,0,1"},
        {"network.layers": [{"match": r"attn1_to_[qk]$", "rank": 0}]},
    ],
)
def test_what_goes_together_passes(changes: dict[str, Any]) -> None:
    assert rules.check(resolved(changes), FAMILY) == []


def test_another_family_has_another_number_of_blocks() -> None:
    chosen = resolved(
        {"network.block_ranks": [4] * 25, "network.mid_rates": "1,1,1", "network.down_rates": "1" + ",1" * 8}
    )
    found = rules_network.blocks(chosen, LARGE)
    assert [problem.path for problem in found] == ["network.block_ranks"] and "23 blocks" in found[0].why


def test_lines_of_adapters_hold_a_file_and_a_strength() -> None:
    assert parse_line("style.safetensors") == ("style.safetensors", 1.0)
    assert parse_line(' "a b/style.safetensors" @ -0.5 ') == ("a b/style.safetensors", -0.5)
    assert parse_line("me@home/style.safetensors") == ("me@home/style.safetensors", 1.0)
    for path, strength in (("x.safetensors", 1.0), ("x@y.safetensors", 0.8)):
        assert parse_line(make_line(path, strength)) == (path, strength)
    for wrong in ("", "x.safetensors @", "x.safetensors @ 1000", "x.safetensors @ nan"):
        with pytest.raises(ValueError, match=r"file|strength"):
            parse_line(wrong)
