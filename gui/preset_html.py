"""The presets as the page shows them: cards, what a load would change, what a file said. No Gradio in here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gui import import_html, library, text
from gui.context import Context
from gui.form.fixes import field_id
from trainer.contract.importers.base import Imported
from trainer.contract.in_words import label_of
from trainer.contract.preset import describe_rule
from trainer.contract.settings import ITEMS, Preset, Rule
from trainer.report.words import escape

DROP = (
    '<label class="drop">Drop settings here, or click to choose: a preset, a kohya_ss .json, an sd-scripts .toml, a '
    'OneTrainer .json, or a LoRA to train like it<input type="file" multiple accept=".toml,.json,.safetensors" '
    'aria-label="Settings or LoRA files"></label>'
    '<button type="button" class="drop-folder">or choose a whole folder of them</button>'
)

TO_THE_FORM = f'<p><button type="button" class="jump" data-jump="{field_id("model.path")}">Go to the form</button></p>'


def shelf(context: Context) -> str:
    """All presets as cards, the shipped ones first."""
    found = library.entries(context)
    parts = []
    for place, heading in (("shipped", "Shipped"), ("own", "Your own")):
        cards = "".join(_card(entry) for entry in found if entry.key.startswith(f"{place}/"))
        body = f'<div class="cards">{cards}</div>' if cards else text.paragraph("None yet.")
        parts.append(f"<h3>{heading}</h3>{body}")
    search = '<input class="shelf-search" type="search" placeholder="Search presets" aria-label="Search presets">'
    search += _chips(found)
    none = '<p class="quiet none-fits" hidden>No preset matches.</p>'
    return f'<div class="shelf">{search}{none}{"".join(parts)}</div>'


def _chips(found: Sequence[library.Entry]) -> str:
    """What the list can be narrowed by: a row of buttons for each, with the values that there are."""
    sizes = sorted({entry.memory_gb for entry in found} - {0})
    rows = [
        ("base", "Model", [(base, base) for base in dict.fromkeys(entry.base for entry in found) if base]),
        ("what", "For", [(word, word) for word in library.USES if any(entry.what == word for entry in found)]),
        ("memory", "Fits", [(str(size), f"{size} GB") for size in sizes]),
    ]
    return "".join(_chip_row(*row) for row in rows if len(row[2]) > 1)


def _chip_row(kind: str, title: str, values: Sequence[tuple[str, str]]) -> str:
    chips = "".join(
        f'<button type="button" class="chip" aria-pressed="false" data-chip="{kind}" data-value="{escape(value)}">'
        f"{escape(word)}</button>"
        for value, word in values
    )
    return f'<div class="chips" role="group" aria-label="{title}"><span>{title}</span>{chips}</div>'


def _card(entry: library.Entry) -> str:
    title = f'<h4 translate="no">{escape(entry.title)}</h4>'
    remove = _button(entry, "delete", "Delete") if entry.key.startswith("own/") else ""
    if entry.faults:
        told = text.problem_list(entry.faults, "Not loadable")
        return f'<article data-memory="0">{title}{told}<div class="doing">{remove}</div></article>'
    proved = entry.tested if entry.tested == "untested" else f"tested {entry.tested}"
    facts = "".join(f"<li>{escape(word)}</li>" for word in entry.facts)
    marks = f'data-base="{escape(entry.base)}" data-what="{entry.what}" data-memory="{entry.memory_gb}"'
    return (
        f'<article {marks}>{title}<ul class="facts">{facts}</ul>{text.paragraph(entry.use) if entry.use else ""}'
        f'<span class="quiet"><span translate="no">{escape(entry.path.name)}</span> · '
        f"<span>{escape(proved)}</span></span>"
        f'<div class="doing">{_button(entry, "load", "Load")}{remove}</div></article>'
    )


def _button(entry: library.Entry, what: str, word: str) -> str:
    return (
        f'<button type="button" data-preset="{escape(entry.key)}" data-what="{what}" '
        f'aria-label="{word} {escape(entry.title)}">{word}</button>'
    )


def offered(title: str, now: Preset, imported: Imported, command: str = "") -> str:
    """What loading a preset would change, before it does."""
    preset = imported.preset
    rows = library.changes(now, preset)
    head = f'<h2 translate="no">{escape(title)}</h2>'
    warned = "".join(f"<li>{escape(line)}</li>" for line in library.warnings(preset))
    notes = "".join(f"<li>{escape(line)}</li>" for line in imported.notes)
    unknown = () if imported.keys else imported.left
    left = "".join(f"<li>{escape(name)} = {escape(value)}</li>" for name, value in unknown)
    told = text.paragraph(f"Loading it changes {_settings(rows)} of the form:" if rows else "The form says the same.")
    return (
        head
        + (f'<ul class="bad">{warned}</ul>' if warned else "")
        + (f"<ul>{notes}</ul>" if notes else "")
        + import_html.report(imported)
        + told
        + f'<div class="scroll">{table(rows, ("Setting", "Now", "Then"))}</div>'
        + (f"<details><summary>Not known here: {len(unknown)}</summary><ul>{left}</ul></details>" if left else "")
        + (f"{text.paragraph('The same without the page:')}{text.command(command)}" if command else "")
    )


def _settings(rows: Sequence[object]) -> str:
    return "1 setting" if len(rows) == 1 else f"{len(rows)} settings"


def loaded(title: str, preset: Preset) -> str:
    """What was loaded: every setting that is not at its default."""
    rows = library.differences(preset)
    told = text.paragraph(f"Loaded {title}. {_settings(rows)} differ from the defaults:", "good")
    return told + TO_THE_FORM + f'<div class="scroll">{table(rows, ("Setting", "Value", "Default"))}</div>'


def _cell(value: str) -> str:
    """A value: the user's own, but where it says in our words that there is none or what rule it follows."""
    kept = "" if value in _OURS else ' translate="no"'
    return f"<td{kept}>{escape(value)}</td>"


_OURS = {"empty", "none", *(describe_rule(item.default) for item in ITEMS if isinstance(item.default, Rule))}


def table(rows: Sequence[tuple[str, str, str]], heads: tuple[str, str, str]) -> str:
    """Settings with two values each; a name leads to the setting's field."""
    if not rows:
        return ""
    body = "".join(
        f'<tr><td><button type="button" class="jump" data-jump="{escape(field_id(path))}">'
        f"{escape(label_of(path))}</button></td>{_cell(one)}"
        f"{_cell(other)}</tr>"
        for path, one, other in rows
    )
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f'<table class="plain"><tr>{head}</tr>{body}</table>'


def command_of(path: Path, context: Context) -> str:
    """The command that trains a preset file."""
    place = path.relative_to(context.root).as_posix() if path.is_relative_to(context.root) else str(path)
    return f'python launch.py --preset "{place}"' if " " in place else f"python launch.py --preset {place}"


def saved(path: Path, context: Context) -> str:
    """Where a preset was saved, and the command that trains it."""
    told = text.paragraph(f"Saved as {path.name}. The same without the page:", "good")
    return told + text.command(command_of(path, context))


def shared(file: str, gone: Sequence[str]) -> str:
    """What a shared copy does not hold."""
    rows = "".join(f'<li translate="no">{escape(line)}</li>' for line in gone)
    told = text.paragraph(f"{file} holds no folder of this computer. Left out or shortened:", "good")
    return told + f"<ul>{rows}</ul>" if rows else text.paragraph(f"{file} holds nothing of this computer.", "good")
