"""Several runs beside each other as HTML: their curves on one chart, figures, settings that differ, sample pictures.
No Gradio. Hold the watcher's lock: the views may be growing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from gui.runs import gallery
from gui.runs import settings as of_run
from gui.runs.watch import preset_of
from trainer.contract.rundir import RunDir, RunState
from trainer.report import checks, pictures
from trainer.report.charts import Series, line_chart
from trainer.report.curves import Points
from trainer.report.view import RunView, drawn_step
from trainer.report.words import duration, escape, size

Across = Literal["step", "epoch", "time"]
MOST = 8
"""Runs that are laid over each other at most: so many inks can be told apart."""


@dataclass(frozen=True)
class One:
    """A run that is compared. `name`: told apart from its namesakes. `seconds`: how long it took."""

    run: RunDir
    state: RunState
    view: RunView
    name: str
    seconds: float


def names(runs: Sequence[tuple[RunDir, RunState]]) -> list[str]:
    """The runs' names; several of one name are called by their folders."""
    plain = [state.name or run.id for run, state in runs]
    return [name if plain.count(name) == 1 else run.id for name, (run, _) in zip(plain, runs)]


def curves(ones: Sequence[One], across: Across, log: bool) -> str:
    """Smoothed training loss over each other, and below it the held-out losses. Colours and dashes both tell."""
    loss = [
        Series(one.name, _placed(one.view, one.view.smooth_losses(), across), "line", 1 + i % 8, i % 4)
        for i, one in enumerate(ones)
    ]
    held_out = [
        Series(one.name, _placed(one.view, checks.held_out(one.view.validations), across), "points", 1 + i % 8, i % 4)
        for i, one in enumerate(ones)
    ]
    x_name = {"step": "step", "epoch": "epoch", "time": "hours at work"}[across]
    return line_chart(loss, title="Training loss, smoothed", height_px=280, log=log, x_name=x_name) + line_chart(
        held_out, title="Held-out loss", height_px=240, log=log, x_name=x_name, empty="no run held images out"
    )


def _placed(view: RunView, points: Points, across: Across) -> Points:
    """Points by step at their place on another axis; those whose place is not known are left out."""
    if across == "step" or not points:
        return points
    if across == "epoch":
        per_epoch = view.started.steps_per_epoch if view.started else 0
        return [(step / per_epoch, value) for step, value in points] if per_epoch else []
    found = []
    for step, value in points:
        at = min(bisect_left(view.steps, step), len(view.steps) - 1)
        if at >= 0:
            found.append((view.worked_at[at] / 3600, value))
    return sorted(found)


_FIGURES: tuple[tuple[str, Callable[[One], str]], ...] = (
    ("State", lambda one: one.state.state),
    ("Steps", lambda one: f"{max(one.view.step, one.state.step):,} of {one.state.total_steps:,}"),
    ("Took", lambda one: duration(one.seconds)),
    ("Loss, smoothed, at the end", lambda one: _last(one.view.smooth_losses())),
    ("Lowest validation loss", lambda one: _lowest(one.view)),
    ("Last validation loss", lambda one: _last(checks.held_out(one.view.validations))),
    ("Images a second", lambda one: _speed(one.view)),
    ("Device memory, most of this run", lambda one: _bytes(one.view.times.memory.get("device_peak"))),
    ("Trained parameters", lambda one: _parameters(one.view)),
    ("Last LoRA file", lambda one: _bytes(one.view.saved[-1].bytes) if one.view.saved else ""),
    ("Device", lambda one: one.state.device or (one.view.started.device if one.view.started else "")),
)  # fmt: skip


def _last(points: Points) -> str:
    return f"{points[-1][1]:.4f}" if points else ""


def _lowest(view: RunView) -> str:
    return f"{view.lowest.loss:.4f} (step {view.lowest.step:,})" if view.lowest else ""


def _speed(view: RunView) -> str:
    speed = view.times.images_per_second
    return f"{speed:.2f}" if speed else ""


def _parameters(view: RunView) -> str:
    count = view.started.trained_parameters if view.started else 0
    return f"{count:,}" if count else ""


def _bytes(count: float | None) -> str:
    return size(round(count)) if count else ""


def figures(ones: Sequence[One]) -> str:
    """What each run came to; a figure that no run has is left out."""
    rows = [(name, [tell(one) for one in ones]) for name, tell in _FIGURES]
    return _table(ones, [(name, values) for name, values in rows if any(values)])


def settings(ones: Sequence[One]) -> str:
    """The settings in which the runs differ."""
    known = [(one, preset) for one in ones if (preset := preset_of(one.run)) is not None]
    if len(known) < 2:
        return '<p class="quiet">Fewer than two of these runs have a preset.</p>'
    told = [{row.path: row for row in of_run.rows(preset)} for _, preset in known]
    differing = [
        (row.label, [rows[path].value for rows in told])
        for path, row in told[0].items()
        if len({rows[path].value for rows in told}) > 1
    ]
    if not differing:
        return '<p class="quiet">All their settings are the same.</p>'
    return _table([one for one, _ in known], differing)


def _table(ones: Sequence[One], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    head = "".join(
        f'<th scope="col" translate="no"><i style="background:var(--c{1 + i % 8})"></i>{escape(one.name)}</th>'
        for i, one in enumerate(ones)
    )
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f'<td translate="no">{escape(value)}</td>' for value in values)
        + "</tr>"
        for name, values in rows
    )
    return f'<div class="scroll chart"><table class="beside-table"><tr><td></td>{head}</tr>{body}</table></div>'


def samples(ones: Sequence[One], step: int | None) -> str:
    """A row a prompt, a column a run: the pictures of the last step, or of that nearest to `step`."""
    rounds = [_round(one.view, step) for one in ones]
    prompts = list(dict.fromkeys(key for known in rounds for key in known[1]))
    if not prompts:
        return '<p class="quiet">None of these runs has drawn samples.</p>'
    head = "".join(
        f'<span><b translate="no">{escape(one.name)}</b> <small>{escape(title)}</small></span>'
        for one, (title, _) in zip(ones, rounds)
    )
    body = ""
    for key in prompts:
        text, seed = key
        said = f'<h3 translate="no">{escape(text or "(empty prompt)")}</h3>'
        cells = "".join(_cell(one, title, known.get(key)) for one, (title, known) in zip(ones, rounds))
        body += f'<section class="round" data-key="{escape(text)} {seed}">{said}{cells}</section>'
    columns = f'style="--prompts:{len(ones)}"'
    return f'<div class="rounds by-prompt" {columns}><div class="prompts"><span></span>{head}</div>{body}</div>'


Shots = dict[tuple[str, int | None], pictures.Picture]


def _round(view: RunView, step: int | None) -> tuple[str, Shots]:
    if not view.samples:
        return "no samples", {}
    ordered = sorted(view.samples, key=drawn_step)
    event = ordered[-1] if step is None else min(ordered, key=lambda one: abs(drawn_step(one) - step))
    return pictures.title(event), {(one.prompt, one.seed): one for one in pictures.pictures(event)}


def _cell(one: One, title: str, shot: pictures.Picture | None) -> str:
    if shot is None:
        return '<div class="no-picture">not drawn</div>'
    seed = f"seed {shot.seed}" if shot.seed is not None else ""
    return gallery.picture(one.run, shot.file, shot.prompt, seed, when=f"{one.name}, {title}")
