"""Checks of the network's settings: blocks, rules of layers, arguments, and what does not go together."""

from __future__ import annotations

import re
from typing import Any

from . import catalog
from .adapter_lines import parse_line
from .blocks import STRETCHES, parse_rates
from .families import Family
from .problems import Problem, to
from .settings import BY_PATH, Preset

BLOCK_LISTS = ("block_ranks", "block_alphas", "block_conv_ranks", "block_conv_alphas")
RATES = ("down_rates", "mid_rates", "up_rates")


def _row(preset: Preset) -> catalog.Network | None:
    found = catalog.find("networks", preset.network.type)
    return found if isinstance(found, catalog.Network) else None


def _types(fits: str) -> str:
    return ", ".join(row.name for row in catalog.NETWORKS if getattr(row, fits))


def _default(path: str) -> tuple[tuple[str, Any], ...]:
    return to(path, BY_PATH[path].default)


def kinds(preset: Preset) -> list[Problem]:
    """Settings that the network type cannot do."""
    network, row = preset.network, _row(preset)
    if row is None:
        return []
    ratio = preset.optimizer.loraplus != 1 or (network.text_encoder and preset.optimizer.loraplus_text_encoder != 1)
    wanted = [
        (network.dora, "dora", "network.dora", "it cannot be trained as DoRA"),
        (network.rank_stabilised, "scaled", "network.rank_stabilised", "its update has no alpha / rank"),
        (network.max_norm > 0, "normed", "network.max_norm", "its update is a rotation, which has no size to limit"),
        (ratio, "paired", "optimizer.loraplus", "it has no matrices that start at zero beside others"),
        (preset.saving.diffusers, "diffusers", "saving.diffusers", "diffusers does not read it"),
        (bool(network.start) and network.start_ranks, "tells_rank", "network.start_ranks", "its files tell no ranks"),
    ]
    return [
        Problem(path, f"{row.name}: {why}", f"turn it off, or choose {_types(fits)}", change=_default(path))
        for on, fits, path, why in wanted
        if on and not getattr(row, fits)
    ]


def arguments(preset: Preset) -> list[Problem]:
    """Names in `network.args` that the type does not know, and values of the wrong kind."""
    row, problems = _row(preset), []
    for name, value in preset.network.args.items() if row else ():
        assert row is not None
        known = row.arguments.get(name)
        if known is None:
            fix = f"it has {', '.join(row.arguments)}" if row.arguments else "remove it: the type has none"
            problems.append(Problem("network.args", f"{row.name} has no argument {name!r}", fix))
        elif fault := _fault(known, value):
            problems.append(Problem("network.args", f"{name} = {value!r}: {fault}", known.help))
    return problems


def _fault(known: catalog.Argument, value: bool | int | float | str) -> str:
    if known.kind is bool:
        return "" if isinstance(value, bool) else "it is true or false"
    if isinstance(value, (bool, str)) or (known.kind is int and value != int(value)):
        return "it is a whole number" if known.kind is int else "it is a number"
    low, high = (f"{side:g}" for side in (known.low, known.high))
    fits = known.low <= value <= known.high and (value or known.kind is float)
    return "" if fits else f"it is {low} to {high}, not 0"


def by_output(preset: Preset) -> list[Problem]:
    """DoRA by input, for which PEFT has no names."""
    network, row = preset.network, _row(preset)
    if row is None or not (row.diffusers and network.dora and preset.saving.diffusers):
        return []
    if network.args.get("wd_on_output", False) is not False:
        return []
    why = "diffusers reads DoRA only where its sizes are of a layer's outputs"
    fix = "network.args: wd_on_output = true, or no copy for diffusers"
    return [Problem("saving.diffusers", why, fix, change=to("network.args", {**network.args, "wd_on_output": True}))]


def pieces(preset: Preset) -> list[Problem]:
    """DyLoRA's ranks are whole pieces."""
    network, row = preset.network, _row(preset)
    size = network.args.get("block_size", 4)
    if row is None or "block_size" not in row.arguments or not isinstance(size, int) or size < 1:
        return []
    given = {"rank": [network.rank], "conv_rank": [network.conv_rank]}
    given |= {name: list(getattr(network, name)) for name in ("block_ranks", "block_conv_ranks")}
    given["layers"] = [rule.rank or 0 for rule in network.layers]
    problems = []
    for name, ranks in given.items():
        wrong = next((rank for rank in ranks if rank % size), 0)
        if wrong:
            why = f"{wrong} is not a multiple of {size}, the ranks in a piece (network.args block_size)"
            problems.append(Problem(f"network.{name}", why, f"try {max(size, round(wrong / size) * size)}"))
    return problems


def layer_rules(preset: Preset) -> list[Problem]:
    """Rows of `network.layers` whose expression is none."""
    problems = []
    for number, rule in enumerate(preset.network.layers, start=1):
        try:
            re.compile(rule.match)
        except re.error as error:
            why = f"row {number}: {rule.match!r} is no regular expression: {error}"
            problems.append(Problem("network.layers", why, "put a \\ before brackets that are meant as such"))
            continue
        if not rule.match.strip():
            problems.append(Problem("network.layers", f"row {number} names no layers", "name some, or remove the row"))
        if rule.rank is None and rule.alpha is None and rule.rate is None:
            problems.append(Problem("network.layers", f"row {number} changes nothing", "give a rank, alpha or rate"))
    return problems


def conv_alphas(preset: Preset) -> list[Problem]:
    """Alphas of convolutions that are not trained."""
    network = preset.network
    if not network.block_conv_alphas or network.conv_rank or network.block_conv_ranks:
        return []
    why = "no convolution is trained: neither network.conv_rank nor network.block_conv_ranks is given"
    return [
        Problem(
            "network.block_conv_alphas", why, "give ranks, or empty this", change=_default("network.block_conv_alphas")
        )
    ]


def one_rate(preset: Preset) -> list[Problem]:
    """Optimizers that find the rate themselves find one for everything."""
    network, optimizer = preset.network, preset.optimizer
    if not catalog.optimizer(optimizer.name).finds_rate:
        return []
    text = network.text_encoder
    rates = (optimizer.text_encoder_learning_rate, optimizer.text_encoder_2_learning_rate)
    several = [
        ("optimizer.text_encoder_2_learning_rate", text and rates[0] != rates[1]),
        ("optimizer.loraplus", optimizer.loraplus != 1),
        ("optimizer.loraplus_text_encoder", text and optimizer.loraplus_text_encoder != 1),
        ("optimizer.text_encoder_stop", text and optimizer.text_encoder_stop != 100),
        ("optimizer.text_encoder_2_stop", text and optimizer.text_encoder_2_stop != 100),
        ("network.layers", any(rule.rate not in (None, 0, 1) for rule in network.layers)),
        *((f"network.{name}", _uneven(getattr(network, name))) for name in RATES),
    ]
    why = f"{optimizer.name} finds one rate for everything and cannot apply several"
    return [Problem(path, why, "leave it at its default", change=_default(path)) for path, on in several if on]


def _uneven(text: str) -> bool:
    try:
        return bool(text.strip()) and not set(parse_rates(text, 12)) <= {0.0, 1.0}
    except ValueError:
        return False


def ends(preset: Preset) -> list[Problem]:
    """Nothing may be left to train before the run is over."""
    network, optimizer = preset.network, preset.optimizer
    stops = (optimizer.text_encoder_stop, optimizer.text_encoder_2_stop)
    if network.unet or not network.text_encoder or 100.0 in stops:
        return []
    why = "nothing would be trained after it: the U-Net is off"
    return [Problem("optimizer.text_encoder_stop", why, "100", change=_default("optimizer.text_encoder_stop"))]


def average(preset: Preset) -> list[Problem]:
    """An average of an average."""
    name = preset.optimizer.name
    if preset.network.ema and catalog.optimizer(name).eval_mode:
        why = f"{name} averages its own path already"
        return [Problem("network.ema", why, "set it to 0", change=to("network.ema", 0.0))]
    return []


def adapters(preset: Preset) -> list[Problem]:
    """Lines of `model.adapters` that are not understood."""
    problems = []
    for line in preset.model.adapters:
        try:
            parse_line(line)
        except ValueError as error:
            problems.append(Problem("model.adapters", f"{line!r}: {error}", 'write "style.safetensors @ 0.8"'))
    return problems


def blocks(preset: Preset, family: Family) -> list[Problem]:
    """Lists of blocks of the wrong length, and factors that are not understood."""
    network, count, problems = preset.network, len(family.blocks), []
    for name in BLOCK_LISTS:
        values = getattr(network, name)
        if values and len(values) != count:
            why = f"it has {len(values)} values, {family.name} has {count} blocks"
            problems.append(Problem(f"network.{name}", why, f"write {count} values, or none"))
        elif any(not 0 <= value <= 4096 for value in values):
            problems.append(Problem(f"network.{name}", "a value is below 0 or above 4096", "0 leaves a block out"))
    for name, stretch in zip(RATES, STRETCHES.get(count, (range(0),) * 3)):
        text = getattr(network, name)
        try:
            if text.strip():
                parse_rates(text, len(stretch))
        except ValueError as error:
            problems.append(Problem(f"network.{name}", f"{text!r}: {error}", f"{len(stretch)} factors at most"))
    return problems


SETTINGS = (kinds, arguments, by_output, pieces, layer_rules, conv_alphas, one_rate, ends, average, adapters)
FAMILY = (blocks,)
