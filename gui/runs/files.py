"""What lies in a run's folder: its adapter files with what is known of each, its full states, its report. No Gradio."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from gui.runs.panels import file_url
from trainer.contract.events import Saved
from trainer.contract.rundir import RunDir
from trainer.report.view import RunView
from trainer.report.words import escape, size

_HEAD = ("LoRA file", "Step", "Held-out loss", "Training loss", "Size", "")
_OTHERS = {
    "report.html": "the report, one file to keep or send",
    "preset.toml": "the recipe, with every value",
    "events.jsonl": "every step, check and save, a line each",
    "console.log": "what the trainer printed",
}


def files(run: RunDir, view: RunView) -> str:
    """Adapters as a table, newest first; then what else there is, with sizes."""
    rows = "".join(_row(run, view, event, path) for event, path in _adapters(run, view.saved))
    head = "".join(f"<th>{name}</th>" for name in _HEAD)
    table = f'<div class="scroll"><table class="files"><tr>{head}</tr>{rows}</table></div>'
    shown = table if rows else '<p class="quiet">No LoRA file yet.</p>'
    return shown + _states(run) + _others(run)


def _adapters(run: RunDir, saved: Sequence[Saved]) -> list[tuple[Saved, Path]]:
    """Those that are still there, each once, by what the run last said of it."""
    newest = {event.file: event for event in saved}
    found = [(event, run.inside(name)) for name, event in newest.items()]
    there = [(event, path) for event, path in found if path is not None and path.is_file()]
    return sorted(there, key=lambda pair: (pair[0].what == "final", pair[0].step), reverse=True)


def _row(run: RunDir, view: RunView, event: Saved, path: Path) -> str:
    step = event.step if event.weights_step is None else event.weights_step
    url, name = escape(file_url(path)), escape(path.name)
    tag = "" if event.what == "in between" else f'<span class="tag">{escape(event.what)}</span>'
    held_out = next((f"{check.loss:.4f}" for check in view.validations if check.step == step), "")
    cells = (f"{step:,}", held_out, _loss_at(view, step), size(path.stat().st_size))
    numbers = "".join(f'<td class="number">{text}</td>' for text in cells)
    moves = (
        f'<a href="{url}" download="{name}">Download</a>'
        f'<button type="button" class="copy" data-copy="{escape(path)}" aria-label="Copy the path">copy</button>'
    )
    key = f'data-key="{name}"'
    return f'<tr {key}><td><b translate="no">{name}</b>{tag}</td>{numbers}<td class="moves">{moves}</td></tr>'


def _loss_at(view: RunView, step: int) -> str:
    """The smoothed loss nearest to a step."""
    points = view.smooth_losses()
    if not points:
        return ""
    at = min(bisect_left(points, (float(step),)), len(points) - 1)
    return f"{points[at][1]:.4f}"


def _states(run: RunDir) -> str:
    found = sorted(run.checkpoints.glob("state-step*.safetensors")) if run.checkpoints.is_dir() else []
    if not found:
        return ""
    total = sum(path.stat().st_size for path in found)
    count = "1 full state" if len(found) == 1 else f"{len(found)} full states"
    return f"<p>{count} to go on from: {size(total)}, in <code>{escape(run.checkpoints.name)}</code>.</p>"


def _others(run: RunDir) -> str:
    rows = ""
    for name, what in _OTHERS.items():
        path = run.path / name
        if path.is_file():
            shown = f'<a href="{escape(file_url(path))}" target="_blank" rel="noopener">{name}</a>'
            known = shown if name == run.report.name else f"<code>{name}</code>"
            rows += f"<dt>{known}</dt><dd>{what}, {size(path.stat().st_size)}</dd>"
    place = (
        f'<p>All of it lies in <code translate="no">{escape(run.path)}</code> '
        f'<button type="button" class="copy" data-copy="{escape(run.path)}">copy</button></p>'
    )
    return f'<dl class="facts">{rows}</dl>{place}'
