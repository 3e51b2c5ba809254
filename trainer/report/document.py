"""The page of a report: its frame and looks. No script, no font, no picture from elsewhere; for light, dark and paper.

The policy in its head forbids the browser to load or run anything, should a text ever slip through unescaped.
"""

from __future__ import annotations

from trainer.report import bars, charts, figures
from trainer.report.words import escape

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, sections: list[str]) -> str:
    """The whole file. `title` is plain text, `sections` are HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{charts.CSS}{figures.CSS}{bars.CSS}{CSS}</style></head>\n"
        f"<body><main>\n{chr(10).join(part for part in sections if part)}\n</main></body></html>\n"
    )


def section(key: str, title: str, body: str) -> str:
    """A part under its heading; "" without a body."""
    return f'<section id="{escape(key)}"><h2>{escape(title)}</h2>{body}</section>' if body else ""


def folded(title: str, body: str) -> str:
    """A part that opens on a click, and on paper by itself."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>" if body else ""


def facts(rows: list[tuple[str, str]]) -> str:
    """Names with their values; the values are HTML, rows without one are left out."""
    cells = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows if value)
    return f'<dl class="facts">{cells}</dl>'


CSS = """
:root { --ground: #f5f7f8; --card: #fff; --ink: #17212b; --quiet: #51606d; --line: #d5dde2; --accent: #0f766e;
  --bad: #c2382b; --warn: #b86e00; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #0e1416; --card: #161e21; --ink: #e3e9ec; --quiet: #9fb0ba; --line: #2b383d; --accent: #41b3a7;
    --bad: #ff8a7a; --warn: #f0b04f; }
  .chart { @DARK@ }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, Ubuntu, "Noto Sans", sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 1060px; margin: 0 auto; padding: 20px 16px 48px; }
header, section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px 22px;
  margin: 0 0 14px; overflow-x: clip; }
header { border-top: 5px solid var(--accent); }
header.bad { border-top-color: var(--bad); }
h1 { margin: 0; font-size: 28px; line-height: 1.25; overflow-wrap: anywhere; }
header p.how { margin: 2px 0 14px; font-size: 16px; color: var(--quiet); }
header.bad p.how { color: var(--bad); }
h2 { margin: 0 0 12px; font-size: 19px; }
h3 { margin: 18px 0 8px; font-size: 15px; }
p { margin: 6px 0; }
.quiet, small { color: var(--quiet); }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0; }
dl.facts dt { color: var(--quiet); }
dl.facts dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace;
  font-size: 12.5px; }
code { background: #8881; border-radius: 4px; padding: 1px 4px; overflow-wrap: anywhere; }
pre { background: #8881; border-radius: 8px; padding: 10px 12px; margin: 8px 0; white-space: pre-wrap;
  overflow-wrap: anywhere; user-select: all; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 0 24px; }
.strip { margin: 0 0 18px; break-inside: avoid; }
.strip > p { margin: 0 0 6px; font-size: 14px; overflow-wrap: anywhere; }
.shots { display: flex; gap: 10px; overflow-x: auto; padding-bottom: 4px; }
.shots figure { flex: 0 0 auto; margin: 0; width: min(var(--wide), 46vw); }
.shots.pair figure { flex: 0 1 auto; }
.shots img { display: block; width: 100%; border-radius: 8px; background: #8882; }
.shots .none { display: grid; place-items: center; aspect-ratio: 1; border-radius: 8px; background: #8881;
  color: var(--quiet); font-size: 12px; }
.shots figcaption { font-size: 12.5px; color: var(--quiet); margin-top: 3px; }
details { margin: 8px 0; }
summary { cursor: pointer; font-weight: 600; font-size: 14px; }
details > :nth-child(2) { margin-top: 8px; }
.chart { margin: 0 0 4px; }
.chart + .said { color: var(--quiet); opacity: 1; }
ol.told { margin: 0; padding: 0; list-style: none; }
ol.told li { border-left: 4px solid var(--accent); padding: 2px 0 2px 10px; margin: 6px 0; overflow-wrap: anywhere; }
ol.told li.warned { border-left-color: var(--warn); }
ol.told b { font-weight: 600; font-size: 13px; color: var(--quiet); margin-right: 6px; }
ul.problems { margin: 8px 0 10px; padding-left: 20px; }
table.settings { border-collapse: collapse; width: 100%; font-size: 13.5px; }
table.settings td { border-top: 1px solid var(--line); padding: 3px 12px 3px 0; vertical-align: top;
  overflow-wrap: anywhere; }
table.settings td:first-child { width: 38%; }
footer { color: var(--quiet); font-size: 13px; text-align: center; margin-top: 18px; }
@media (max-width: 560px) {
  header, section { padding: 14px; border-radius: 10px; }
  dl.facts { grid-template-columns: 1fr; gap: 0; }
  dl.facts dd { margin-bottom: 8px; }
  h1 { font-size: 23px; }
}
@media print {
  body { background: #fff; } main { max-width: none; padding: 0; }
  header, section { break-inside: auto; border-color: #ccc; }
  .chart, .timebar, .strip, tr { break-inside: avoid; }
  .shots { flex-wrap: wrap; overflow: visible; }
  .shots figure { width: min(var(--wide), 22%); } .shots.pair figure { width: 40%; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
  .chart .at { display: none; }
}
""".replace("@DARK@", charts.DARK)
