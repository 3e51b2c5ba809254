"""Links of the network: its type, ranks, blocks and arguments. `network_args.x` stands for a member of --network_args.

LyCORIS's arguments and presets as `lycoris.kohya` of lycoris-lora reads them, sd-scripts' as its `networks/*.py` do.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from .. import catalog
from ..settings import Preset
from . import loose
from .flags import Flags
from .links import Link, Values, one

LARGEST = 1024
"""The largest rank that a setting can have."""

MODULES = {
    "networks.lora": "LoRA",
    "networks.lora_fa": "LoRA",
    "networks.dylora": "DyLoRA",
    "networks.oft": "OFT",
    "networks.loha": "LoHa",
    "networks.lokr": "LoKr",
}
"""--network_module -> our network type."""

ALGORITHMS = {
    "locon": "LoRA",
    "lora": "LoRA",
    "loha": "LoHa",
    "lokr": "LoKr",
    "dylora": "DyLoRA",
    "glora": "GLoRA",
    "ia3": "IA3",
    "diag-oft": "OFT",
    "boft": "BOFT",
}
"""LyCORIS's algo -> our network type; the first of several is written."""

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "LoHa": ("use_tucker",),
    "LoKr": ("factor", "decompose_both", "full_matrix", "use_tucker"),
    "DyLoRA": ("block_size",),
    "GLoRA": (),
    "IA3": ("train_on_input",),
    "OFT": ("constraint", "rescaled"),
    "BOFT": ("constraint", "rescaled"),
}
"""Arguments of each type that are offered here, under LyCORIS's names."""

WITH_DORA, BY_OUTPUT = ("LoRA", "LoHa", "LoKr"), "wd_on_output"
"""Types that can be DoRA, and the argument that makes its sizes those of outputs; LyCORIS does so by itself."""

_SPELLINGS = {"unit": "block_size", "use_cp": "use_tucker", "use_conv_cp": "use_tucker", "constrain": "constraint"}
_IDLE = {"factor": (-1, 0), "constraint": (0,), "block_size": ()}
_WITHOUT_CONVOLUTIONS = ("attn-mlp", "attn-only", "unet-transformer-only", "full-lin")
_LEFT_OUT = {
    "attn-only": "ff_net|_mlp_|proj_in|proj_out",
    "unet-convblock-only": "attn|ff_net|proj_in|proj_out",
}
"""LyCORIS's presets that train a part of what the others do -> the layers that they leave out."""


def plain_name(name: str) -> str:
    """Letters and digits of a type's name: "(IA)³" -> "ia3"."""
    return "".join(re.findall(r"[a-z0-9]", unicodedata.normalize("NFKD", name).lower()))


def ours(name: str) -> str:
    """A network type as the catalog spells it."""
    return next((known for known in catalog.names("networks") if plain_name(known) == plain_name(name)), name)


def _type(flags: Flags) -> tuple[str, str]:
    """Our network type, and what is to be said of it."""
    module = loose.text(flags["network_module"]).lower()
    if flags.lycoris:
        algorithm = loose.text(flags["network_args.algo"]).lower() or "lora"
        if algorithm in ALGORITHMS:
            return ALGORITHMS[algorithm], ""
        return "LoRA", f"LyCORIS's {algorithm[:40]} is not offered here: LoRA is put there"
    if module == "networks.lora_fa":
        return "LoRA", "LoRA-FA, which trains half of each pair, is not offered here: LoRA is put there"
    if module == "networks.oft":
        return "OFT", "OFT comes from the LyCORIS library here, which counts its rank otherwise"
    if module in MODULES or not module:
        return MODULES.get(module, "LoRA"), ""
    return "LoRA", f"{module[:60]} is not offered here: LoRA is put there"


def _read(flags: Flags) -> Values:
    kind, why = _type(flags)
    flag = "network_args.algo" if "network_args.algo" in flags else "network_module"
    if why:
        flags.change(flag, why)
    dora = kind in WITH_DORA and loose.flag(flags["network_args.dora_wd"])
    args = _arguments(kind, flags)
    if dora and _by_output(flags):
        args[BY_OUTPUT] = True
    rank = loose.whole(flags["network_dim"]) or 4
    if rank > LARGEST:
        if kind == "LoKr":  # a rank above a layer's size means whole matrices there, whose scale is 1
            args["full_matrix"] = True
        flags.change("network_dim", f"a rank above {LARGEST} is not offered here: {LARGEST} is put there")
        rank = LARGEST
    alpha = loose.number(flags["network_alpha"]) or float(rank)
    values: Values = {
        "network.type": ours(kind),
        "network.rank": rank,
        "network.alpha": alpha,
        "network.args": args,
        **_convolutions(flags, rank, alpha),
        "network.dora": dora,
        "network.rank_stabilised": flags.lycoris and loose.flag(flags["network_args.rs_lora"]),
    }
    left_out = _LEFT_OUT.get(loose.text(flags["network_args.preset"]) if flags.lycoris else "")
    rules = [{"match": left_out, "rank": 0}] if left_out else []
    return values | {"network.layers": [*_rules(flags, alpha), *rules]}


def _by_output(flags: Flags) -> bool:
    """Whether LyCORIS learns DoRA's sizes of outputs: it does unless it is told otherwise, by nothing but "false"."""
    told = flags[f"network_args.{BY_OUTPUT}"]
    return told is None or str(told).strip().lower() != "false"


def _rules(flags: Flags, alpha: float) -> list[Values]:
    """ "attn2=8,ff_net=4": ranks of layers by name, which keep the network's alpha."""
    found = []
    for part in loose.text(flags["network_args.network_reg_dims"]).split(","):
        match, equals, rank = part.rpartition("=")
        if equals and match.strip():
            width = min(max(loose.whole(rank) or 0, 0), LARGEST)
            found.append({"match": match.strip(), "rank": width} | ({"alpha": alpha} if width else {}))
    return found


def _convolutions(flags: Flags, rank: int, alpha: float) -> Values:
    """LyCORIS trains convolutions unless its preset leaves them out; sd-scripts only where a rank is said."""
    conv = loose.whole(flags["network_args.conv_dim"])
    conv_alpha = loose.number(flags["network_args.conv_alpha"])
    preset = loose.text(flags["network_args.preset"])
    if flags.lycoris:
        if preset in _WITHOUT_CONVOLUTIONS:
            return {"network.conv_rank": 0}
        if preset not in ("", "full", "unet-only", "unet-convblock-only"):
            flags.change("network_args.preset", "a file of layers is not read: the usual layers are trained")
        conv, conv_alpha = conv or rank, conv_alpha or alpha
    if not conv:
        return {"network.conv_rank": 0}
    if conv > LARGEST:
        flags.change("network_args.conv_dim", f"a rank above {LARGEST} is not offered here: {LARGEST} is put there")
    conv = min(conv, LARGEST)
    if conv_alpha is None:
        conv_alpha = 1.0
    return {"network.conv_rank": conv, "network.conv_alpha": conv_alpha or float(conv)}


def _arguments(kind: str, flags: Flags) -> Values:
    found: Values = {}
    names = {**{name: name for name in ARGUMENTS.get(kind, ())}, **_SPELLINGS}
    for theirs, name in names.items():
        if name not in ARGUMENTS.get(kind, ()) or f"network_args.{theirs}" not in flags:
            continue
        value = flags[f"network_args.{theirs}"]
        value = loose.plain(value) if isinstance(value, str) else value
        value = int(value) if isinstance(value, float) and value.is_integer() else value
        if isinstance(value, (bool, int, float)) and value is not False and value not in _IDLE.get(name, (0,)):
            found[name] = value
    return found


def _write(preset: Preset) -> Values:
    network = preset.network
    kind = plain_name(network.type)
    theirs = next((algorithm for algorithm, name in ALGORITHMS.items() if plain_name(name) == kind), None)
    from_library = needs_lycoris(preset)
    values: Values = {
        "network_module": "lycoris.kohya" if from_library else "networks.lora",
        "network_dim": network.rank,
        "network_alpha": network.alpha,
        "network_args.conv_dim": network.conv_rank or None,
        "network_args.conv_alpha": network.conv_alpha if network.conv_rank else None,
    }
    if from_library:
        values["network_args.algo"] = theirs
        values["network_args.preset"] = "full" if network.conv_rank else "attn-mlp"
        values["network_args.dora_wd"] = network.dora or None
        values[f"network_args.{BY_OUTPUT}"] = bool(network.args.get(BY_OUTPUT)) if network.dora else None
        values["network_args.rs_lora"] = network.rank_stabilised or None
        values |= {f"network_args.{name}": value for name, value in network.args.items() if name != BY_OUTPUT}
    return values


def needs_lycoris(preset: Preset) -> bool:
    """Whether sd-scripts needs the LyCORIS library for this network."""
    network = preset.network
    return plain_name(network.type) != "lora" or network.dora or network.rank_stabilised


# ---- blocks, dropouts, LoRA+ ----------------------------------------------------------------------------------------


def _blocks(flag: str, path: str, whole: bool) -> Link:
    def read(flags: Flags) -> Values:
        found = loose.numbers(flags[f"network_args.{flag}"])
        return {path: [int(number) for number in found] if whole else found}

    def write(preset: Preset) -> Values:
        found = getattr(preset.network, path.partition(".")[2])
        return {f"network_args.{flag}": ",".join(f"{number:g}" for number in found) or None}

    return Link((f"network_args.{flag}",), (path,), read, write)


def _rates_of(flag: str, path: str) -> Link:
    def read(flags: Flags) -> Values:
        value = flags[f"network_args.{flag}"]
        items = [f"{item:g}" for item in loose.numbers(value)] if isinstance(value, list) else None
        return {path: ",".join(items) if items else loose.text(value)}

    def write(preset: Preset) -> Values:
        return {f"network_args.{flag}": getattr(preset.network, path.partition(".")[2]).strip() or None}

    return Link((f"network_args.{flag}",), (path,), read, write)


def _loraplus(flags: Flags) -> Values:
    both, unet, text = (
        loose.number(flags[f"network_args.{name}"])
        for name in ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")
    )
    first, second = unet or both or 1.0, text or both or 1.0
    return {"optimizer.loraplus": first} | ({"optimizer.loraplus_text_encoder": second} if second != first else {})


def _write_loraplus(preset: Preset) -> Values:
    first: Any = preset.optimizer.loraplus
    second: Any = preset.optimizer.loraplus_text_encoder
    if first == second:
        return {"network_args.loraplus_lr_ratio": first if first != 1 else None}
    return {"network_args.loraplus_unet_lr_ratio": first, "network_args.loraplus_text_encoder_lr_ratio": second}


NETWORK: tuple[Link, ...] = (
    Link(
        (
            "network_module",
            "network_dim",
            "network_alpha",
            *(
                f"network_args.{name}"
                for name in (
                    "algo",
                    "preset",
                    "conv_dim",
                    "conv_alpha",
                    "dora_wd",
                    BY_OUTPUT,
                    "rs_lora",
                    "network_reg_dims",
                    *sorted({name for names in ARGUMENTS.values() for name in names}),
                    *_SPELLINGS,
                )
            ),
        ),
        (
            "network.type",
            "network.rank",
            "network.alpha",
            "network.conv_rank",
            "network.conv_alpha",
            "network.args",
            "network.dora",
            "network.rank_stabilised",
            "network.layers",
        ),
        _read,
        _write,
    ),
    one("network_dropout", "network.dropout", loose.number, 0.0),
    one("scale_weight_norms", "network.max_norm", loose.number, 0.0),
    one("network_args.rank_dropout", "network.rank_dropout", loose.number, 0.0),
    one("network_args.module_dropout", "network.module_dropout", loose.number, 0.0),
    one("network_weights", "network.start", loose.text, ""),
    one("dim_from_weights", "network.start_ranks", loose.flag),
    _blocks("block_dims", "network.block_ranks", whole=True),
    _blocks("block_alphas", "network.block_alphas", whole=False),
    _blocks("conv_block_dims", "network.block_conv_ranks", whole=True),
    _blocks("conv_block_alphas", "network.block_conv_alphas", whole=False),
    _rates_of("down_lr_weight", "network.down_rates"),
    _rates_of("mid_lr_weight", "network.mid_rates"),
    _rates_of("up_lr_weight", "network.up_rates"),
    one("network_args.block_lr_zero_threshold", "network.rates_zero", loose.number, 0.0),
    Link(
        (
            "network_args.loraplus_lr_ratio",
            "network_args.loraplus_unet_lr_ratio",
            "network_args.loraplus_text_encoder_lr_ratio",
        ),
        ("optimizer.loraplus", "optimizer.loraplus_text_encoder"),
        _loraplus,
        _write_loraplus,
    ),
)
