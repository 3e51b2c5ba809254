"""How many layers each rule of layers fits, as told beside its row. No Gradio in here."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from trainer.contract.families.base import Layer
from trainer.contract.settings import LayerRule, Preset
from trainer.plan.layers import trains_residual

LONGEST, MOST_REPEATS, PATIENCE_S = 200, 3, 0.05
"""A pattern is counted where it is no longer than this, repeats no more than this, and takes no more than this: a
preset that somebody shared must not hold the page up."""

_NESTED = re.compile(r"[*+}]\)*[*+{]|\([^)]*[*+}|][^)]*\)[*+{]")
"""A repetition of what repeats itself, which may take for ever to be matched."""


def told(full: Preset, layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """For each rule: a sentence, and whether it is wrong. A layer that an earlier rule fits has that one."""
    taken: set[str] = set()
    trained = [layer for layer in layers if _may_train(layer, full)]
    return [_told(rule, trained, taken) for rule in full.network.layers]


def _may_train(layer: Layer, full: Preset) -> bool:
    network = full.network
    if layer.part != "unet":
        return network.text_encoder
    named = any(rule.rank for rule in network.layers)
    return network.unet and (not layer.residual or trains_residual(network) or named)


def _told(rule: LayerRule, layers: Sequence[Layer], taken: set[str]) -> dict[str, Any]:
    if not rule.match:
        return {"text": "no layer is named, so it fits all", "bad": False}
    try:
        pattern = re.compile(rule.match)
    except re.error as error:
        return {"text": f"this is no regular expression: {error}", "bad": True}
    fits = _fits(pattern, layers)
    if fits is None:
        return {"text": "too involved to be counted here", "bad": False}
    earlier = len(fits & taken)
    taken |= fits
    text = f"fits {len(fits):,} of {len(layers):,} layers"
    return {"text": text + (f", {earlier:,} of them have a rule above" if earlier else ""), "bad": not fits}


def _fits(pattern: re.Pattern[str], layers: Sequence[Layer]) -> set[str] | None:
    """Keys of the layers that a pattern fits; None where finding them may take too long."""
    written = pattern.pattern
    if len(written) > LONGEST or _NESTED.search(written) or len(re.findall(r"[*+{]", written)) > MOST_REPEATS:
        return None
    found, until = set(), time.monotonic() + PATIENCE_S
    for layer in layers:
        if pattern.search(layer.key):
            found.add(layer.key)
        if time.monotonic() > until:
            return None
    return found
