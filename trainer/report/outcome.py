"""The card at the top of a report: what was trained on what, how it ended, and the file that came out."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from trainer.contract.rundir import RunDir, RunState
from trainer.contract.settings import Preset, Rule
from trainer.contract.share import Cleaner, file_name
from trainer.report import checks, pictures
from trainer.report.charts import number
from trainer.report.chosen import shown
from trainer.report.document import facts
from trainer.report.view import RunView
from trainer.report.words import duration, escape, size

LARGEST_HASHED = 4_000_000_000
HOW = {
    "done": "Done",
    "stopped early": "Stopped early, as set: the held-out loss no longer fell",
    "stopped": "Stopped by hand",
    "paused": "Paused",
    "failed": "Failed",
    "interrupted": "Interrupted: its process is gone",
    "running": "Still running",
    "starting": "Starting",
}


def name(state: RunState, view: RunView) -> str:
    """What the adapter is called."""
    return (view.started.name if view.started else "") or state.name


def card(run: RunDir, state: RunState, view: RunView, preset: Preset | None, clean: Cleaner) -> str:
    """The head of the report."""
    how = view.finished.how if view.finished and state.state in ("done", "stopped", "paused") else state.state
    bad = state.state in ("failed", "interrupted")
    step, total = max(view.step, state.step), view.total_steps or state.total_steps
    head = f"{HOW.get(how, how)}, after {step} of {total} steps"
    head += f" ({view.epoch:.1f} epochs)" if view.epoch else ""
    when = time.strftime("%d %B %Y", time.localtime(state.ended)).lstrip("0") if state.ended else ""
    rows = [
        ("Base model", escape(file_name(preset.model.path)) if preset else ""),
        ("Trained", _trained(preset, view)),
        ("Images", _images(view)),
        ("Trigger word", _trigger(preset)),
        ("LoRA file", _file(run, view)),
        ("Lowest validation loss", _lowest(run, view)),
        ("Time", _time(view)),
        ("Device", escape(state.device)),
        ("Trained by", escape(f"{state.engine} {state.versions.get(state.engine, '')}".strip())),
        ("Finished" if not bad else "Ended", when),
    ]
    causes = _causes(state, view, clean) if bad else ""
    about = f"<p>{escape(clean(preset.about.use))}</p>" if preset and preset.about.use else ""
    kind = ' class="bad"' if bad else ""
    title = f"<h1>{escape(name(state, view))}</h1>"
    return f'<header{kind}>{title}<p class="how">{escape(head)}</p>{causes}{about}{facts(rows)}</header>'


def _trigger(preset: Preset | None) -> str:
    return f"<code>{escape(preset.captions.trigger)}</code>" if preset and preset.captions.trigger else ""


def _trained(preset: Preset | None, view: RunView) -> str:
    """The recipe in a line; what still follows a rule is left out."""
    if preset is None:
        return ""
    network, training = preset.network, preset.training
    values = view.started.trained_parameters if view.started else 0
    told: list[tuple[str, object, str]] = [
        (f"{network.type}, rank ", network.rank, ""),
        ("alpha ", network.alpha, ""),
        ("", round(values / 1e6, 2) or Rule(), " million values"),
        (f"{preset.optimizer.name} at ", preset.optimizer.learning_rate, ""),
        ("", preset.schedule.name, ""),
        ("batch ", training.batch_size, f" x {training.accumulate}" if training.accumulate > 1 else ""),
        ("", preset.dataset.resolution, " px"),
    ]
    return escape(", ".join(f"{a}{shown(value)}{b}" for a, value, b in told if not isinstance(value, Rule)))


def _images(view: RunView) -> str:
    if view.started is None:
        return ""
    held = view.started.held_out
    return f"{view.started.images} trained on" + (f", {held} held out to validate with" if held else "")


def _file(run: RunDir, view: RunView) -> str:
    saved = pictures.final_save(view)
    path = run.inside(saved.file) if saved else None
    if saved is None or path is None or not path.is_file():
        return ""
    step = pictures.final_step(view)
    kept = f", the adapter of step {step}: the lowest validation loss" if saved.weights_step is not None else ""
    digest = sha256(path)
    hashed = f"<br><small>SHA-256 <code>{digest}</code></small>" if digest else ""
    return f"<b>{escape(path.name)}</b> ({size(path.stat().st_size)}{kept}){hashed}"


def sha256(path: Path) -> str:
    """Of a whole file; "" where it cannot be read or would take minutes."""
    try:
        if path.stat().st_size > LARGEST_HASHED:
            return ""
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _lowest(run: RunDir, view: RunView) -> str:
    lowest = view.lowest
    if lowest is None:
        return ""
    error = f" ± {number(lowest.error)}" if lowest.error else ""
    first = view.validations[0]
    change = f", {checks.percent(lowest.loss, first.loss):+.1f} % against step {first.step}" if lowest.step else ""
    saved = next((event for event in reversed(view.saved) if event.what == "lowest validation loss"), None)
    path = run.inside(saved.file) if saved else None
    kept = f"<br>kept as {escape(path.name)}" if path is not None and path.is_file() and lowest.step else ""
    untouched = "" if lowest.step else " (the untouched model: no check was lower)"
    return f"{number(lowest.loss)}{error} at step {lowest.step}{untouched}{change}{kept}"


def _time(view: RunView) -> str:
    pace = f", {view.images_per_second:.1f} images a second at the end" if view.images_per_second else ""
    times = len(view.resumes)
    again = f", in {times + 1} parts (continued after step {', '.join(map(str, view.resumes[-6:]))})" if times else ""
    return f"{duration(view.worked_s)}{pace}{again}"


def _causes(state: RunState, view: RunView, clean: Cleaner) -> str:
    cause = (view.failed.cause if view.failed else "") or state.cause
    problems = view.failed.problems if view.failed else []
    items = "".join(f"<li>{escape(clean(text))}</li>" for text in problems if text != cause)
    listed = f'<ul class="problems">{items}</ul>' if items else ""
    return f"<p>{escape(clean(cause))}</p>{listed}" if cause or listed else ""
