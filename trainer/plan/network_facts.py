"""How a network calls itself in the metadata of its files: `ss_network_*`, as Kohya's networks and LyCORIS write
them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from trainer.contract import catalog
from trainer.contract.settings import Network, Preset

OWN_MODULE, LYCORIS = "networks.lora", "lycoris.kohya"


def network_facts(preset: Preset) -> Iterator[tuple[str, str]]:
    """Module, rank, alpha, dropout and arguments. What Kohya's own LoRA cannot do (DoRA, the rank-stabilised scale) is
    LyCORIS' in its words."""
    network = preset.network
    module = module_of(network)
    yield "ss_network_module", module
    yield "ss_network_dim", str(network.rank)
    yield "ss_network_alpha", str(float(network.alpha))  # type: ignore[arg-type]
    yield "ss_network_dropout", str(network.dropout or None)
    arguments = _arguments(preset, module)
    if arguments:
        yield "ss_network_args", json.dumps(arguments)


def module_of(network: Network) -> str:
    """The module that would train this network in sd-scripts."""
    plain = catalog.network(network.type).algo == "locon"
    return OWN_MODULE if plain and not network.dora and not network.rank_stabilised else LYCORIS


def _arguments(preset: Preset, module: str) -> dict[str, str]:
    network, chosen = preset.network, preset.optimizer
    values = {
        "algo": catalog.network(network.type).algo if module == LYCORIS else "",
        "preset": "attn-mlp"
        if module == LYCORIS and not network.conv_rank
        else "",  # without it convolutions are meant
        "dora_wd": "True" if network.dora else "",
        "rs_lora": "True" if network.rank_stabilised else "",
        "conv_dim": str(network.conv_rank or ""),
        "conv_alpha": str(float(network.conv_alpha)) if network.conv_rank else "",  # type: ignore[arg-type]
        "rank_dropout": _number(network.rank_dropout),
        "module_dropout": _number(network.module_dropout),
        "block_dims": _list(network.block_ranks),
        "block_alphas": _list(network.block_alphas if network.block_ranks else ()),
        "conv_block_dims": _list(network.block_conv_ranks),
        "conv_block_alphas": _list(network.block_conv_alphas),
        "down_lr_weight": network.down_rates,
        "mid_lr_weight": network.mid_rates,
        "up_lr_weight": network.up_rates,
        "block_lr_zero_threshold": _number(network.rates_zero),
        "network_reg_dims": ",".join(f"{rule.match}={rule.rank}" for rule in network.layers if rule.rank is not None),
        "network_reg_lrs": ",".join(f"{rule.match}={rule.rate:g}" for rule in network.layers if rule.rate is not None),
        "loraplus_lr_ratio": _number(chosen.loraplus, 1.0),
        "loraplus_text_encoder_lr_ratio": (
            _number(float(chosen.loraplus_text_encoder), 1.0) if network.text_encoder else ""  # type: ignore[arg-type]
        ),
        **{name: str(value) for name, value in network.args.items()},
        # LyCORIS takes outputs where nothing is said
        "wd_on_output": str(bool(network.args.get("wd_on_output"))) if network.dora else "",
    }
    return {name: value for name, value in values.items() if value}


def _number(value: float, off: float = 0.0) -> str:
    return "" if value == off else f"{value:g}"


def _list(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)
