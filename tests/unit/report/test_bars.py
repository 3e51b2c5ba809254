"""The bar of where the time went: well formed, in order, whole, told apart without hues."""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml
from itertools import pairwise

import pytest

from trainer.contract.events import Timing
from trainer.report import bars
from trainer.report.verdicts import Split, Verdict

SECONDS = dict(zip(Timing.PARTS, (61.0, 1.0, 14.0, 15.0, 2.0, 3.0, 3.0, 0.9, 0.1)))
MEMORY = {"device_used": 7.8e9, "device_total": 12.0e9, "device_peak": 6.1e9, "host_used": 3.2e9, "host_total": 32e9}


def made(memory: dict[str, float] | None = None, use: float | None = None) -> Split:
    found = Split()
    found.add(Timing(seconds=SECONDS, wall_s=100.0, steps=50, images=200, memory=memory or {}, device_use=use))
    return found


def test_the_bar_is_well_formed_in_order_and_whole() -> None:
    text = bars.time_bar(made(MEMORY, 0.93), Verdict("61 % of the time waits for data.", "memory.cache_latents"))
    tree = xml.fromstring(text)
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", text)]
    assert tree.tag == "figure" and sum(widths) == pytest.approx(100, abs=0.1)
    assert [item.text for item in tree.iter("li")][:2] == ["waiting for data 61 % (1:01)", "transfer 1 % (0:01)"]
    assert [piece.text for piece in tree.iter("i")][:4] == ["waiting for data", None, "forward", "backward"]
    assert "61 % of the time waits for data." in text


def test_what_is_in_use_stands_below_in_words() -> None:
    assert bars.in_use(made(MEMORY, 0.93)) == (
        "2.1 images/s · GPU memory 7.8 GB of 12.0 GB in use · this run's tensors 6.1 GB at most · "
        "GPU computing 93 % of the time · main memory 3.2 GB of 32.0 GB"
    )
    assert bars.in_use(made()) == "2.1 images/s", "figures that a machine does not give are left out"


def test_nothing_known_is_nothing_shown_and_texts_are_text() -> None:
    assert bars.time_bar(Split(), Verdict()) == ""
    assert "<script>" not in bars.time_bar(made(), Verdict("<script>alert(1)</script>"))


def linear(code: str) -> list[float]:
    """Linear RGB of "#rrggbb" (IEC 61966-2-1)."""
    values = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]


def luminance(rgb: list[float]) -> float:
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]


def lab(rgb: list[float]) -> list[float]:
    """CIE L*a*b* under D65."""
    xyz = [
        (0.4124 * rgb[0] + 0.3576 * rgb[1] + 0.1805 * rgb[2]) / 0.9505,
        luminance(rgb),
        (0.0193 * rgb[0] + 0.1192 * rgb[1] + 0.9505 * rgb[2]) / 1.089,
    ]
    f = [v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz]
    return [116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])]


BLIND = {
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB."""


@pytest.mark.parametrize("eye", BLIND)
def test_neighbours_are_told_apart_by_every_eye(eye: str) -> None:
    def seen(part: str) -> list[float]:
        rgb = linear(bars.INKS[part])
        return lab([min(max(sum(a * b for a, b in zip(row, rgb)), 0.0), 1.0) for row in BLIND[eye]])

    for first, second in pairwise(Timing.PARTS):
        distance = sum((a - b) ** 2 for a, b in zip(seen(first), seen(second))) ** 0.5
        assert distance > 12, f"{first} and {second}: {distance:.0f}"


def test_letters_are_readable_on_every_piece() -> None:
    letters = luminance(linear("#16181d"))
    for part, ink in bars.INKS.items():
        assert (luminance(linear(ink)) + 0.05) / (letters + 0.05) > 4.5, part
