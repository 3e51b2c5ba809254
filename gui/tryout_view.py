"""Tries as HTML: how far the one that is shown is, its pictures by prompt and column, and the list of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gui.runs import panels
from gui.runs.watch import Row
from gui.text import paragraph, problem_list
from gui.tryout import title_of
from trainer.contract.events import Failed, Sampled
from trainer.contract.problems import Problem
from trainer.contract.rundir import RunDir
from trainer.contract.tasks import Generating, picture_name
from trainer.plan import recipes
from trainer.report.view import RunView
from trainer.report.words import duration, escape

AT_WORK = ("starting", "running")
_NO = ' translate="no"'

EMPTY = "Nothing was tried yet. Choose an adapter, write a prompt and press Draw: the pictures appear here."


def head(row: Row, made: Generating | None, view: RunView, asked: bool) -> str:
    """State, progress and buttons of the try that is shown. `asked`: it was asked to stop."""
    alive = row.state.state in AT_WORK
    buttons = _button("stop", row.id, "Stop", "what is drawn stays") if alive and not asked else ""
    if not alive:
        again = _button("again", row.id, "Use these settings", "put them back into the form") if made else ""
        buttons = again + _button("delete", row.id, "Delete", "to the trash of the runs folder")
    line = "stopping, what is drawn stays" if asked and alive else view.phase if alive else row.state.cause
    title = f'{panels.state_mark(row.state.state)}<span class="line">{escape(line)}</span>'
    tail = f'<span class="quiet">{panels.when(row.state.created)} · {duration(row.seconds)}</span>'
    bar = panels.task_bar(view, "drawing") if alive else ""
    return f'<div class="try-head" role="status">{title}{tail}<span class="moves">{buttons}</span></div>{bar}' + _wrong(
        view
    )


def _wrong(view: RunView) -> str:
    failed: Failed | None = view.failed
    told = [f"<li>{escape(event.text)}</li>" for event in view.warnings]
    warned = f'<div class="warned"><ul>{"".join(told)}</ul></div>' if told else ""
    if failed is None:
        return warned
    lines = "".join(f"<li>{escape(line)}</li>" for line in failed.problems[1:])
    return f'{warned}<div class="problems" role="alert"><strong>{escape(failed.cause)}</strong><ul>{lines}</ul></div>'


def grid(run: RunDir, made: Generating, drawn: Sequence[Sampled], label: Mapping[str, str]) -> str:
    """A row a prompt, a column a choice of adapters; places that are not drawn yet are empty."""
    titles = [title_of(column, label) for column in made.columns]
    heads = "".join(
        f'<th scope="col"><span{_NO if column else ""}>{escape(name)}</span><small>{escape(strength)}</small></th>'
        for column, (name, strength) in zip(made.columns, titles)
    )
    prompts = [line for line in made.prompts if line.strip() and not line.lstrip().startswith("#")]
    rows = "".join(
        f'<tr><th scope="row" translate="no">{escape(prompt)}</th>'
        + "".join(_cell(run, drawn, column, row, prompt, titles[column]) for column in range(len(titles)))
        + "</tr>"
        for row, prompt in enumerate(prompts)
    )
    return (
        '<div class="try-scroll" tabindex="0" role="region" aria-label="Pictures by prompt and column">'
        f'<table class="try-grid"><thead><tr><th scope="col">Prompt</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{_common(made)}"
    )


def _cell(run: RunDir, drawn: Sequence[Sampled], column: int, row: int, prompt: str, title: tuple[str, str]) -> str:
    path = run.samples / picture_name(column, row)
    if not path.is_file():
        return '<td><span class="try-empty" aria-label="not drawn yet"></span></td>'
    url, said = escape(panels.file_url(path)), escape(", ".join([prompt, *filter(None, title)]))
    return (
        f'<td><a href="{url}" target="_blank" rel="noopener"><img src="{url}" alt="{said}" loading="lazy" '
        f'decoding="async"></a>{_recipe(drawn, column, row)}</td>'
    )


def _recipe(drawn: Sequence[Sampled], column: int, row: int) -> str:
    """What draws the picture elsewhere, folded, once its column is done."""
    event = drawn[column] if column < len(drawn) else None
    if event is None or row >= len(event.recipes):
        return ""
    recipe, prompt = event.recipes[row], event.prompts[row]
    rows = "".join(f"<dt>{escape(name)}</dt><dd{_NO}>{escape(value)}</dd>" for name, value in recipes.rows(recipe))
    copy = f'<button type="button" class="copy" data-copy="{escape(recipes.a1111_text(prompt, recipe))}">copy</button>'
    return panels.fold(f"{event.files[row]}", "recipe", f"<p>As A1111 reads it: {copy}</p><dl>{rows}</dl>")


def _common(made: Generating) -> str:
    facts = [
        (_NO, Path(made.model).name),
        (_NO, f"{made.width}x{made.height}"),
        ("", f"{made.steps} steps"),
        ("", f"guidance {made.guidance:g}"),
        (_NO, made.sampler),
        ("", f"seed {made.seed}"),
    ]
    return f'<p class="quiet">{" · ".join(f"<span{mark}>{escape(fact)}</span>" for mark, fact in facts)}</p>'


def listing(rows: Sequence[tuple[Row, Generating | None]], chosen: str) -> str:
    """All tries, newest first; each is shown by a click."""
    if len(rows) < 2:
        return ""
    items = "".join(_item(row, made, row.id == chosen) for row, made in rows)
    return f'<h3>Tries</h3><ul class="try-list">{items}</ul>'


def _item(row: Row, made: Generating | None, chosen: bool) -> str:
    said = next(iter(made.prompts), "") if made else row.id
    count = f"{len(made.columns)} x {len(made.prompts)}" if made else ""
    current = ' aria-current="true"' if chosen else ""
    return (
        f'<li><button type="button" class="pick" data-what="show" data-try="{escape(row.id)}"{current}>'
        f'<span translate="no">{escape(said)}</span></button><span class="quiet">{panels.when(row.state.created)} · '
        f"{escape(count)}</span>{panels.state_mark(row.state.state)}</li>"
    )


def refused(problems: Sequence[Problem]) -> str:
    """Why nothing is drawn."""
    return problem_list(problems, "Not drawn")


def warning(names: Sequence[str]) -> str:
    """That trainings are at work on the same device."""
    if not names:
        return ""
    return (
        '<div class="warned" role="status"><p>A run is at work on the same device. Both share its memory and slow each '
        f'other down; the training may run out of memory.</p><p translate="no">{escape(", ".join(names))}</p></div>'
    )


def _button(what: str, id: str, word: str, title: str) -> str:
    return (
        f'<button type="button" class="small" data-what="{what}" data-try="{escape(id)}" title="{escape(title)}">'
        f"{escape(word)}</button>"
    )


def nothing() -> str:
    """Before the first try."""
    return paragraph(EMPTY)
