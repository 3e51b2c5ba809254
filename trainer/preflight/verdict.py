"""What judging shares: a finding, the worst of several, words and numbers for people.

The judging itself is pure functions from figures to rungs. Every bound stands with what was measured around it: on the
demo (a real, trained model of 128 pixels) and on broken varieties of it, CPU, 21 November 2026. On models of full size
the bounds are untried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trainer.report.preflight import ORDER, Verdict

NAMES = {1: "One image", 2: "A few images", 3: "Base model", 4: "Learning rate", 5: "Speed and memory"}


@dataclass(frozen=True)
class Finding:
    """One thing that a rung found. `link` as in `Rung`; `fixes`: what to change, lowest cost first."""

    verdict: Verdict
    sentence: str
    link: str = ""
    fixes: list[str] = field(default_factory=list)


def worst_of(findings: Sequence[Finding]) -> Finding:
    """The worst finding, the first of several equal ones."""
    return max(findings, key=lambda finding: ORDER.index(finding.verdict))


def part_name(part: str) -> str:
    """A model's part for people."""
    return "text encoder" if part.startswith("te") else {"unet": "U-Net"}.get(part, part)


def percent(share: float) -> str:
    """0.0042 -> "0.42 %"; small ones keep two digits."""
    value = 100.0 * share
    if value != value:
        return "not a number"
    if value == 0 or abs(value) >= 10:
        return f"{value:.0f} %"
    return f"{value:.2g} %" if abs(value) >= 1e-3 else f"{value:.1e} %"
