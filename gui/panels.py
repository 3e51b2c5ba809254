"""The parts of the live view as HTML. Every text from a run passes `escape`: names, prompts, causes, console lines."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from gui.watch import Row, preset_of
from trainer.contract.events import Sampled
from trainer.contract.rundir import RunDir, RunState
from trainer.plan import recipes
from trainer.report import bars, charts, figures, pictures
from trainer.report.verdicts import verdict
from trainer.report.view import RunView
from trainer.report.words import duration, escape

WORDS = {
    "starting": "starting",
    "running": "running",
    "done": "done",
    "stopped": "stopped",
    "paused": "paused",
    "failed": "failed",
    "interrupted": "interrupted",
}
SHOWN_GROUPS = 6
"""Rounds of samples that are open; the ones between them and the first are folded away."""


def when(seconds: float) -> str:
    """The date and minute in the computer's own time; today the minute alone."""
    if not seconds:
        return ""
    then, now = time.localtime(seconds), time.localtime()
    form = "%H:%M" if then[:3] == now[:3] else "%d %b %H:%M" if then[0] == now[0] else "%Y-%m-%d"
    return time.strftime(form, then)


def file_url(path: Path) -> str:
    """The address of a file of a run folder. Relative, so that it holds behind a proxy with a path of its own."""
    return "gradio_api/file=" + quote(path.resolve().as_posix(), safe="/:")


def state_mark(state: str) -> str:
    """A coloured dot and the word: never the colour alone."""
    word = WORDS.get(state, state)
    return f'<span class="state {escape(word)}"><i></i>{escape(word)}</span>'


def run_list(rows: Sequence[Row], chosen: str) -> str:
    """The runs as a table; a row is chosen by a click or, from the keyboard, by its name."""
    if not rows:
        return '<p class="quiet">No runs yet. Fill in the Train tab and press "Start training".</p>'
    head = "".join(f"<th{kind}>{name}</th>" for name, kind in _COLUMNS)
    body = "".join(_list_row(row, row.id == chosen) for row in rows)
    return f'<table class="runs"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


_NUMBER = ' class="number"'
_COLUMNS = (("Run", ""), ("State", ""), ("Step", _NUMBER), ("Loss", _NUMBER), ("Started", ""), ("Took", _NUMBER))


def _list_row(row: Row, chosen: bool) -> str:
    steps = f"{row.step} / {row.total_steps}" if row.total_steps else str(row.step or "")
    loss = f"{row.loss:.4f}" if row.loss is not None else ""
    current = ' aria-current="true"' if chosen else ""
    name = f'<button type="button" class="pick"{current}>{escape(row.state.name or row.id)}</button>'
    tag = "" if row.state.kind == "training" else f'<span class="tag">{escape(row.state.kind)}</span>'
    cells = [name + tag, state_mark(row.state.state)]
    numbers = [f'<td class="number">{escape(text)}</td>' for text in (steps, loss)]
    tail = f'<td class="when">{when(row.state.created)}</td><td class="number">{duration(row.seconds)}</td>'
    kind = ' class="chosen"' if chosen else ""
    start = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr data-run="{escape(row.id)}"{kind}>{start}{"".join(numbers)}{tail}</tr>'


def progress(state: RunState, view: RunView, waiting: Iterable[str], seconds: float) -> str:
    """Name, state, bar, time left and the figures."""
    total = view.total_steps or state.total_steps
    step = max(view.step, state.step)
    share = min(1.0, step / total) if total else 0.0
    alive = state.state in ("starting", "running")
    title = (
        f"<h3>{escape(state.name)}</h3>{state_mark(state.state)}<span class='line'>{_line(state, view, waiting)}</span>"
    )
    if state.kind == "preflight":
        times = f"{duration(seconds)} so far" if alive else f"took {duration(seconds)}"
        return f'<div class="progress"><div class="title">{title}</div><div class="under">{times}</div></div>'
    label = f"step {step} of {total}" if total else "not begun"
    bar = (
        f'<div class="bar {escape(state.state)}" role="progressbar" aria-label="{label}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{round(100 * share)}"><i style="width:{100 * share:.2f}%"></i></div>'
    )
    left = view.eta_s if alive else None
    times = f"{duration(seconds)} so far" if alive else f"took {duration(seconds)}"
    times += f" · about {duration(left)} left" if left is not None and step < total else ""
    under = f'<div class="under"><span>{label} · {share:.0%}</span><span>{times}</span></div>'
    return f'<div class="progress"><div class="title">{title}</div>{bar}{under}{_figures(view, state)}</div>'


def _line(state: RunState, view: RunView, waiting: Iterable[str]) -> str:
    """What is going on, in words."""
    if state.state not in ("starting", "running"):
        return ""
    asked = [_WAITING[word] for word in _WAITING if word in waiting]
    saved = [f"{view.saved[-1].file} saved"] if view.saved and not view.phase else []
    return escape(" · ".join([*([view.phase] if view.phase else []), *saved, *asked]))


_WAITING = {
    "stop": "stopping after the step in hand, everything gets saved",
    "pause": "pausing after the step in hand: the full state gets saved, then the device is free",
    "save": "saving after the step in hand",
    "sample": "drawing samples after the step in hand",
}


def _figures(view: RunView, state: RunState) -> str:
    smooth = view.smooth_losses()
    seconds = view.step_seconds
    speed = (f"{1 / seconds:.2f} it/s" if seconds < 1 else f"{seconds:.2f} s/it") if seconds else ""
    epochs = f" / {round(view.started.total_epochs, 2):g}" if view.started else ""
    groups = [
        (figures.rate_name(group), charts.number(curve.values[-1]))
        for group, curve in view.rates.items()
        if curve.values
    ]
    rates = [(f"LR, {group}" if len(groups) > 1 else "Learning rate", rate) for group, rate in groups]
    none = "–" if state.state in ("starting", "running") else ""  # a cell that comes later would move the buttons below
    images = f"{view.images_per_second:.1f} /s" if view.images_per_second else ""
    check = view.validations[-1] if view.validations else None
    rows = [
        ("Epoch", f"{view.epoch:.2f}{epochs}" if view.step else ""),
        ("Loss, smoothed", f"{smooth[-1][1]:.4f}" if smooth else ""),
        *(rates or [("Learning rate", "")]),
        ("Speed", speed),
        ("Held-out loss", f"{check.loss:.4f} ± {check.error:.3f}") if check else ("Images", images),
        ("Device", (view.started.device if view.started else "") or state.device),
    ]
    told = [(name, value or none) for name, value in rows if value or none]
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{_with_error(value)}</dd></div>" for name, value in told)
    return f'<dl class="figures">{cells}</dl>' if cells else ""


def _with_error(value: str) -> str:
    """What follows a ± in small letters, so that it stands in the same line."""
    value, mark, error = value.partition(" ± ")
    return escape(value) + (f" <small>± {escape(error)}</small>" if mark else "")


def curves(view: RunView, log: bool) -> str:
    """The main charts, and what else there is folded below (a script keeps open what was opened: `fold`)."""
    folded = "".join(fold(f"curves-{group.key}", group.title, group.body) for group in figures.groups(view))
    return figures.main(view, log) + folded


def fold(key: str, title: str, body: str) -> str:
    """A part that opens on a click. `key` names it on the page, so that it stays open when the area is drawn anew."""
    return f'<details data-fold="{escape(key)}"><summary>{escape(title)}</summary>{body}</details>'


def time_split(run: RunDir, view: RunView) -> str:
    """Where the time went, with the setting to change; "" before the run has told."""
    if not view.times.wall_s:
        return ""
    done = view.step / view.total_steps if view.total_steps else 1.0
    return bars.time_bar(view.times, verdict(view.times, preset_of(run), done))


def samples(run: RunDir, view: RunView) -> str:
    """Pictures by step, newest first; the first round stays in sight for comparison."""
    newest = list(reversed(view.samples))
    if not newest:
        return ""
    if len(newest) <= SHOWN_GROUPS:
        return _rounds(run, newest)
    between = newest[SHOWN_GROUPS - 1 : -1]
    folded = f"<details><summary>{len(between)} earlier rounds</summary>{_rounds(run, between)}</details>"
    return _rounds(run, newest[: SHOWN_GROUPS - 1]) + folded + _rounds(run, newest[-1:])


def _rounds(run: RunDir, events: Sequence[Sampled]) -> str:
    return f'<div class="rounds">{"".join(_round(run, event) for event in events)}</div>'


def _round(run: RunDir, event: Sampled) -> str:
    shown = "".join(_sample(run, one) for one in pictures.pictures(event))
    head = escape(pictures.title(event))
    return f'<section class="round"><h4>{head}</h4><div class="pictures">{shown}</div></section>'


def _sample(run: RunDir, one: pictures.Picture) -> str:
    seed = f"seed {one.seed}" if one.seed is not None else ""
    return picture(run, one.file, one.prompt, seed, elsewhere(one))


def elsewhere(one: pictures.Picture) -> str:
    """What draws a picture in another program, folded, with a button that copies it."""
    if not one.recipe:
        return ""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in recipes.rows(one.recipe))
    text = recipes.a1111_text(one.prompt, one.recipe)
    button = f'<button type="button" class="copy" data-copy="{escape(text)}">copy</button>'
    body = f"<p>As A1111 reads it, and ComfyUI where the PNG is dropped: {button}</p><dl>{rows}</dl>"
    return fold(one.file, "draw it elsewhere", f"{body}<p>{escape(recipes.ALIKE)}</p>")


def picture(run: RunDir, file: str, prompt: str, note: str = "", more: str = "") -> str:
    """One picture with its prompt; a click opens it in full. A file outside the run folder is not shown. `more`: HTML
    below the prompt."""
    path = run.inside(file)
    if path is None:
        return ""
    url, said = escape(file_url(path)), escape(prompt or "(empty prompt)")
    small = f"<small>{escape(note)}</small>" if note else ""
    return (
        f'<figure class="picture"><a href="{url}" target="_blank" rel="noopener">'
        f'<img src="{url}" alt="{said}" loading="lazy" decoding="async"></a>'
        f'<figcaption title="{said}"><span>{said}</span>{small}</figcaption>{more}</figure>'
    )


def console(lines: Sequence[str]) -> str:
    """The log's tail."""
    return f'<pre class="console" aria-label="console">{escape(chr(10).join(lines))}</pre>' if lines else ""
