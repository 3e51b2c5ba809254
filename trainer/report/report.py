"""`report.html`: a run in one file that opens offline and can be posted as it is.

It names no folder of this computer: models and adapter by file name, image folders and held-out images by number unless
`saving.publish` is on. All of it is read from the run folder, so it can be written again at any time.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainer.contract import preset as presets
from trainer.contract.events import Reader
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir, RunState, write_whole
from trainer.contract.settings import Preset
from trainer.contract.share import Cleaner, recipe_text
from trainer.plan import recipes
from trainer.report import bars, chosen, figures, gallery, outcome, pictures
from trainer.report.document import document, folded, section
from trainer.report.embed import Embedder
from trainer.report.verdicts import verdict
from trainer.report.view import RunView
from trainer.report.words import escape


@dataclass(frozen=True)
class Told:
    """What a report is made of. `preset` is None where the run's own cannot be read."""

    run: RunDir
    state: RunState
    view: RunView
    preset: Preset | None
    clean: Cleaner


def write(run: RunDir, state: RunState) -> Path | None:
    """Write the run's `report.html` and return it; None for a run that ended before it began to train. `state`: how it
    ended. OSError where the folder cannot be written: a report is not waited for, it can be written later."""
    told = gather(run, state)
    if told.view.started is None:
        return None
    write_whole(run.report, page(told))
    return run.report


def gather(run: RunDir, state: RunState) -> Told:
    """Everything from the run folder."""
    view, preset = RunView(), None
    for event in Reader(run.events).new():
        view.add(event)
    with suppress(Problems, OSError):
        preset = presets.load(run.preset)
    root = Path(__file__).resolve().parents[2]
    return Told(run, state, view, preset, Cleaner(preset, [run.path, run.path.parent, root, Path.cwd()]))


def page(told: Told) -> str:
    """The file's text."""
    view, state = told.view, told.state
    embedder = Embedder(gallery.count(view))
    sections = [
        outcome.card(told.run, state, view, told.preset, told.clean),
        section("before-after", "Before and after", gallery.before_after(told.run, view, embedder)),
        section("samples", "Samples by step", gallery.by_step(told.run, view, embedder)),
        section("curves", "Curves", _curves(told)),
        section("time", "Where the time went", _time(told)),
        section("told", "Warnings and notes", _said(told)),
        section("settings", "Settings", _settings(told)),
        section("reproduce", "How to repeat it", _repeat(told)),
        "<footer>Written by Loratory. This page holds everything it shows; it loads and runs nothing.</footer>",
    ]
    return document(f"{outcome.name(state, view)}: LoRA training report", sections)


def _curves(told: Told) -> str:
    view = told.view
    if not view.steps:
        return ""
    count = len(view.validations[-1].per_image) if view.validations else 0
    publish = told.preset is not None and told.preset.saving.publish
    names = None if publish else [f"held-out image {n}" for n in range(1, count + 1)]
    groups = figures.groups(view, names)
    return figures.main(view) + "".join(f"<h3>{escape(group.title)}</h3>{group.body}" for group in groups)


def _time(told: Told) -> str:
    return bars.time_bar(told.view.times, verdict(told.view.times, told.preset))


def _said(told: Told) -> str:
    """In the order in which it was said, each sentence once."""
    items, known = [], set()
    for event in told.view.told:
        text = told.clean(event.text)
        if text in known:
            continue
        known.add(text)
        at = f"<b>step {event.step}</b>" if event.step else ""
        items.append(f'<li class="{event.kind}">{at}{escape(text)}</li>')
    return f'<ol class="told">{"".join(items)}</ol>' if items else ""


def _settings(told: Told) -> str:
    if told.preset is None:
        return ""
    rows = chosen.rows(told.preset)
    changed, usual = [row for row in rows if row.changed], [row for row in rows if not row.changed]
    first = folded(f"{len(changed)} chosen for this run", _table(told, changed)) if changed else ""
    return first + folded(f"{len(usual)} at their defaults", _table(told, usual)) + _environment(told.state)


def _table(told: Told, rows: list[chosen.Row]) -> str:
    cells = "".join(
        f'<tr><td title="{escape(row.path)}">{escape(row.label)}</td><td>{escape(told.clean(row.value))}</td></tr>'
        for row in rows
    )
    return f'<table class="settings">{cells}</table>'


def _environment(state: RunState) -> str:
    rows = [("Device", state.device), ("Threads", str(state.threads or "")), *sorted(state.versions.items())]
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows if value)
    return folded("Computer and versions", f'<table class="settings">{cells}</table>') if cells else ""


def _repeat(told: Told) -> str:
    """The recipe as a file, and the last pictures in other programs."""
    parts = []
    if told.preset is not None:
        told_by = "The same images, seed, device and versions give the same adapter."
        if told.state.engine:
            told_by = f"It was trained by {told.state.engine}: Loratory draws other noise, so the adapter will differ."
        said = (
            "Save this as a .toml file, name your own model and image folders in it, and train it: "
            f"<code>python launch.py --preset file.toml</code>. {escape(told_by)}"
        )
        parts.append(f"<p>{said}</p>" + folded("The preset", f"<pre>{escape(recipe_text(told.preset))}</pre>"))
    last = pictures.pictures(told.view.samples[-1]) if told.view.samples else []
    texts = [recipes.a1111_text(one.prompt, one.recipe) for one in last if one.recipe]
    if texts:
        blocks = "".join(f"<pre>{escape(text)}</pre>" for text in texts[: gallery.MOST_PROMPTS])
        parts.append(folded("The last pictures in A1111 or ComfyUI", f"<p>{escape(recipes.ALIKE)}</p>{blocks}"))
    return "".join(parts)
