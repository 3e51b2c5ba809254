"""Settings that are written as people say them: held-out images, GPUs. (Intervals stand in `settings.base`.)"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Split:
    """What `validation.split` says: `amount` percent or images."""

    kind: Literal["auto", "percent", "images", "off"]
    amount: float = 0.0


def parse_split(text: str) -> Split:
    """`"auto"`, `"10 %"`, `"4 images"` or `"off"`; ValueError says what is allowed."""
    words = text.strip().lower()
    if words in ("auto", "off"):
        return Split("auto" if words == "auto" else "off")
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:%|percent)", words)
    if percent and 0 < float(percent[1]) <= 90:
        return Split("percent", float(percent[1]))
    count = re.fullmatch(r"(\d+)\s*images?", words)
    if count and int(count[1]) > 0:
        return Split("images", float(count[1]))
    raise ValueError('write it as "auto", "10 %" (at most 90 %), "4 images" or "off"')


def parse_gpus(text: str) -> tuple[str, ...]:
    """The devices that train, one process each: `("auto",)`, `("cpu",)`, `("0", "1")`.

    "cpu,cpu" runs two processes on the CPU (data parallel without a GPU). ValueError says what is allowed."""
    parts = tuple(part.strip().lower() for part in text.split(","))
    ids_only = all(re.fullmatch(r"\d{1,3}", part) for part in parts) and len({int(p) for p in parts}) == len(parts)
    if parts == ("auto",) or set(parts) == {"cpu"} or ids_only:
        return parts
    raise ValueError('write it as "auto", "cpu", an id such as "0", or several different ones such as "0,1"')
