"""The Dataset tab's panel that says what is wrong with the images and captions, with a click for what can be done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr

from gui import linting, text
from gui.context import Context
from gui.form.session import Draft
from gui.form.values import show
from gui.shared import QUIET, TOLD, TOLD_SAYS, Shared
from gui.tabs.studio import Studio, now, only
from gui.tabs.train import Train
from trainer.contract.preset import value_at, with_values
from trainer.contract.problems import Problems
from trainer.contract.settings import BY_PATH
from trainer.plan.lint.finding import Fix
from trainer.plan.lint.lint import Report, lint

_CLICKS = "window.loratory.linter(element, trigger, watch);"

State = tuple[Report, int | None] | None
"""The last report, and which of its findings shows its images."""


def build(shared: Shared, studio: Studio) -> None:
    """Lay the panel out and wire it."""
    report = gr.State(None)
    with gr.Row(elem_id="lint-buttons"):
        begin = gr.Button("Check the images", variant="primary", elem_id="lint-begin", min_width=140)
        stop = gr.Button("Stop", elem_id="lint-stop", min_width=80, visible=False)
        undo = gr.Button("Undo the last change of captions", elem_id="lint-undo", min_width=180, visible=False)
        back = gr.Button("Put back what was set aside", elem_id="lint-back", min_width=180, visible=False)
    said = gr.HTML("", elem_id="lint-said", js_on_load=None)
    found = gr.HTML(text.paragraph(linting.IDLE), elem_id="lint-findings", js_on_load=_CLICKS)
    panel = _Panel(shared.context, shared.train)
    buttons = [begin, stop, undo, back]
    checked = [found, report, *buttons]
    inputs = [shared.train.draft, studio.folder]
    run: dict[str, Any] = {
        "fn": panel.check,
        "inputs": inputs,
        "outputs": checked,
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_limit": 4,
    }
    checking = begin.click(lambda: "", None, said, **QUIET).then(**run)
    stop.click(panel.stopped, None, [found, *buttons], cancels=[checking], **QUIET)
    done = [said, studio.changed]
    undo.click(panel.undo, inputs, done, **TOLD).then(**run)
    back.click(panel.back, inputs, done, **TOLD).then(**run)
    found.click(panel.view, [report, studio.folder], [found, report, studio.shown], **TOLD_SAYS)
    found.submit(panel.fix, [report, *inputs], [*done, *shared.train.loaded], **TOLD_SAYS).then(**run)


class _Panel:
    """The panel's handlers."""

    def __init__(self, context: Context, train: Train) -> None:
        self.context, self.train = context, train

    def check(self, draft: Draft, folder: str) -> Iterator[list[Any]]:
        """Find what is wrong; what headers tell at once, the rest as it is known."""
        stop = threading.Event()
        try:
            preset = linting.subject(draft.preset, folder, self.context)
            linting.allowed(preset, self.context)
            for report in lint(preset, self.context.machine.cache, stop):
                if report.whole:
                    html = linting.summary(report, preset) + linting.findings(report, None, bool(folder))
                    yield [html, (report, None), *self._buttons(report)]
                else:
                    yield [linting.progress(report), None, gr.skip(), gr.update(visible=True), gr.skip(), gr.skip()]
        except Problems as error:
            yield [text.problem_list(error.problems), None, *_ready()]
        finally:
            stop.set()

    def _buttons(self, report: Report) -> list[Any]:
        aside = linting.back(report.rules)
        count = "1 image that was" if len(aside) == 1 else f"{len(aside)} images that were"
        back = gr.update(visible=bool(aside), value=f"Put back {count} set aside")
        undo = gr.update(visible=linting.can_undo(report.rules, self.context))
        return [gr.update(value="Check again"), gr.update(visible=False), undo, back]

    def stopped(self) -> list[Any]:
        """After a click on Stop, which ends the checking."""
        return [text.paragraph("Stopped. What was read is remembered."), *_ready()]

    def view(self, state: State, folder: str, event: gr.EventData) -> list[Any]:
        """Show or hide the images of a finding, here or in the grid."""
        if state is None:
            return [gr.skip()] * 3
        report, opened = state
        place = int(event._data.get("place", -1))
        if not 0 <= place < len(report.findings):
            return [gr.skip()] * 3
        finding = report.findings[place]
        if event._data.get("what") == "grid":
            return [gr.skip(), gr.skip(), only(finding.kind, linting.names_in(finding.images, folder))]
        opened = None if opened == place else place
        html = linting.summary(report, report.rules) + linting.findings(report, opened, bool(folder))
        return [html, (report, opened), gr.skip()]

    def fix(self, state: State, draft: Draft, folder: str, event: gr.EventData) -> list[Any]:
        """Do what a fix button says."""
        rest = [gr.skip()] * len(self.train.loaded)
        fix = _chosen(state, str(event._data.get("fix", "")))
        if state is None or fix is None:
            return [text.paragraph("The list is an older one: check again.", "bad"), gr.skip(), *rest]
        try:
            if fix.deed == "settings":
                return [self._set(fix, draft), gr.skip(), draft, *self.train.filled(draft), *self.train.say(draft)]
            return [text.paragraph(linting.apply(fix, state[0].rules, self.context), "good"), now(), *rest]
        except Problems as error:
            return [text.problem_list(error.problems, "Not done"), now(), *rest]

    def _set(self, fix: Fix, draft: Draft) -> str:
        """Put a fix's values into the form, as if they had been typed."""
        draft.open_again(self.context)
        changed = with_values(draft.preset, dict(fix.change))
        for path, _ in fix.change:
            draft.edit(path, show(BY_PATH[path], value_at(changed, path)))
        names = ", ".join(text.label_of(path) for path, _ in fix.change)
        return text.paragraph(f"Set in the form: {names}.", "good")

    def undo(self, draft: Draft, folder: str) -> list[Any]:
        """Take back the newest change of captions."""
        return self._done(draft, folder, linting.undo_captions)

    def back(self, draft: Draft, folder: str) -> list[Any]:
        """Put back all that was set aside."""
        return self._done(draft, folder, linting.put_back)

    def _done(self, draft: Draft, folder: str, deed: Any) -> list[Any]:
        try:
            preset = linting.subject(draft.preset, folder, self.context)
            return [text.paragraph(deed(preset, self.context), "good"), now()]
        except Problems as error:
            return [text.problem_list(error.problems, "Not done"), gr.skip()]


def _ready() -> list[Any]:
    return [gr.update(value="Check the images"), gr.update(visible=False), gr.skip(), gr.skip()]


def _chosen(state: State, named: str) -> Fix | None:
    """The fix that a button names: number of the finding, number of its fix."""
    place, _, number = named.partition("/")
    if state is None or not (place.isdecimal() and number.isdecimal()):
        return None
    findings = state[0].findings
    fixes = findings[int(place)].fixes if int(place) < len(findings) else ()
    return fixes[int(number)] if int(number) < len(fixes) else None
