"""Ranks, alphas and rates of layers: sd-scripts' lists of blocks, its curves, rules before them."""

from __future__ import annotations

import math
import re

import pytest

from trainer.contract.settings import LayerRule, Network
from trainer.plan.layers import BlockValue, LayerSize, block_values, parse_rates, reaches_residual, sizes

UP_DOWN = re.compile(r"(up|down)_blocks_(\d+)_(resnets|upsamplers|downsamplers|attentions)_(\d+)_")


class Blocks25:
    """Only what `sizes` asks of a family, with sd-scripts' `get_block_index` written out for SD 1.x."""

    blocks = tuple(f"B{number}" for number in range(25))

    def block_of(self, key: str) -> int:
        found = UP_DOWN.search(key)
        if not found:
            return 12 if "mid_block_" in key else -1
        way, level, kind, number = found.groups()
        place = 3 * int(level) + (2 if kind.endswith("samplers") else int(number))
        return 1 + place if way == "down" else 13 + place


FAMILY = Blocks25()
DOWN_0 = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
MIDDLE = "lora_unet_mid_block_attentions_0_proj_in"
UP_3 = "lora_unet_up_blocks_3_attentions_2_proj_out"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"
TIME = "lora_unet_down_blocks_0_resnets_0_time_emb_proj"
TEXT = "lora_te_text_model_encoder_layers_0_mlp_fc1"


def network(**values: object) -> Network:
    plain = {"alpha": 8.0, "rank": 16, "conv_alpha": 0.0}
    return Network.model_validate({**plain, **values})


def test_without_lists_every_layer_has_the_networks_rank() -> None:
    size = sizes(network(), FAMILY)  # type: ignore[arg-type]
    assert {size(key, False) for key in (DOWN_0, MIDDLE, UP_3, TEXT)} == {LayerSize(16, 8.0, 1.0)}
    assert size(CONV, True, True).rank == size(TIME, False, True).rank == 0
    wide = sizes(network(conv_rank=4, conv_alpha=2.0), FAMILY)  # type: ignore[arg-type]
    assert wide(CONV, True, True) == LayerSize(4, 2.0, 1.0) and wide(TIME, False, True) == LayerSize(16, 8.0, 1.0)


def test_lists_of_blocks_count_as_sd_scripts_counts_them() -> None:
    """`get_block_dims_and_alphas`: the text encoder keeps the network's rank; alpha 0 stands for the rank."""
    given = network(block_ranks=list(range(25)), block_alphas=[0.0] * 12 + [3.0] * 13)
    size = sizes(given, FAMILY)  # type: ignore[arg-type]
    assert size(DOWN_0, False) == LayerSize(1, 1.0, 1.0)
    assert size(MIDDLE, False) == LayerSize(12, 3.0, 1.0)
    assert size(UP_3, False) == LayerSize(24, 3.0, 1.0)
    assert size(TEXT, False) == LayerSize(16, 8.0, 1.0)
    assert size(CONV, True, True).rank == 0, "block_dims alone leave the convolutions out"
    with_convolutions = sizes(network(block_conv_ranks=[2] * 25), FAMILY)  # type: ignore[arg-type]
    assert with_convolutions(CONV, True, True) == LayerSize(2, 2.0, 1.0)
    assert with_convolutions(TIME, False, True) == LayerSize(16, 8.0, 1.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cosine", [math.sin(math.pi * (i / 11) / 2) for i in reversed(range(12))]),
        ("sine", [math.sin(math.pi * (i / 11) / 2) for i in range(12)]),
        ("linear", [i / 11 for i in range(12)]),
        ("reverse_linear", [i / 11 for i in reversed(range(12))]),
        ("zeros", [0.0] * 12),
        ("cosine+.25", [math.sin(math.pi * (i / 11) / 2) + 0.25 for i in reversed(range(12))]),
        ("zeros + 1", [1.0] * 12),
        ("1,.5,,0", [1.0, 0.5, 0.0, 0.0, *[1.0] * 8]),
        ("0.5", [0.5, *[1.0] * 11]),
    ],
)
def test_rates_are_sd_scripts_vocabulary(text: str, expected: list[float]) -> None:
    """Formulas as in `get_block_lr_weight` of sd-scripts' networks/lora.py; what is missing is 1, an empty place 0."""
    assert parse_rates(text, 12) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("text", "count", "said"),
    [
        ("cosin", 12, "neither a number nor one of cosine"),
        ("1,2,3", 1, "3 factors for 1 block"),
        ("cosine", 1, "needs several blocks"),
        ("-1", 12, "not between 0 and 1000"),
        ("linear+much", 12, "neither a number"),
    ],
)
def test_rates_that_are_not_understood_say_why(text: str, count: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_rates(text, count)


def test_a_rate_of_zero_leaves_a_block_out() -> None:
    given = network(down_rates="linear", mid_rates="0", up_rates="1,.5", rates_zero=0.1)
    size = sizes(given, FAMILY)  # type: ignore[arg-type]
    assert size(DOWN_0, False).rank == 0, "1/11 is below the threshold"
    assert size("lora_unet_down_blocks_2_attentions_0_proj_in", False).rate == pytest.approx(7 / 11)
    assert size(MIDDLE, False).rank == 0
    assert size("lora_unet_up_blocks_0_resnets_1_conv1", False).rate == 0.5
    assert size(UP_3, False) == LayerSize(16, 8.0, 1.0), "what is missing is 1"
    assert size(TEXT, False).rate == 1.0


def test_the_first_rule_that_fits_goes_before_the_blocks() -> None:
    rules = [
        LayerRule(match="attn1", rank=4),
        LayerRule(match="attn", rank=2),
        LayerRule(match="proj_in$", rate=0.0),
        LayerRule(match="proj_out", alpha=1.0, rate=2.0),
        LayerRule(match="resnets_0_conv1", rank=3),
    ]
    given = network(layers=rules, block_ranks=[8] * 25)
    size = sizes(given, FAMILY)  # type: ignore[arg-type]
    assert size(DOWN_0, False) == LayerSize(4, 4.0, 1.0), "a rule's rank brings its alpha with it"
    assert size(DOWN_0.replace("attn1", "attn2"), False).rank == 2
    assert size(MIDDLE, False).rank == 0
    assert size(UP_3, False) == LayerSize(8, 1.0, 2.0)
    assert reaches_residual(given) and size(CONV, True, True) == LayerSize(3, 3.0, 1.0)
    assert size(TIME, False, True).rank == 0, "only what the rule names"


def test_ranks_of_another_adapter_are_taken_over() -> None:
    size = sizes(network(down_rates="zeros+.5"), FAMILY, {DOWN_0: (5, 2.5), CONV: (3, 3.0)})  # type: ignore[arg-type]
    assert size(DOWN_0, False) == LayerSize(5, 2.5, 0.5) and size(CONV, True, True).rank == 3
    assert size(MIDDLE, False).rank == 0, "what that adapter lacks is left out"


def test_the_page_gets_a_value_for_every_block() -> None:
    given = network(block_ranks=[0, *[4] * 24], conv_rank=2, conv_alpha=1.0, mid_rates="0", up_rates="zeros+0.5")
    values = block_values(given, FAMILY)  # type: ignore[arg-type]
    assert len(values) == 25 and values[0].rank == 0
    assert values[1] == BlockValue("B1", 4, 8.0, 2, 1.0, 1.0)
    assert values[12].rank == values[12].conv_rank == 0 and values[24].rate == 0.5
    with pytest.raises(ValueError, match="25 blocks"):
        block_values(network(block_ranks=[1] * 24), FAMILY)  # type: ignore[arg-type]
