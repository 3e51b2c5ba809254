"""The settings of a run on the page: what was chosen for it first, then what stayed at its default. No Gradio."""

from __future__ import annotations

from pathlib import Path

from gui.runs.panels import fold
from gui.runs.watch import preset_of
from trainer.contract.rundir import RunDir, RunState
from trainer.contract.settings import Preset
from trainer.report import chosen
from trainer.report.words import escape


def settings(run: RunDir, state: RunState) -> str:
    """Two lists, and the computer; "" for a run without a preset (captions, pictures)."""
    preset = preset_of(run)
    if preset is None:
        return '<p class="quiet">This run has no preset.</p>' if state.kind != "training" else ""
    listed = rows(preset)
    changed, usual = [row for row in listed if row.changed], [row for row in listed if not row.changed]
    head = f"<h3>{len(changed)} chosen for this run</h3>" if changed else "<h3>Everything at its default</h3>"
    rest = fold("settings-usual", f"{len(usual)} at their defaults", _table(usual))
    return head + (_table(changed) if changed else "") + rest + _computer(state) + _before(run.path)


_last: dict[int, tuple[Preset, list[chosen.Row]]] = {}


def rows(preset: Preset) -> list[chosen.Row]:
    """Made once a preset: the model's header is read for it, and the page asks each second."""
    known = _last.get(id(preset))
    if known is None or known[0] is not preset:
        while len(_last) > 16:
            del _last[next(iter(_last))]
        known = _last[id(preset)] = (preset, chosen.rows(preset))
    return known[1]


def _table(rows: list[chosen.Row]) -> str:
    cells = "".join(
        f'<tr><td title="{escape(row.path)}">{escape(row.label)}</td><td translate="no">{escape(row.value)}</td></tr>'
        for row in rows
    )
    return f'<table class="settings">{cells}</table>'


def _computer(state: RunState) -> str:
    rows = [("Device", state.device), ("Threads", str(state.threads or "")), *sorted(state.versions.items())]
    cells = "".join(
        f'<tr><td>{escape(name)}</td><td translate="no">{escape(value)}</td></tr>' for name, value in rows if value
    )
    return (
        fold("settings-computer", "Computer and versions", f'<table class="settings">{cells}</table>') if cells else ""
    )


def _before(folder: Path) -> str:
    """Presets from before the run was gone on with by other settings."""
    names = [path.name for path in sorted(folder.glob("preset.before-*.toml"))]
    if not names:
        return ""
    listed = ", ".join(f"<code>{escape(name)}</code>" for name in names)
    return f'<p class="quiet">The settings were changed on the way; those of before lie in {listed}.</p>'
