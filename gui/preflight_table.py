"""A preflight on the terminal: a table of its rungs, and below it what to change."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trainer.report.preflight import Preflight

STYLES = {"green": "bold green", "yellow": "bold yellow", "red": "bold red"}


def preflight_table(report: Preflight) -> RenderableType:
    """The rungs with their verdicts, and for each that is not green what to change. Texts are never read as markup."""
    table = Table(title=f"Preflight of {report.preset}", title_justify="left")
    for name in ("", "rung", "verdict", "what was found"):
        table.add_column(name)
    for rung in report.rungs:
        found = Text("\n".join([rung.sentence, *(f"- {text}" for text in rung.details)]))
        table.add_row(str(rung.number), Text(rung.name), Text(rung.verdict, STYLES[rung.verdict]), found)
    changes = [Text(f"{rung.name}: {fix}") for rung in report.rungs if rung.verdict != "green" for fix in rung.fixes]
    head = [Text("What to change, the first things first:")] if changes else []
    return Group(table, *head, *changes, Text(report.headline, STYLES[report.verdict]))
