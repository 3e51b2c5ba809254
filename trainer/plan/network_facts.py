"""How a network calls itself in the metadata of its files: `ss_network_*`, as Kohya's networks and LyCORIS write
them, and under a name of ours what they have no word for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from trainer.contract import catalog
from trainer.contract.importers.adapter import OWN_RULES
from trainer.contract.settings import Network, Preset

OWN_MODULE, LYCORIS = "networks.lora", "lycoris.kohya"


def network_facts(preset: Preset) -> Iterator[tuple[str, str]]:
    """Module, rank, alpha, dropout and arguments. What Kohya's own LoRA cannot do (DoRA, the rank-stabilised scale) is
    LyCORIS' in its words. Rules of layers stand under our own name: sd-scripts' `network_reg_lrs` are rates where ours
    are factors, its `network_reg_dims` keep the network's alpha, and its LoRA of these families knows neither."""
    network = preset.network
    module = module_of(network)
    yield "ss_network_module", module
    yield "ss_network_dim", str(network.rank)
    yield "ss_network_alpha", str(float(network.alpha))  # type: ignore[arg-type]
    yield "ss_network_dropout", str(network.dropout or None)
    arguments = _arguments(preset, module)
    if arguments:
        yield "ss_network_args", json.dumps(arguments)
    if network.layers:
        yield OWN_RULES, json.dumps([rule.model_dump(exclude_none=True) for rule in network.layers])


def module_of(network: Network) -> str:
    """The module that would train this network in sd-scripts."""
    plain = catalog.network(network.type).algo == "locon"
    return OWN_MODULE if plain and not network.dora and not network.rank_stabilised else LYCORIS


def _arguments(preset: Preset, module: str) -> dict[str, str]:
    network = preset.network
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
        **_loraplus(preset),
        **{name: str(value) for name, value in network.args.items()},
        # LyCORIS takes outputs where nothing is said
        "wd_on_output": str(bool(network.args.get("wd_on_output"))) if network.dora else "",
    }
    return {name: value for name, value in values.items() if value}


def _loraplus(preset: Preset) -> dict[str, str]:
    """sd-scripts' first ratio counts for both parts where none has one of its own."""
    unet, text = float(preset.optimizer.loraplus), float(preset.optimizer.loraplus_text_encoder)  # type: ignore[arg-type]
    if unet == text or not preset.network.text_encoder:
        return {"loraplus_lr_ratio": _number(unet, 1.0)}
    return {"loraplus_unet_lr_ratio": _number(unet, 1.0), "loraplus_text_encoder_lr_ratio": _number(text, 1.0)}


def _number(value: float, off: float = 0.0) -> str:
    return "" if value == off else _short(value)


def _list(values: Sequence[float]) -> str:
    return ",".join(_short(value) for value in values)


def _short(value: float) -> str:
    """A number as short as it can be said and still be read back as it is."""
    text = f"{value:g}"
    return text if float(text) == value else repr(value)
