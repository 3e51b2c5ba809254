"""The linter's panel without Gradio: what is checked, how findings look, what a fix does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gui import text
from gui.context import Context
from gui.form.fixes import field_id
from gui.form.heldout import thumbnail
from gui.form.session import resolved
from gui.roots import may_show
from trainer.contract.preset import with_values
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Folder, Preset
from trainer.plan import captionfiles
from trainer.plan.lint import deeds
from trainer.plan.lint.finding import ORDER, Finding, Fix
from trainer.plan.lint.lint import Report
from trainer.report.words import escape

MOST_PICTURES = 60
"""Pictures of one finding in the panel; the grid of the tab shows them all."""

IDLE = "Doubles, blurred and broken pictures, captions that are missing or too long: found before they cost a run."


def subject(draft: Preset, folder: str, context: Context) -> Preset:
    """What to check: the form's folders, or the folder that is open where the form does not train on it, either way
    with the form's settings. Problems where there is neither."""
    full = resolved(draft, context.root)
    rows = {Path(row.path).resolve() for row in full.dataset.folders if row.path}
    if folder and Path(folder).resolve() not in rows:
        return with_values(full, {"dataset.folders": [Folder(path=folder, repeats=1)], "validation.folder": ""})
    if not full.dataset.folders:
        raise Problems([Problem("dataset.folders", "no folder of images is given", "open one above, or add one here")])
    return full


def allowed(preset: Preset, context: Context) -> None:
    """Problems for a folder that the page may not look into."""
    for row in preset.dataset.folders:
        if not may_show(Path(row.path), context):
            why = f"{row.path} lies outside of the folders that this page may show"
            raise Problems([Problem("dataset.folders", why, "name it in the machine file on that computer", "data")])


def progress(report: Report) -> str:
    """How far the reading of pixels is, and what is known so far."""
    share = report.done / report.total if report.total else 0.0
    bar = f'<progress max="{max(report.total, 1)}" value="{report.done}" aria-label="Images read"></progress>'
    return f'<p class="quiet lint-progress">{bar} <span>{share:.0%}</span></p>' + findings(report, None)


def findings(report: Report, opened: int | None, grid: bool = False) -> str:
    """All findings as a list, the images of one of them in sight. `grid`: whether the tab's grid can show them."""
    if not report.findings:
        return text.paragraph("Nothing found.", "good") if report.whole else ""
    items = "".join(
        _finding(place, finding, place == opened, report.whole, grid) for place, finding in enumerate(report.findings)
    )
    return f'<ol class="findings">{items}</ol>'


def summary(report: Report, preset: Preset) -> str:
    """One line over the findings of a whole report."""
    counts = [(name, sum(finding.severity == name for finding in report.findings)) for name in ORDER]
    said = "".join(f'<li class="severity {_css(name)}">{count} {name}</li>' for name, count in counts if count)
    names = ", ".join(escape(Path(row.path).name) for row in preset.dataset.folders)
    chips = f'<ul class="severities">{said}</ul>' if said else ""
    return (
        f'<div class="lint-head"><p class="quiet"><span>{report.images:,} images checked</span>: '
        f'<span translate="no">{names}</span></p>{chips}</div>'
    )


def _css(severity: str) -> str:
    return severity.replace(" ", "-")


def _finding(place: int, finding: Finding, opened: bool, whole: bool, grid: bool) -> str:
    fixes = "".join(
        f'<button type="button" data-fix="{place}/{number}">{escape(fix.label)}</button>'
        for number, fix in enumerate(finding.fixes)
    )
    field = _field(finding.setting)
    buttons = f'<div class="fixes">{fixes}{field}</div>' if whole and (fixes or field) else field
    return (
        f'<li class="finding {_css(finding.severity)}"><h2><span class="severity {_css(finding.severity)}">'
        f"{escape(finding.severity)}</span> <span>{escape(finding.kind)}</span></h2>"
        f'<p>{escape(finding.sentence)}</p><p class="quiet">{escape(finding.why)}</p>'
        f"{buttons}{_images(place, finding, opened, grid)}</li>"
    )


def _field(setting: str) -> str:
    if not setting:
        return ""
    goal, label = escape(field_id(setting)), escape(text.label_of(setting))
    return f'<button type="button" class="jump" data-jump="{goal}">{label}</button>'


def _images(place: int, finding: Finding, opened: bool, grid: bool) -> str:
    if not finding.images:
        return ""
    label = "Hide the images" if opened else "Show the images"
    head = (
        f'<button type="button" class="fold-images" id="lint-show-{place}" data-show="{place}" '
        f'aria-expanded="{str(opened).lower()}">{label}</button>'
    )
    if grid:
        head += f'<button type="button" class="fold-images" data-grid="{place}">Show them in the grid</button>'
    if not opened:
        return head
    shown = "".join(_figure(path) for path in finding.images[:MOST_PICTURES])
    left = len(finding.images) - MOST_PICTURES
    more = text.paragraph(f"and {left} more") if left > 0 else ""
    return f'{head}<div class="lint-pictures">{shown}</div>{more}'


def _figure(path: Path) -> str:
    try:
        source = thumbnail(str(path), path.stat().st_mtime)
    except OSError:
        source = ""
    picture = f'<img src="{source}" alt="">' if source else '<span class="no-picture" aria-hidden="true">–</span>'
    name = escape(path.name)
    return f'<figure title="{name}" translate="no">{picture}<figcaption>{name}</figcaption></figure>'


def apply(fix: Fix, preset: Preset, context: Context) -> str:
    """Do what a fix to files says; what was done, in words. Problems where it cannot be."""
    allowed(preset, context)
    rules = preset.captions
    if fix.deed == "set aside":
        return deeds.set_aside(fix.files, rules.extension)
    write = {
        "write caption": deeds.write_caption,
        "add to captions": deeds.add_to_captions,
        "remove tag": deeds.remove_tag,
    }[fix.deed]
    changed = 0
    for folder, files in by_folder(fix.files, preset).items():
        done = write(folder, files, fix.text, rules, captionfiles.history_file(context.root, folder))
        changed += len(done.texts) if done else 0
    return f"{changed} caption files changed."


def undo_captions(preset: Preset, context: Context) -> str:
    """Take back the newest change of captions, of whichever folder; what was done, in words."""
    allowed(preset, context)
    places = [Path(row.path) for row in preset.dataset.folders]
    last = [(change.time, place) for place in places if (change := _undoable(place, context))]
    if not last:
        return "There is nothing to take back."
    place = max(last)[1]
    done = captionfiles.undo(place, captionfiles.history_file(context.root, place))
    return f"{len(done.texts) if done else 0} caption files are as they were."


def can_undo(preset: Preset, context: Context) -> bool:
    """Whether there is a change of captions to take back."""
    return any(_undoable(Path(row.path), context) for row in preset.dataset.folders)


def _undoable(place: Path, context: Context) -> captionfiles.Change | None:
    return captionfiles.undoable(captionfiles.history_file(context.root, place))


def back(preset: Preset) -> list[Path]:
    """The images of a preset's folders that were set aside."""
    return deeds.aside([Path(row.path) for row in preset.dataset.folders])


def put_back(preset: Preset, context: Context) -> str:
    """Put all of them back."""
    allowed(preset, context)
    return deeds.put_back([Path(row.path) for row in preset.dataset.folders], preset.captions.extension)


def by_folder(files: Sequence[Path], preset: Preset) -> Mapping[Path, list[Path]]:
    """Files by the row's folder that they lie in; those of the held-out folder too."""
    places = [Path(row.path) for row in preset.dataset.folders]
    places += [Path(preset.validation.folder)] if preset.validation.folder else []
    found: dict[Path, list[Path]] = {}
    for file in files:
        place = next((place for place in places if file.is_relative_to(place)), None)
        if place is not None:
            found.setdefault(place, []).append(file)
    return found


def names_in(images: Sequence[Path], folder: str) -> list[str]:
    """Images as the tab's grid names them, as far as they lie in the folder that it shows."""
    if not folder:
        return []
    place = Path(folder)
    return [image.relative_to(place).as_posix() for image in images if image.is_relative_to(place)]
