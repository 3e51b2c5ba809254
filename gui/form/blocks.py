"""The blocks of the network for the row of bars, and what an edited bar puts into the fields below. No Gradio in here.

The fields are the one truth: a bar shows what they say and writes into them, in sd-scripts' vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gui.form.values import number_text
from trainer.contract.blocks import CURVES, STRETCHES, parse_rates
from trainer.contract.families import Family
from trainer.contract.families.base import Layer
from trainer.contract.preset import value_at
from trainer.contract.settings import BY_PATH, Network, Preset
from trainer.plan.layers import trains_residual

LISTS: dict[str, str] = {
    "rank": "network.block_ranks",
    "conv_rank": "network.block_conv_ranks",
    "alpha": "network.block_alphas",
    "conv_alpha": "network.block_conv_alphas",
}
"""What bars show -> the setting that holds a value a block."""

RATES = ("network.down_rates", "network.mid_rates", "network.up_rates")
EVERYWHERE = {"rank": "rank", "conv_rank": "conv_rank", "alpha": "alpha", "conv_alpha": "conv_alpha"}
"""What bars show -> the network's setting that holds where there is no list."""


def _stretches(count: int) -> tuple[range, ...]:
    """Which of so many blocks each of `RATES` is for; none for a family that sd-scripts has no blocks for."""
    return STRETCHES.get(count, ())


def told(full: Preset, family: Family, layers: Sequence[Layer]) -> dict[str, Any]:
    """What the bars show: names, how many layers each block trains, and for each thing that can be shown its values,
    the value elsewhere, and why it has no effect. Lists and texts with faults show as far as they can be read."""
    network, count = full.network, len(family.blocks)
    stretches = _stretches(count)
    return {
        "names": list(family.blocks),
        "layers": _counts(network, family, layers),
        "shapes": list(CURVES),
        "fixed": [block for block in range(count) if not any(block in stretch for stretch in stretches)],
        "zero": network.rates_zero,
        "rate": {"values": [round(rate, 4) for rate in rates(network, count)], "base": 1, "off": ""},
        **{what: _listed(network, what, count) for what in LISTS},
    }


def _counts(network: Network, family: Family, layers: Sequence[Layer]) -> list[int]:
    """Layers of each block; an edit seldom changes them, and counting takes longer than all else here."""
    names = tuple(layer.key for layer in layers if trains_residual(network) or not layer.residual)
    key = (family.name, hash(names))
    if key not in _KNOWN:
        counts = [0] * (len(family.blocks) + 1)  # the last for what is in no block, which is -1
        for name in names:
            counts[family.block_of(name)] += 1
        if len(_KNOWN) > 16:
            _KNOWN.clear()
        _KNOWN[key] = counts[:-1]
    return _KNOWN[key]


_KNOWN: dict[tuple[str, int], list[int]] = {}


def _listed(network: Network, what: str, count: int) -> dict[str, Any]:
    given = list(getattr(network, LISTS[what].partition(".")[2]))
    base = getattr(network, EVERYWHERE[what])
    values = [float(value) for value in given[:count]] + [float(base)] * (count - len(given))
    off = "" if what in ("rank", "conv_rank", "alpha") or trains_residual(network) else "convolutions are not trained"
    return {"values": values, "base": float(base), "off": off}


def rates(network: Network, count: int) -> list[float]:
    """The factor of each block as the texts say it; what cannot be read is 1."""
    found = [1.0] * count
    for path, stretch in zip(RATES, _stretches(count)):
        text = getattr(network, path.partition(".")[2]).strip()
        try:
            given = parse_rates(text, len(stretch)) if text else []
        except ValueError:
            given = []
        for block, rate in zip(stretch, given):
            found[block] = rate
    return found


def contents(full: Preset, family: Family, asked: Mapping[str, Any]) -> dict[str, str]:
    """Setting -> what its field shall hold, after an edit of the bars. `asked`: "what", with "values" (one a block), or
    "equal" for the same everywhere, or "shape", "base" and "where" ("down", "up", "both") for the rates. Nothing for a
    message that fits no bars."""
    network, what = full.network, asked.get("what")
    if asked.get("shape") in CURVES:
        return _shaped(asked)
    if asked.get("equal"):
        return _equal(str(what))
    values = _numbers(asked.get("values"))
    if len(values) != len(family.blocks):
        return {}
    return _rates_of(network, values) if what == "rate" else _list_of(full, what, values) if what in LISTS else {}


def _equal(what: str) -> dict[str, str]:
    if what == "rate":
        return dict.fromkeys(RATES, "")
    others = {"rank": "alpha", "conv_rank": "conv_alpha"}  # alphas without ranks have no effect
    return {LISTS[each]: "" for each in (what, others.get(what, what)) if each in LISTS}


def _numbers(values: Any) -> list[float]:
    given = values if isinstance(values, list) and len(values) <= 1000 else []
    numbers = [float(value) for value in given if isinstance(value, (int, float)) and 0 <= value <= 4096]
    return numbers if len(numbers) == len(given) else []


def _shaped(asked: Mapping[str, Any]) -> dict[str, str]:
    [base] = _numbers([asked.get("base") or 0]) or [0.0]
    text = f"{asked['shape']}+{number_text(base)}" if base else str(asked["shape"])
    down, _, up = RATES
    return {"down": {down: text}, "up": {up: text}}.get(str(asked.get("where")), {down: text, up: text})


def _rates_of(network: Network, values: Sequence[float]) -> dict[str, str]:
    """A text for each stretch whose values are others than before: a curve's name stays until one of its bars moves."""
    before, changed = rates(network, len(values)), {}
    for path, stretch in zip(RATES, _stretches(len(values))):
        new = [values[block] for block in stretch]
        if any(abs(before[block] - value) > 1e-4 for block, value in zip(stretch, new)):
            changed[path] = "" if set(new) == {1.0} else ", ".join(number_text(value) for value in new)
    return changed


def _list_of(full: Preset, what: str, values: Sequence[float]) -> dict[str, str]:
    network = full.network
    kept: dict[str, str] = {}
    ranks = {"alpha": "rank", "conv_alpha": "conv_rank"}.get(what, "")
    if ranks and not value_at(full, LISTS[ranks]):  # alphas have an effect beside ranks only
        base = getattr(network, EVERYWHERE[ranks])
        kept[LISTS[ranks]] = ", ".join([str(base)] * len(values))
    whole = BY_PATH[LISTS[what]].type == list[int]
    text = ", ".join(str(round(value)) if whole else number_text(value) for value in values)
    same = set(values) == {float(getattr(network, EVERYWHERE[what]))}
    alphas = {"rank": network.block_alphas, "conv_rank": network.block_conv_alphas}.get(what)
    return {**kept, LISTS[what]: "" if same and not alphas else text}
