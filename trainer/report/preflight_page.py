"""A preflight as HTML: for the page, and as a file of its own that opens offline, light or dark as the system is."""

from __future__ import annotations

from datetime import datetime

from trainer.report import charts
from trainer.report.charts import Series, line_chart, number
from trainer.report.preflight import Chart, Preflight, Rung
from trainer.report.words import duration, escape

CSS = """
.preflight { line-height: 1.5; }
.preflight .headline { font-size: 17px; font-weight: 600; margin: 4px 0 2px; }
.preflight .facts { opacity: .75; margin: 0 0 14px; font-size: 13px; }
.preflight .rung { border: 1px solid #8885; border-left: 6px solid var(--mark); border-radius: 8px; padding: 10px 14px;
  margin: 0 0 12px; }
.preflight .rung h3 { margin: 0 0 2px; font-size: 15px; }
.preflight .verdict { display: inline-block; min-width: 4.2em; text-align: center; margin-right: 8px; padding: 0 8px;
  border-radius: 10px; font-size: 12px; color: #fff; background: var(--mark); }
.preflight .green { --mark: #1a7f37; } .preflight .yellow { --mark: #8a5a00; } .preflight .red { --mark: #b42318; }
.preflight p, .preflight ul { margin: 4px 0; } .preflight li { margin: 2px 0; }
.preflight details { margin: 6px 0 0; font-size: 13px; }
.preflight table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.preflight td { padding: 1px 14px 1px 0; }
.preflight .chart { margin-top: 10px; }
"""

PAGE_CSS = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 860px; margin: 24px auto; padding: 0 16px;
  color: #16181d; background: #fff; }
@media (prefers-color-scheme: dark) { body { color: #e6e8ec; background: #14161a; } .chart { @DARK@ } }
""".replace("@DARK@", charts.DARK)


def page(report: Preflight) -> str:
    """The whole file: no script, nothing from elsewhere."""
    title = escape(f"Preflight of {report.preset}")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    style = f"<style>{charts.CSS}{CSS}{PAGE_CSS}</style>"
    return (
        f'<!doctype html><html lang="en"><head>{head}{style}</head><body><h1>{title}</h1>{render(report)}</body></html>'
    )


def render(report: Preflight) -> str:
    """The part that the page shows too, under `CSS` and `charts.CSS`."""
    when = datetime.fromtimestamp(report.created).strftime("%Y-%m-%d %H:%M")
    facts = f"{report.device}, {when}, took {duration(report.seconds)}"
    rungs = "".join(_rung(rung) for rung in report.rungs)
    return (
        f'<div class="preflight"><p class="headline">{escape(report.headline)}</p><p class="facts">{escape(facts)}</p>'
        f"{rungs}</div>"
    )


def _rung(rung: Rung) -> str:
    details = "".join(f"<li>{escape(text)}</li>" for text in rung.details)
    fixes = "".join(f"<li>{escape(text)}</li>" for text in rung.fixes)
    rows = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{number(value)}</td></tr>"
        for name, value in rung.figures.items()
    )
    return "".join(
        [
            f'<section class="rung {escape(rung.verdict)}"><h3><span class="verdict">{escape(rung.verdict)}</span>',
            f"{escape(rung.number)}. {escape(rung.name)}</h3><p>{escape(rung.sentence)}</p>",
            f"<p><b>What to change</b></p><ul>{fixes}</ul>" if fixes else "",
            f"<ul>{details}</ul>" if details else "",
            "".join(_chart(chart) for chart in rung.charts),
            f"<details><summary>All figures</summary><table>{rows}</table></details>" if rows else "",
            "</section>",
        ]
    )


def _chart(chart: Chart) -> str:
    series = [Series(one.name, one.points, "points" if one.dots else "line", one.ink) for one in chart.curves]
    return line_chart(series, title=chart.title, x_name=chart.x_name, log=chart.log_y, log_x=chart.log_x, height_px=220)
