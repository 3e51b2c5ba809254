"""What a preflight found, as `preflight.json` keeps it: rungs with a verdict, one sentence, figures, what to change.

The file: {"format": 1, "run", "preset", "device", "created" (seconds since 1970), "seconds", "verdict", "links",
"rungs"}. `verdict` is the worst of the rungs'; `links` names what is broken, most important first, by the keys of
`LINKS`. A rung: {"number", "name", "verdict", "sentence", "details", "link", "fixes", "figures", "charts"}; figures are
plain numbers whose names carry their unit; a chart holds its curves as pairs. A number that is not finite is null.
Readers ignore keys that they do not know; a change that they could not ignore raises `format`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainer.contract.rundir import LATEST_S
from trainer.contract.shape import fitting

FORMAT = 1
JSON_FILE, HTML_FILE = "preflight.json", "preflight.html"

Verdict = Literal["green", "yellow", "red"]
ORDER: tuple[Verdict, ...] = ("green", "yellow", "red")

LINKS = {
    "prediction type": "the prediction type is wrong",
    "latent scale": "the latents have the wrong scale",
    "not finite": "a loss is no finite number",
    "no gradient": "no gradient reaches the adapter",
    "frozen parts": "parts that should be trained are frozen",
    "does not learn": "the adapter does not learn one image by heart",
    "text ignored": "the text is ignored",
    "same captions": "all captions are the same",
    "rate too low": "the learning rate is too low to change anything",
    "rate too high": "the learning rate is too high",
    "out of memory": "the device runs out of memory",
}
"""What can be broken, most important first: a wrong target or a wrong scale explains what comes after it."""


@dataclass(frozen=True)
class Curve:
    """One curve: pairs of (x, y), x rising."""

    name: str
    points: list[tuple[float, float]]
    ink: int = 1
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """A picture of a rung. `log_x`, `log_y`: logarithmic axes."""

    title: str
    x_name: str
    curves: list[Curve]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Rung:
    """One step of the ladder. `link`: what is broken, a key of `LINKS` or "". `fixes`: what to change, lowest cost
    first. `figures`: what was measured."""

    number: int
    name: str
    verdict: Verdict
    sentence: str
    details: list[str] = field(default_factory=list)
    link: str = ""
    fixes: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)


@dataclass(frozen=True)
class Preflight:
    """All rungs of one preflight, in order."""

    run: str
    preset: str
    device: str
    created: float
    seconds: float
    rungs: list[Rung]

    @property
    def verdict(self) -> Verdict:
        """The worst of the rungs'."""
        return worst(rung.verdict for rung in self.rungs)

    @property
    def links(self) -> list[str]:
        """What is broken, most important first."""
        found = {rung.link for rung in self.rungs if rung.link}
        return [link for link in LINKS if link in found]

    @property
    def headline(self) -> str:
        """The whole in one sentence."""
        if self.verdict == "green":
            return "Ready to train: every rung is green."
        named = "; ".join(LINKS[link] for link in self.links)
        if self.verdict == "red":
            return f"Do not start yet: {named or 'a rung is red'}."
        return f"It can train, but look at what is yellow{': ' + named if named else ''}."


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several; green where there are none."""
    return max(verdicts, key=ORDER.index, default="green")


def dumps(report: Preflight) -> str:
    """The text of `preflight.json`."""
    values = {"format": FORMAT, **asdict(report), "verdict": report.verdict, "links": report.links}
    return json.dumps(_finite(values), indent=1, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def loads(text: str) -> Preflight:
    """Read the text of `preflight.json`. ValueError where it is none, or of a format that this version cannot read."""
    try:
        values = json.loads(text)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"this is no preflight of format {FORMAT}")
        report = Preflight(**fitting(Preflight, {**values, "rungs": [_rung(row) for row in values["rungs"]]}))
        if not 0 <= report.created < LATEST_S or not 0 <= report.seconds < LATEST_S:
            raise ValueError("its times are none")
        return report
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"the preflight is incomplete: {error}") from None


def load(folder: Path) -> Preflight | None:
    """The preflight of a run folder; None where there is none that can be read."""
    try:
        return loads((Path(folder) / JSON_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _rung(row: Mapping[str, Any]) -> Rung:
    figures = {name: _number(value) for name, value in row.get("figures", {}).items()}
    charts = [_chart(chart) for chart in row.get("charts", [])]
    return Rung(**fitting(Rung, {**row, "figures": figures, "charts": charts}))


def _chart(row: Mapping[str, Any]) -> Chart:
    curves = [
        Curve(**fitting(Curve, {**curve, "points": [(_number(x), _number(y)) for x, y in curve["points"]]}))
        for curve in row["curves"]
    ]
    return Chart(**fitting(Chart, {**row, "curves": curves}))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
