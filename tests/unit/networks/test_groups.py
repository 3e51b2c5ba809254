"""What the optimizer gets: rates by part, block and matrix; parts that stop; what a file says of its network."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from tests.adapter_kinds import CASES, build, small, targets
from trainer.contract import catalog, preset
from trainer.contract.families import by_name
from trainer.contract.settings import Preset
from trainer.networks.lora import LoRA
from trainer.optim.average import Average
from trainer.optim.optimizers import applied_rates, make_optimizer
from trainer.optim.schedule import Scheduler
from trainer.plan.changes import rule_of
from trainer.plan.network_facts import network_facts
from trainer.trained import make_groups

FAMILY = by_name("SDXL")


def resolved(changes: dict[str, Any]) -> Preset:
    return preset.resolve(preset.with_values(preset.build({}), changes), FAMILY)


def of_three_parts() -> LoRA:
    """The same three layers in the U-Net and in two encoders."""
    model = small()
    parts = [target for part in ("unet", "te1", "te2") for target in targets(model, part)]
    for index, target in enumerate(parts):
        object.__setattr__(target, "key", f"lora_{index}_{target.path}")
    return LoRA(parts, 2, 2.0, 2, 2.0)


BOTH = {
    "network.text_encoder": True,
    "optimizer.learning_rate": 1e-3,
    "optimizer.text_encoder_learning_rate": 1e-4,
    "optimizer.text_encoder_2_learning_rate": 5e-5,
}


def test_each_part_has_its_rate_and_lora_plus_its_own() -> None:
    chosen = resolved({**BOTH, "optimizer.loraplus": 4.0, "optimizer.loraplus_text_encoder": 1.0})
    groups = make_groups(chosen, of_three_parts(), 100)
    assert [(group.name, group.factor, len(group.parameters)) for group in groups] == [
        ("unet", 1.0, 3),
        ("unet", 4.0, 3),
        ("text_encoder", 1.0, 6),
        ("text_encoder_2", 1.0, 6),
    ]
    assert [group.rate for group in groups] == pytest.approx([1e-3, 4e-3, 1e-4, 5e-5])
    optimizer = make_optimizer(torch.optim.AdamW, catalog.optimizer("AdamW"), groups, chosen.optimizer)
    Scheduler(optimizer, preset.with_values(chosen, {"schedule.name": "linear"}).schedule, 100).set(51)
    told = applied_rates(optimizer)
    assert set(told) == {"unet", "text_encoder", "text_encoder_2"}
    assert told["unet"] == optimizer.param_groups[0]["lr"] and told["unet"] < 1e-3, "that of a factor 1"


def test_an_encoder_with_rate_zero_is_not_trained() -> None:
    groups = make_groups(resolved({**BOTH, "optimizer.text_encoder_2_learning_rate": 0.0}), of_three_parts(), 100)
    assert [group.name for group in groups] == ["unet", "text_encoder"]


@pytest.mark.parametrize("name", ["AdamW", "Adam", "SGD", "Lion", "ScheduleFreeAdamW", "Adafactor"])
def test_a_part_that_has_stopped_does_not_move(name: str) -> None:
    """With momentum, decay and averages of its own: what gets no gradient is left alone by every optimizer."""
    chosen = resolved({**BOTH, "optimizer.name": name, "optimizer.text_encoder_stop": 50.0})
    network, row = of_three_parts(), catalog.optimizer(name)
    groups = make_groups(chosen, network, 4)
    assert [group.last_step for group in groups][1:] == [2, 2]
    module, _, attribute = row.target.partition(":")
    kind = getattr(__import__(module, fromlist=[attribute]), attribute)
    optimizer = make_optimizer(kind, row, groups, chosen.optimizer)
    schedule = Scheduler(optimizer, chosen.schedule, 4)
    seen = []
    for step in (1, 2, 3, 4):
        schedule.set(step)
        optimizer.zero_grad(set_to_none=True)
        loss = sum(value.square().sum() + value.sum() for group in groups for value in group.parameters)
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
        seen.append({part: [v.detach().clone() for v in network.parameters(part)] for part in ("unet", "te1", "te2")})
    for part in ("te1", "te2"):
        assert all(torch.equal(a, b) for a, b in zip(seen[1][part], seen[3][part]))
    assert all(not torch.equal(a, b) for a, b in zip(seen[1]["unet"], seen[3]["unet"]))
    assert applied_rates(optimizer)["text_encoder"] == 0.0 < applied_rates(optimizer)["unet"]
    schedule.set(1)
    assert all(value.requires_grad for group in groups for value in group.parameters), "a run that begins anew"


@pytest.mark.parametrize("case", ["LoHa", "LoKr", "DyLoRA", "GLoRA"])
def test_lora_plus_is_for_what_starts_at_zero(case: str) -> None:
    network = build(case, small())
    outer = [piece.values for piece in network.pieces("unet") if piece.outer]
    assert outer and not any(value.any() for value in outer)
    assert all(piece.values.any() for piece in network.pieces("unet") if not piece.outer)
    assert CASES[case][0] in {row.name for row in catalog.NETWORKS if row.paired}


def test_an_average_follows_and_leaves_what_is_trained_alone() -> None:
    value = torch.nn.Parameter(torch.zeros(3))
    average = Average([value], 0.9)
    with torch.no_grad():
        value.fill_(1.0)
    average.add(1, torch.tensor(False))
    assert not average.values[0].any(), "a step that changed nothing does not count"
    average.add(1, torch.tensor(True))
    assert average.values[0] == pytest.approx(torch.full((3,), 1 - 2 / 11))
    with average.in_use():
        assert torch.equal(value.detach(), average.values[0])
    assert torch.equal(value.detach(), torch.ones(3))


@pytest.mark.parametrize(
    ("changes", "module", "arguments"),
    [
        ({}, "networks.lora", None),
        ({"network.conv_rank": 4}, "networks.lora", {"conv_dim": "4", "conv_alpha": "4.0"}),
        (
            {"network.dora": True},
            "lycoris.kohya",
            {"algo": "locon", "dora_wd": "True", "wd_on_output": "False", "preset": "attn-mlp"},
        ),
        (
            {"network.rank_stabilised": True},
            "lycoris.kohya",
            {"algo": "locon", "rs_lora": "True", "preset": "attn-mlp"},
        ),
        (
            {"network.type": "LoKr", "network.args": {"factor": 8}},
            "lycoris.kohya",
            {"algo": "lokr", "factor": "8", "preset": "attn-mlp"},
        ),
        (
            {"network.type": "OFT", "network.rank_dropout": 0.1},
            "lycoris.kohya",
            {"algo": "diag-oft", "rank_dropout": "0.1", "preset": "attn-mlp"},
        ),
        (
            {"network.block_ranks": [2] * 23, "network.up_rates": "cosine", "network.rates_zero": 0.1},
            "networks.lora",
            {"block_dims": ",".join(["2"] * 23), "up_lr_weight": "cosine", "block_lr_zero_threshold": "0.1"},
        ),
        (
            {"network.layers": [{"match": "attn1", "rank": 4}], "optimizer.loraplus": 16.0},
            "networks.lora",
            {"loraplus_lr_ratio": "16"},  # it has no word for rules
        ),
        (
            {"optimizer.loraplus": 4.0, "optimizer.loraplus_text_encoder": 1.0, "network.text_encoder": True},
            "networks.lora",
            {"loraplus_unet_lr_ratio": "4"},  # the one for both would be the text encoder's too
        ),
    ],
)
def test_a_file_says_of_its_network_what_kohyas_would(
    changes: dict[str, Any], module: str, arguments: dict[str, str] | None
) -> None:
    facts = dict(network_facts(resolved(changes)))
    assert facts["ss_network_module"] == module and facts["ss_network_dim"] == "16"
    assert json.loads(facts.get("ss_network_args", "null")) == arguments


@pytest.mark.parametrize(
    "changes",
    [
        {"network.type": "LoKr", "network.args": {"factor": 8}, "network.dora": True},
        {"network.type": "OFT", "network.args": {"constraint": 0.01, "rescaled": True}},
        {"network.dora": True, "network.rank_stabilised": True, "network.conv_rank": 4},
        {"network.dora": True, "network.args": {"wd_on_output": True}},
        {"network.block_ranks": [2] * 23, "network.up_rates": "cosine+.25", "optimizer.loraplus": 4.0},
        {"network.rank_dropout": 0.12345678, "network.rates_zero": 1e-7},
    ],
)
def test_what_a_file_says_is_read_back(changes: dict[str, Any]) -> None:
    """ "Train like this one" gets the network that made the file."""
    from trainer.contract.importers.adapter import from_metadata

    found = from_metadata(dict(network_facts(resolved(changes))))
    assert {path: preset.value_at(found.preset, path) for path in changes} == changes


def test_a_ratio_of_the_unet_alone_is_read_back_as_such() -> None:
    from trainer.contract.importers.adapter import from_metadata

    ratios = {"optimizer.loraplus": 4.0, "optimizer.loraplus_text_encoder": 1.0}
    found = from_metadata(dict(network_facts(resolved({**ratios, "network.text_encoder": True})))).preset
    assert {path: preset.value_at(found, path) for path in ratios} == ratios


RULES = [
    {"match": "attn2_to_(k|v)$", "rank": 4},
    {"match": "ff_net.{1,3}=?", "rate": 0.5},
    {"match": "proj_in", "rank": 8, "alpha": 2.5, "rate": 1 / 3},
    {"match": "mid_block", "rank": 0},
]


def test_rules_of_layers_are_read_back_row_by_row_and_say_nothing_under_the_names_of_others() -> None:
    """sd-scripts' `network_reg_lrs` are rates, ours are factors: its name must not say ours."""
    from trainer.contract.importers.adapter import OWN_RULES, from_metadata

    wanted = resolved({"network.layers": RULES})
    told = dict(network_facts(wanted))
    assert told.pop(OWN_RULES) and told == dict(network_facts(resolved({})))
    told = dict(network_facts(wanted))
    found = from_metadata(told)
    assert found.preset.network.layers == wanted.network.layers
    assert [(line.fate, line.setting) for line in found.keys if line.name == OWN_RULES] == [
        ("mapped", "network.layers")
    ]
    for broken in ("[", '["a"]', '[{"rank": -1}]', "3"):
        found = from_metadata({**told, OWN_RULES: broken})
        assert [line.fate for line in found.keys if line.name == OWN_RULES] == ["dropped"]
        assert found.preset.network.layers == []


def test_what_may_change_in_a_run_that_goes_on() -> None:
    kinds = {path: rule_of(path)[0] for path in ("network.ema", "network.max_norm", "network.rank_dropout")}
    assert set(kinds.values()) == {"told"}
    for path in ("network.type", "network.dora", "network.block_ranks", "network.start", "network.up_rates"):
        assert rule_of(path)[0] == "refused"
    assert rule_of("optimizer.loraplus")[0] == rule_of("model.adapters")[0] == "refused"
    assert rule_of("optimizer.text_encoder_2_stop")[0] == "told" and rule_of("saving.diffusers")[0] == "free"
