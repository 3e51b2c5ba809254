"""The parts of the live view as HTML. Every text from a run passes `escape`: names, prompts, causes, console lines."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from gui.runs.watch import preset_of
from trainer.contract.rundir import RunDir, RunState
from trainer.report import bars, charts, figures
from trainer.report.verdicts import verdict
from trainer.report.view import RunView, Window
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


def progress(state: RunState, view: RunView, waiting: Iterable[str], seconds: float) -> str:
    """Name, state, bar, time left and the figures."""
    total = view.total_steps or state.total_steps
    step = max(view.step, state.step)
    share = min(1.0, step / total) if total else 0.0
    alive = state.state in ("starting", "running")
    title = (
        f"<h2>{escape(state.name)}</h2>{state_mark(state.state)}<span class='line'>{_line(state, view, waiting)}</span>"
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


def task_bar(view: RunView, doing: str) -> str:
    """How much of a task is done; "" before it has said how much there is. `doing`: the bar's name."""
    done, of = view.progress
    if not of:
        return ""
    share = 100 * done / of
    return (
        f'<div class="progress"><div class="bar running" role="progressbar" aria-label="{doing}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{share:.0f}"><i style="width:{share:.1f}%"></i></div></div>'
    )


def _line(state: RunState, view: RunView, waiting: Iterable[str]) -> str:
    """What is going on, in words."""
    if state.state not in ("starting", "running"):
        return ""
    asked = [_WAITING[word] for word in _WAITING if word in waiting]
    saved = [f"{view.saved[-1].file} saved"] if view.saved and not view.phase else []
    return escape(" · ".join(_capital(text) for text in [*([view.phase] if view.phase else []), *saved, *asked]))


def _capital(text: str) -> str:
    return text if text.endswith(" saved") else text[:1].upper() + text[1:]


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
    cells = "".join(_cell(name, value) for name, value in told)
    return f'<dl class="figures">{cells}</dl>' if cells else ""


def _cell(name: str, value: str) -> str:
    """A figure under its name; a long one, as GPUs have, takes two places."""
    kind = ' class="wide"' if len(value) > LONG else ""
    return f'<div{kind} title="{escape(value)}"><dt>{escape(name)}</dt><dd>{_with_error(value)}</dd></div>'


LONG = 16
"""Letters from which a figure's cell is twice as wide."""


def _with_error(value: str) -> str:
    """What follows a ± in small letters, so that it stands in the same line."""
    value, mark, error = value.partition(" ± ")
    return escape(value) + (f" <small>± {escape(error)}</small>" if mark else "")


def curves(view: RunView, look: figures.Look) -> str:
    """The main charts under what moves their window, and what else there is folded below (a script keeps open what was
    opened: `fold`)."""
    folded = "".join(fold(f"curves-{group.key}", group.title, group.body) for group in figures.groups(view))
    return _zoom(view, look.window) + figures.main(view, look=look) + folded


def _zoom(view: RunView, window: Window | None) -> str:
    """Buttons that move the window of the steps; a script works out where to."""
    end = max(view.total_steps, view.step)
    low, high = window or (0, end)
    buttons = "".join(
        f'<button type="button" data-zoom="{what}" aria-label="{label}"{"" if window or what == "in" else " disabled"}>'
        f"{sign}</button>"
        for what, sign, label in _ZOOMS
    )
    said = f"Steps {low:,.0f} to {high:,.0f}" if window else "All steps. Drag over a chart to look closer."
    reach = f'data-low="{low:.12g}" data-high="{high:.12g}" data-end="{end}"'
    return f'<div class="zoom" {reach} role="group" aria-label="Steps shown">{buttons}<span>{said}</span></div>'


_ZOOMS = (
    ("in", "+", "Closer"),
    ("out", "−", "Wider"),
    ("left", "◀", "Earlier steps"),
    ("right", "▶", "Later steps"),
    ("all", "All", "All steps"),
)


def fold(key: str, title: str, body: str) -> str:
    """A part that opens on a click. `key` names it on the page, so that it stays open when the area is drawn anew."""
    return f'<details data-fold="{escape(key)}"><summary>{escape(title)}</summary>{body}</details>'


def time_split(run: RunDir, view: RunView) -> str:
    """Where the time went, with the setting to change; "" before the run has told."""
    if not view.times.wall_s:
        return ""
    done = view.step / view.total_steps if view.total_steps else 1.0
    return bars.time_bar(view.times, verdict(view.times, preset_of(run), done))


def console(lines: Sequence[str]) -> str:
    """The log's tail."""
    return f'<pre class="console" aria-label="console">{escape(chr(10).join(lines))}</pre>' if lines else ""
