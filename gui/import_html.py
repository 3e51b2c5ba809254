"""What became of another program's settings, as the page shows it: a table of keys with a filter, a table of files. No
Gradio in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gui import importing, text
from gui.form.fixes import field_id
from gui.importing import Row
from trainer.contract.importers.base import Imported, KeyReport
from trainer.contract.in_words import in_words, label_of
from trainer.contract.settings import BY_PATH
from trainer.report.words import escape

FILTERS = (
    ("all", "All"),
    ("changed", "Changed"),
    ("dropped", "Left out"),
    ("carried", "Carried"),
    ("mapped", "Same"),
    ("idle", "No effect"),
)
"""What a button of the table lets through, and its word."""


def report(imported: Imported) -> str:
    """What became of every key: counts, and a table that can be filtered; "" for a file of our own."""
    if not imported.keys:
        return ""
    counts = ", ".join(f"<span>{escape(part)}</span>" for part in importing.counts(imported))
    kind = f"<span>{escape(imported.kind or 'Settings')}</span>: <span>{len(imported.keys)} keys</span>"
    head = f'<p class="quiet">{kind}: {counts}.</p>'
    body = "".join(_key(key) for key in importing.ordered(imported.keys))
    return (
        f'<section class="fates">{head}{_filters(imported)}<div class="scroll" tabindex="0" role="region" '
        'aria-label="What became of each key"><table class="plain"><thead><tr><th>Key</th><th>Value</th>'
        f"<th>Became</th><th>Reason</th></tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _filters(imported: Imported) -> str:
    fates = [importing.fate_of(key) for key in imported.keys]
    buttons = [
        f'<button type="button" data-fate="{fate}" aria-pressed="{"true" if fate == "all" else "false"}">'
        f"<span>{word}</span> {len(fates) if fate == 'all' else fates.count(fate)}</button>"
        for fate, word in FILTERS
        if fate == "all" or fate in fates
    ]
    search = '<input type="search" placeholder="Search keys" aria-label="Search keys">'
    return f'<div class="fate-filters" role="group" aria-label="Show">{"".join(buttons)}{search}</div>'


def _key(key: KeyReport) -> str:
    reason = escape(in_words(key.reason)) if key.reason else ""
    return (
        f'<tr data-fate="{importing.fate_of(key)}"><td translate="no">{text.breakable(key.name)}</td>'
        f'<td translate="no">{escape(key.value)}</td>'
        f"<td>{_where(key) or escape(importing.became(key))}</td><td>{reason}</td></tr>"
    )


def _where(key: KeyReport) -> str:
    """Buttons that lead to the fields that a key went to."""
    paths, more = importing.where(key)
    shown = ", ".join(
        f'<button type="button" class="jump" data-jump="{escape(field_id(path))}">{escape(label_of(path))}</button>'
        if path in BY_PATH
        else text.breakable(path)
        for path in paths
    )
    return shown + (" …" if more else "")


def folder(rows: Sequence[Row], targets: Mapping[str, Path]) -> str:
    """A table of files: what became of the keys of each, and the way to one of them."""
    body = "".join(_file(number, row) for number, row in enumerate(rows))
    there = sum(path.exists() for path in targets.values())
    told = f"{len(targets)} of {len(rows)} files can be taken over."
    told += f" {there} presets of these names are there already: they are kept as they are." if there else ""
    heads = "".join(f"<th>{head}</th>" for head in ("File", "Same", "Changed", "Carried", "Left out")) + "<td></td>"
    return (
        f'{text.paragraph(told)}<div class="scroll" tabindex="0" role="region" aria-label="The files">'
        f'<table class="plain files"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _file(number: int, row: Row) -> str:
    name = f'<td translate="no">{escape(row.file)}</td>'
    if row.imported is None:
        why = text.problem_list(row.faults, "Not readable")
        return f'<tr>{name}<td colspan="5">{why}</td></tr>'
    fates = [importing.fate_of(key) for key in row.imported.keys]
    cells = "".join(f"<td>{fates.count(fate)}</td>" for fate in ("mapped", "changed", "carried", "dropped"))
    show = (
        f'<button type="button" class="small" data-file="{number}" aria-label="Show {escape(row.file)}">Show</button>'
    )
    return f"<tr>{name}{cells}<td>{show}</td></tr>"


def kept(written: Sequence[Path], there: Sequence[Path]) -> str:
    """Which presets were written, and which were there before."""
    told = text.paragraph(f"{len(written)} presets written to {written[0].parent}.", "good") if written else ""
    if there:
        told += text.paragraph(f"{len(there)} were there already and are kept as they were:", "bad")
        told += text.lines(path.name for path in there)
    return told or text.paragraph("Nothing was written.")
