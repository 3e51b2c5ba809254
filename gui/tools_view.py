"""The Tools tab as HTML: a form a tool, how far one is, what it found or made, and the list of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from gui.runs import panels
from gui.runs.watch import Row
from gui.text import paragraph, problem_list
from trainer.contract.adapter_tasks import TITLES, TOOLS, Bar, Result, Shown, Tool, shown
from trainer.contract.problems import Problem
from trainer.contract.rundir import Kind
from trainer.report.view import RunView
from trainer.report.words import duration, escape

AT_WORK = ("starting", "running")
_NO = ' translate="no"'
_PLACES = {"adapter": "path of a .safetensors file", "adapters": "paths, one a line", "model": "path of a checkpoint",
           "out": "beside the first file", "lines": "one a line", "numbers": "for example 1, 0.5"}  # fmt: skip
_ASKED_LATER = ("send",)
"""Fields that the page asks for by a button of their own, once the result can be seen."""

DO = {"inspect": "Measure", "verify": "Verify", "metadata": "Write the file", "upload": "Show what would be sent"}


def forms() -> str:
    """The choice of tools, and all of their forms; the script shows one."""
    picks = "".join(
        f'<label class="tool-pick"><input type="radio" name="tool" value="{name}"{" checked" if not number else ""}>'
        f"<span>{escape(TITLES[name])}</span></label>"
        for number, name in enumerate(TOOLS)
    )
    sheets = "".join(_form(name, tool, number == 0) for number, (name, tool) in enumerate(TOOLS.items()))
    return f'<fieldset class="tool-picks"><legend>Tool</legend>{picks}</fieldset>{sheets}'


def _form(name: Kind, tool: type[Tool], first: bool) -> str:
    hidden = "" if first else " hidden"
    about = " ".join((tool.__doc__ or "").split())
    fields = [_field(name, field, *row) for field, row in shown(tool).items() if field not in _ASKED_LATER]
    return (
        f'<section class="tool-form" data-tool="{name}" aria-label="{escape(TITLES[name])}"{hidden}>'
        f'<p class="quiet">{escape(about)}</p>{"".join(fields)}'
        f'<button type="button" class="tool-go" data-run="{name}">{DO.get(name, "Start")}</button></section>'
    )


def _field(tool: Kind, field: str, how: Shown, about: Any) -> str:
    id, text = f"tool-{tool}-{field}", escape(" ".join((about.description or "").split()))
    marks = f'id="{id}" data-field="{field}" aria-describedby="{id}-help"'
    help = f'<p class="tool-help" id="{id}-help">{text}</p>'
    if how.input == "switch":
        on = " checked" if about.default else ""
        box = f'<label class="tool-switch"><input type="checkbox" {marks}{on}> {escape(how.title)}</label>'
        return f'<div class="tool-field">{box}{help}</div>'
    title = f'<label for="{id}">{escape(how.title)}</label>'
    glance = '<div class="tool-glance" role="status"></div>' if how.input == "adapter" else ""
    return f'<div class="tool-field" data-kind="{how.input}">{title}{_input(how, about, marks)}{help}{glance}</div>'


def _input(how: Shown, about: Any, marks: str) -> str:
    """The input of a field, and for files the list of those that are known."""
    place = escape(_PLACES.get(how.input, ""))
    if how.input == "choice":
        options = "".join(
            f"<option{' selected' if each == about.default else ''}>{escape(str(each))}</option>"
            for each in get_args(about.annotation)
        )
        return f"<select {marks}{_NO}>{options}</select>"
    if how.input in ("adapters", "lines"):
        typed = f'<textarea {marks} rows="3" placeholder="{place}" translate="no" spellcheck="false"></textarea>'
    else:
        value = "" if about.is_required() or about.default in ("", ()) else escape(f"{about.default}")
        mode = ' inputmode="decimal"' if how.input in ("number", "numbers") else ""
        typed = (
            f'<input type="text" {marks}{mode} value="{value}" placeholder="{place}" translate="no" spellcheck="false">'
        )
    if how.input not in ("adapter", "adapters", "model"):
        return typed
    said = "Known checkpoints" if how.input == "model" else "Known adapters"
    known = (
        f'<select class="tool-known" data-known="{how.input}" aria-label="{said}"><option value="">choose ...</option>'
        "</select>"
    )
    return f'<div class="tool-file">{typed}{known}</div>'


def head(row: Row | None, view: RunView | None, asked: bool) -> str:
    """State, progress and buttons of the run that is shown."""
    if row is None or view is None:
        return paragraph("Results appear here. Files are written beside the first one unless you say where.")
    alive = row.state.state in AT_WORK
    ended = "" if view.failed is not None else row.state.cause  # a failure's cause stands in a box of its own
    line = "stopping: nothing is written" if asked and alive else view.phase if alive else ended
    buttons = _button("stop", row.id, "Stop", "what is half written is taken away") if alive and not asked else ""
    if not alive:
        buttons = _button("delete", row.id, "Delete", "this entry, to the trash of the runs folder; no file of yours")
    title = f'{panels.state_mark(row.state.state)}<span class="line">{escape(line)}</span>'
    tail = f'<span class="quiet">{panels.when(row.state.created)} · {duration(row.seconds)}</span>'
    kind = escape(TITLES.get(row.state.kind, row.state.kind))
    return (
        f'<h2>{kind}</h2><div class="try-head" role="status">{title}{tail}<span class="moves">{buttons}</span></div>'
        + (_bar(view) if alive else "")
        + _failed(view)
    )


def _bar(view: RunView) -> str:
    done, of = view.progress
    if not of:
        return ""
    share = 100 * done / of
    return (
        '<div class="progress"><div class="bar running" role="progressbar" aria-label="progress" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{share:.0f}"><i style="width:{share:.1f}%"></i></div></div>'
    )


def _failed(view: RunView) -> str:
    if view.failed is None:
        return ""
    lines = "".join(f"<li>{escape(line)}</li>" for line in view.failed.problems[1:])
    return f'<div class="problems" role="alert"><strong>{escape(view.failed.cause)}</strong><ul>{lines}</ul></div>'


def result(found: Result | None, run_id: str, tool: Tool | None) -> str:
    """What a tool found or made."""
    if found is None:
        return ""
    faults = "".join(f"<li>{escape(each)}</li>" for each in found.faults)
    wrong = (
        f'<div class="problems" role="alert"><strong>Wrong with it</strong><ul>{faults}</ul></div>' if faults else ""
    )
    notes = "".join(paragraph(each) for each in found.notes)
    return f"{wrong}{notes}{_file(found, run_id, tool)}{table(found.facts)}{bars(found.bars)}{_metadata(found)}"


def _file(found: Result, run_id: str, tool: Tool | None) -> str:
    if not found.file:
        return ""
    copy = f'<button type="button" data-copy="{escape(found.file)}">copy</button>'
    buttons = ""
    if found.adapter:
        buttons = (
            f'<button type="button" class="small" data-what="try" data-try="{escape(run_id)}" '
            'title="draw pictures with it in the Try tab">Open in Try</button>'
        )
    if getattr(tool, "send", None) is False:
        buttons = (
            f'<button type="button" class="small" data-what="send" data-try="{escape(run_id)}" '
            'data-sure="Send this file to the Hugging Face hub now?">Send it now</button>'
        )
    line = f'<p class="command"><code{_NO}>{escape(found.file)}</code> {copy}</p>'
    return f'{line}<div class="row tool-moves">{buttons}</div>' if buttons else line


_OURS = ("Alpha", "Base model", "DoRA's sizes", "Kind", "Layers", "Login", "Merged", "Rank", "Size", "Where it is made")
"""Facts whose value is said by us; the others' are numbers, or somebody's own words."""


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Facts as a table."""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td{"" if name in _OURS else _NO}>{escape(text)}</td></tr>'
        for name, text in rows
    )
    return f'<table class="plain">{body}</table>' if rows else ""


def bars(found: Sequence[Bar]) -> str:
    """The norm of each block's update, as a picture that is a list."""
    most = max((bar.value for bar in found), default=0.0)
    if most <= 0:
        return ""
    rows = "".join(
        f'<li><span class="name"{_NO}>{escape(bar.name)}</span><span class="track"><i style="width:'
        f'{100 * bar.value / most:.1f}%"></i></span><span class="value">{bar.value:.3g}</span></li>'
        for bar in found
    )
    return f'<h3>Norm of the update in each block</h3><ul class="tool-bars">{rows}</ul>'


def _metadata(found: Result) -> str:
    if not found.metadata:
        return ""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in found.metadata)
    inner = f'<dl class="tool-metadata"{_NO}>{rows}</dl>'
    return panels.fold("tool-metadata", "Metadata of the file", inner)


def listing(rows: Sequence[tuple[Row, str]], chosen: str) -> str:
    """All runs of tools, newest first."""
    if len(rows) < 2:
        return ""
    items = "".join(_item(row, name, row.id == chosen) for row, name in rows)
    return f'<h3>Done before</h3><ul class="try-list">{items}</ul>'


def _item(row: Row, name: str, chosen: bool) -> str:
    current = ' aria-current="true"' if chosen else ""
    return (
        f'<li><button type="button" class="pick" data-what="show" data-try="{escape(row.id)}"{current}>'
        f"<span>{escape(TITLES.get(row.state.kind, row.state.kind))}</span> <span{_NO}>{escape(name)}</span></button>"
        f'<span class="quiet">{panels.when(row.state.created)}</span>{panels.state_mark(row.state.state)}</li>'
    )


def _button(what: str, id: str, word: str, title: str) -> str:
    return (
        f'<button type="button" class="small" data-what="{what}" data-try="{escape(id)}" title="{escape(title)}">'
        f"{escape(word)}</button>"
    )


def refused(problems: Sequence[Problem]) -> str:
    """Why a tool is not started."""
    return problem_list(problems, "Not started")
