"""Line charts as HTML text: SVG for the curves, plain text for the ticks, so that letters keep their size however wide
the page is. No script; the read-out under the pointer is CSS. Colours are variables, set for light and dark in `CSS`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Literal

Kind = Literal["line", "faint", "points"]
WIDTH, HEIGHT = 2000, 1000
DASHES = ("", "9 4", "2 4", "10 3 2 3")
COLUMNS = 60
"""Stretches of the chart that have a read-out of their own."""

DARK = (
    "--c1: #56b4e9; --c2: #ff9a52; --c3: #35c79b; --c4: #e59ccc; "
    "--c5: #f0d24a; --c6: #b7a6ff; --c7: #9fe07a; --c8: #d0d4da; --faint: .5;"
)
"""The inks on a dark ground, for who sets them by another rule than the page's class."""

CSS = """
.chart { --c1: #0072b2; --c2: #d55e00; --c3: #007f5f; --c4: #a6468c; --c5: #8a6d00; --c6: #5b4bc4;
  --c7: #4b7a12; --c8: #555b64; --faint: .38; --grid: #8884; margin: 0;
  color: inherit; padding-bottom: 42px; }
.dark .chart { @DARK@ }
.chart figcaption { display: flex; flex-wrap: wrap; gap: 2px 14px; align-items: baseline; font-size: 13px; }
.chart figcaption b { font-size: 14px; margin-right: auto; }
.chart .key::before { content: ""; display: inline-block; width: 16px; height: 3px; border-radius: 2px;
  margin-right: 5px; vertical-align: middle; background: var(--ink); }
.chart .key:has(svg)::before { content: none; }
.chart .key svg { position: static; display: inline-block; width: 26px; height: 8px; margin-right: 5px; }
.chart .key.points::before { width: 9px; height: 9px; border-radius: 50%; }
.chart .key.faint::before { opacity: .4; }
.chart .plot { position: relative; touch-action: pan-y; margin: 8px 10px 0 58px; }
.chart svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.chart svg * { fill: none; vector-effect: non-scaling-stroke; }
.chart path.grid { stroke: var(--grid); stroke-width: 1; }
.chart path.line { stroke: var(--ink); stroke-width: 2.2; stroke-linejoin: round; }
.chart path.faint { stroke: var(--ink); stroke-width: 1; opacity: var(--faint); stroke-linejoin: round; }
.chart path.points { stroke: var(--ink); stroke-width: 9; stroke-linecap: round; }
.chart path.link { stroke: var(--ink); stroke-width: 1.4; stroke-dasharray: 5 4; opacity: .8; }
.chart .tick { position: absolute; font-size: 12px; line-height: 1; white-space: nowrap; opacity: .8;
  font-variant-numeric: tabular-nums; }
.chart .tick.y { right: calc(100% + 7px); transform: translateY(50%); }
.chart .tick.x { top: calc(100% + 7px); transform: translateX(-50%); }
.chart .axis { position: absolute; top: calc(100% + 22px); right: 0; font-size: 12px; opacity: .8; }
.chart .at { position: absolute; top: 0; bottom: 0; }
.chart .at:hover { border-left: 1px solid currentColor; z-index: 2; }
.chart .at > span { display: none; position: absolute; top: 4px; left: 8px; padding: 5px 8px; border-radius: 6px;
  font-size: 12px; line-height: 1.45; white-space: pre; pointer-events: none; font-variant-numeric: tabular-nums;
  color: #16181d; background: #fffffff2; box-shadow: 0 1px 6px #0006; }
.chart .at.left > span { left: auto; right: calc(100% + 8px); }
.chart .at:hover > span { display: block; }
.chart .none { position: absolute; inset: 0; display: grid; place-items: center; opacity: .7; font-size: 14px; }
""".replace("@DARK@", DARK)


@dataclass(frozen=True)
class Series:
    """A curve: pairs of (x, y), x rising. `ink` is its colour, 1 to 8. `faint` is background and has no read-out; one
    without a name is not named in the legend either. `dash`: 0 for a whole line, 1 to 3 for broken ones, which tells
    curves apart without colours. `top`: the axis need not reach higher for this curve."""

    name: str
    points: Sequence[tuple[float, float]]
    kind: Kind = "line"
    ink: int = 1
    dash: int = 0
    top: float | None = None


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        if self.log:
            value, low, high = math.log10(max(value, 1e-300)), math.log10(self.low), math.log10(self.high)
        else:
            low, high = self.low, self.high
        return min(max((value - low) / (high - low), -0.02), 1.02) if high > low else 0.5


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    height_px: int = 240,
    log: bool = False,
    log_x: bool = False,
    x_name: str = "step",
    x_end: float = 0.0,
    x_range: tuple[float, float] | None = None,
    empty: str = "nothing yet",
) -> str:
    """A chart as HTML. `log`, `log_x`: logarithmic y and x axis (values that are not above 0 are left out). `x_end`:
    the x axis goes from 0 at least so far, so that a running curve grows into its chart and charts can be read one
    below the other; `x_range`: from here to there instead. All text is escaped here."""
    shown = [_cleaned(one, log, log_x) for one in series]
    shown = [one for one in shown if one.points]
    keys = "".join(_key(one) for one in shown if one.name)
    head = f"<figcaption><b>{escape(title)}</b>{keys}</figcaption>"
    if not shown:
        body, reach = f'<div class="none">{escape(empty)}</div>', ""
    else:
        x_axis, y_axis = _Axis(*x_range) if x_range else _x_axis(shown, x_end, log_x), _y_axis(shown, log)
        reach = f' data-low="{x_axis.low:g}" data-high="{x_axis.high:.12g}"'
        body = _svg(shown, x_axis, y_axis) + _labels(x_axis, y_axis, x_name) + _readouts(shown, x_axis, x_name)
    label = escape(title, quote=True)
    plot = f'<div class="plot" style="height:{height_px}px" role="img" aria-label="{label}"{reach}>{body}</div>'
    return f'<figure class="chart">{head}{plot}</figure>'


def _cleaned(one: Series, log: bool, log_x: bool) -> Series:
    finite = [(x, y) for x, y in one.points if math.isfinite(x) and math.isfinite(y)]
    fits = [(x, y) for x, y in finite if (y > 0 or not log) and (x > 0 or not log_x)]
    return replace(one, points=fits)


def _key(one: Series) -> str:
    """A curve's name in the legend, after a piece of its line."""
    line = f'<svg viewBox="0 0 26 8" aria-hidden="true"><path class="line"{_dash(one)} d="M0 4H26"/></svg>'
    return f'<span class="key {one.kind}" {_ink(one)}>{line if one.dash else ""}{escape(one.name)}</span>'


def _dash(one: Series) -> str:
    return f' stroke-dasharray="{DASHES[one.dash]}"' if one.dash else ""


def _ink(one: Series) -> str:
    return f'style="--ink:var(--c{one.ink})"'


def _x_axis(series: Sequence[Series], x_end: float, log: bool = False) -> _Axis:
    low = min(one.points[0][0] for one in series)
    high = max(max(one.points[-1][0] for one in series), x_end)
    if log:
        return _Axis(low, high if high > low else 10.0 * low, log=True)
    return _Axis(min(low, 0.0 if x_end or low <= 0.1 * high else low), high if high > low else low + 1.0)


def _y_axis(series: Sequence[Series], log: bool) -> _Axis:
    """From the lowest to the highest value, with some air. Of a faint curve the highest hundredth may stick out: one
    wild step must not press the rest of the chart flat."""
    values: list[float] = []
    for one in series:
        own = sorted(y for _, y in one.points)
        high = own[int(0.99 * (len(own) - 1))] if one.kind == "faint" else own[-1]
        values += [own[0], high if one.top is None else max(own[0], min(own[-1], one.top))]
    low, high = min(values), max(values)
    if log:
        return _Axis(low / 1.15, high * 1.15, log=True)
    if low == high:
        low, high = low - (abs(low) * 0.1 or 1.0), high + (abs(high) * 0.1 or 1.0)
    air = 0.06 * (high - low)
    floor = 0.0 if 0 <= low <= 0.35 * high else low - air
    return _Axis(floor, high + air)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """About `wanted` round values between two ends: 1, 2 or 5 times a power of ten apart."""
    raw = (high - low) / (wanted + 1)
    if not raw > 0 or not math.isfinite(raw):
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, first + 4 * wanted) if n * step <= high + step * 1e-6]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between two ends, with 2 and 5 times them where there is room; round values of a narrow range."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1.0, 2.0, 5.0), (1.0,)):
        found = [m * 10.0**p for p in powers for m in factors if low <= m * 10.0**p <= high]
        if len(found) <= 7:
            break
    return found if len(found) >= 3 else ticks(low, high, 4)


def number(value: float) -> str:
    """A value as people read it: 1500, 0.25, 5e-5."""
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-3:
        text = f"{value:.3g}"
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}" if "e" in text or abs(value) < 1e-3 else text
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"


def _svg(series: Sequence[Series], x_axis: _Axis, y_axis: _Axis) -> str:
    lines = "".join(f"M0 {_y(y_axis, tick)}H{WIDTH}" for tick in _y_ticks(y_axis))
    drawn = [f'<path class="grid" d="{lines}"/>']
    for one in series:
        places = [(round(x_axis.place(x) * WIDTH), _y(y_axis, y)) for x, y in one.points]
        route = "M" + "L".join(f"{x} {y}" for x, y in places)
        if one.kind == "points":
            dots = "".join(f"M{x} {y}h0" for x, y in places)
            drawn.append(
                f'<path class="link" {_ink(one)}{_dash(one)} d="{route}"/><path class="points" {_ink(one)} d="{dots}"/>'
            )
        else:
            dot = "h0" if len(places) == 1 else ""
            cap = _dash(one) or ' stroke-linecap="round"'
            drawn.append(f'<path class="{one.kind}" {_ink(one)} d="{route}{dot}"{cap}/>')
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true"'
    return f"<svg {box}>{''.join(drawn)}</svg>"


def _y(axis: _Axis, value: float) -> int:
    return round((1 - axis.place(value)) * HEIGHT)


def _y_ticks(axis: _Axis) -> list[float]:
    return log_ticks(axis.low, axis.high) if axis.log else ticks(axis.low, axis.high, 4)


def _x_ticks(axis: _Axis) -> list[float]:
    return log_ticks(axis.low, axis.high) if axis.log else ticks(axis.low, axis.high, 5)


def _labels(x_axis: _Axis, y_axis: _Axis, x_name: str) -> str:
    y_text = "".join(
        f'<span class="tick y" style="bottom:{100 * y_axis.place(tick):.2f}%">{number(tick)}</span>'
        for tick in _y_ticks(y_axis)
    )
    x_text = "".join(
        f'<span class="tick x" style="left:{100 * x_axis.place(tick):.2f}%">{number(tick)}</span>'
        for tick in _x_ticks(x_axis)
    )
    return f'{y_text}{x_text}<span class="axis">{escape(x_name)}</span>'


def _readouts(series: Sequence[Series], x_axis: _Axis, x_name: str) -> str:
    """Columns that show the values nearest to them when the pointer is over them."""
    solid = [one for one in series if one.kind != "faint"] or list(series)
    main = max(solid, key=lambda one: len(one.points))
    if len(main.points) < 2:
        return ""
    chosen = main.points[:: max(1, math.ceil(len(main.points) / COLUMNS))]
    edges = [100 * x_axis.place(x) for x, _ in chosen]
    width = (edges[-1] - edges[0]) / (len(edges) - 1) if len(edges) > 1 else 100.0
    drawn = []
    for (x, _), left in zip(chosen, edges):
        values = [f"{one.name} {number(y)}" for one in solid if (y := _near(one, x, x_axis)) is not None]
        text = escape("\n".join([f"{x_name} {number(x)}", *values]))
        side = " left" if left > 60 else ""
        drawn.append(f'<div class="at{side}" style="left:{left:.2f}%;width:{width:.2f}%"><span>{text}</span></div>')
    return "".join(drawn)


def _near(one: Series, x: float, x_axis: _Axis) -> float | None:
    """The value at the point nearest to x, unless that is further away than a column."""
    at = bisect_left(one.points, x, key=lambda point: point[0])
    close = min(one.points[max(0, at - 1) : at + 1], key=lambda point: abs(point[0] - x))
    away = abs(x_axis.place(close[0]) - x_axis.place(x))
    return close[1] if away <= 1 / COLUMNS or one.kind == "line" else None
