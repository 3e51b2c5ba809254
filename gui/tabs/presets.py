"""The tab of the presets: load, save, share, drop, settings from and for other programs. What a load would change is
shown before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gradio as gr

from gui import import_html, importing, library, preset_html, text
from gui.context import Context
from gui.engine import exporting
from gui.form.session import Draft, resolved, user_folder
from gui.importing import Row
from gui.shared import QUIET, SAYS, Shared
from gui.tabs.train import Train
from trainer.contract.importers.base import Imported
from trainer.contract.preset import dumps, with_values
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import slug
from trainer.contract.settings import Preset
from trainer.contract.share import shareable

_SHELF = "window.loratory.shelf(element, trigger); /* 'click' */"
_DROP = "window.loratory.presetDrop(element, trigger); /* 'drop' */"
_SAID = "window.loratory.presetSaid(element, trigger); /* 'pick' */"

Offer = tuple[str, Preset]
"""Title and preset of what would be loaded."""


def build(shared: Shared) -> None:
    """Lay the tab out and wire it."""
    context, train = shared.context, shared.train
    offer, files = gr.State(None), gr.State(())
    with gr.Row(elem_id="presets"):
        with gr.Column(scale=6, elem_classes="sheet", min_width=300):
            gr.HTML("<h2>Load a preset: every value of the form is replaced</h2>", js_on_load=None)
            shelf = gr.HTML(preset_html.shelf(context), elem_id="shelf", js_on_load=_SHELF)
        with gr.Column(scale=5, min_width=300):
            with gr.Column(elem_classes="sheet"):
                with gr.Row():
                    load = gr.Button("Load it", variant="primary", visible=False, elem_id="preset-load", min_width=90)
                    cancel = gr.Button("Cancel", visible=False, elem_id="preset-cancel", min_width=90)
                    defaults = gr.Button("Start from the defaults", elem_id="preset-defaults", min_width=160)
                    keep = gr.Button("Keep all as presets", visible=False, elem_id="preset-keep", min_width=150)
                    back = gr.Button("Put back what was there", visible=False, elem_id="preset-back", min_width=160)
                said = gr.HTML(
                    text.paragraph("Choose a preset: what it would change is shown here before it does."),
                    elem_id="preset-said",
                    js_on_load=_SAID,
                )
                drop = gr.HTML(preset_html.DROP, elem_id="preset-drop", js_on_load=_DROP)
            with gr.Column(elem_classes="sheet"):
                gr.HTML("<h2>Keep the form as a preset</h2>", js_on_load=None)
                name = gr.Textbox(label="Name", placeholder="my character, 12 GB", elem_id="preset-name", max_lines=1)
                with gr.Row():
                    save = gr.Button("Save", variant="primary", elem_id="preset-save", min_width=90)
                    replace = gr.Button("Replace it", variant="stop", visible=False, elem_id="preset-replace")
                    download = gr.Button("Download", elem_id="preset-download", min_width=90)
                    share = gr.Button("Share", elem_id="preset-share", min_width=90)
                    export = gr.Button("Export for sd-scripts", elem_id="preset-export", min_width=160)
                kept = gr.HTML("", elem_id="preset-kept", js_on_load=None)
                file = gr.HTML("", html_template="", elem_id="preset-file", elem_classes="no-show", js_on_load=None)
    tab = _Tab(context, train)
    offered = [said, offer, load, cancel, shelf, files, keep]
    shelf.click(tab.pick, train.draft, offered, **SAYS)
    drop.drop(tab.dropped, train.draft, offered, **SAYS)  # type: ignore[attr-defined]
    said.pick(tab.shown, [train.draft, files], offered, **SAYS)  # type: ignore[attr-defined]
    keep.click(tab.keep, files, offered, **QUIET)
    defaults.click(tab.defaults, train.draft, offered, **QUIET)
    cancel.click(tab.cancel, None, offered, **QUIET)
    loaded = [said, back, offer, load, cancel, *train.loaded]
    load.click(tab.load, [train.draft, offer], loaded, **QUIET)
    back.click(tab.put_back, train.draft, loaded, **QUIET)
    inputs = {name, *train.everything()}
    outputs = [kept, shelf, replace]
    save.click(lambda values: tab.save(values, values[name], False), inputs, outputs, **QUIET)
    replace.click(lambda values: tab.save(values, values[name], True), inputs, outputs, **QUIET)
    name.input(lambda: gr.update(visible=False), None, replace, **QUIET)
    script = "given => { window.loratory.download(given); }"
    for button, private in ((download, True), (share, False)):
        button.click(_sender(tab, name, private), inputs, [kept, file], **QUIET).then(None, file, js=script, **QUIET)
    sent = export.click(lambda values: tab.export(values), inputs, [kept, file], **QUIET)
    sent.then(None, file, js=script, **QUIET)


def _sender(tab: _Tab, name: gr.Textbox, private: bool) -> Any:
    return lambda values: tab.download(values, values[name], private)


_HIDDEN, _SEEN = gr.update(visible=False), gr.update(visible=True)


class _Tab:
    """The tab's handlers."""

    def __init__(self, context: Context, train: Train) -> None:
        self.context, self.train = context, train

    def pick(self, draft: Draft, event: gr.EventData) -> list[Any]:
        """Offer one of the presets on the shelf, or move one of the user's own to the trash."""
        key, what = str(event._data.get("preset", "")), str(event._data.get("what", "load"))
        entry = library.find(self.context, key)
        if entry is None:
            return self._refused(text.paragraph("That preset is no longer there.", "bad"))
        try:
            if what == "delete":
                return self._deleted(key)
            command = preset_html.command_of(entry.path, self.context)
            return self._offered(draft, entry.title, Imported(library.load(entry.path)), command)
        except Problems as error:
            return self._refused(text.problem_list(error.problems, entry.title))

    def _deleted(self, key: str) -> list[Any]:
        place = library.delete(self.context, key)
        told = text.paragraph(f"Moved to {place}: move it back by hand where you want it again.", "good")
        return [told, None, _HIDDEN, _HIDDEN, preset_html.shelf(self.context), (), _HIDDEN]

    def dropped(self, draft: Draft, event: gr.EventData) -> list[Any]:
        """Offer what a file says that was dropped on the page."""
        if event._data.get("kind") == "files":
            return self._table([self._row(file) for file in event._data.get("files") or []])
        row = self._row(event._data)
        if row.imported is None:
            return self._refused(text.problem_list(row.faults, f"{row.file} cannot be loaded"))
        return self._offered(draft, row.file, row.imported)

    def _row(self, sent: Mapping[str, Any]) -> Row:
        """What one file says; the page sends its name, what it is, and its text."""
        name, kind, written = (str(sent.get(key, "")) for key in ("name", "kind", "text"))
        try:
            if kind not in library.KINDS:
                raise Problems([Problem("preset", f"{name} cannot be read: {written}", "drop another file")])
            return Row(name, library.read_dropped(name, kind, written, self.context))
        except Problems as error:
            return Row(name, faults=error.problems)

    def _table(self, rows: list[Row]) -> list[Any]:
        """Several files at once: what becomes of each."""
        if not rows:
            return self._refused(text.paragraph("No settings file is among them: .toml, .json or .safetensors.", "bad"))
        targets = importing.targets(rows, user_folder(self.context))
        told = import_html.folder(rows, targets)
        return [told, None, _HIDDEN, _SEEN, gr.skip(), tuple(rows), _SEEN if targets else _HIDDEN]

    def shown(self, draft: Draft, files: tuple[Row, ...], event: gr.EventData) -> list[Any]:
        """Offer one file of the table; the others stay to be kept."""
        number = event._data.get("file")
        row = files[number] if isinstance(number, int) and 0 <= number < len(files) else None
        if row is None or row.imported is None:
            return [gr.skip()] * 7
        told, *rest = self._offered(draft, row.file, row.imported)[:5]
        targets = importing.targets(files, user_folder(self.context))
        return [told + import_html.folder(files, targets), *rest, gr.skip(), gr.skip()]

    def keep(self, files: tuple[Row, ...]) -> list[Any]:
        """Write a preset of each file of the table; what is there already stays as it is."""
        targets = importing.targets(files, user_folder(self.context))
        there = [path for path in targets.values() if path.exists()]
        try:
            for row in files:
                if row.imported is not None and targets[row.file] not in there:
                    importing.write(row.imported, targets[row.file])
        except Problems as error:
            return self._refused(text.problem_list(error.problems, "Not all were written"))
        written = [path for path in targets.values() if path not in there]
        shelf = preset_html.shelf(self.context)
        return [import_html.kept(written, there), None, _HIDDEN, _HIDDEN, shelf, (), _HIDDEN]

    def defaults(self, draft: Draft) -> list[Any]:
        """Offer every field as a fresh page has it."""
        return self._offered(draft, "the defaults", Imported(Preset()))

    def _offered(self, draft: Draft, title: str, imported: Imported, command: str = "") -> list[Any]:
        draft.open_again(self.context)
        told = preset_html.offered(title, draft.preset, imported, command)
        return [told, (title, imported.preset), _SEEN, _SEEN, gr.skip(), (), _HIDDEN]

    def _refused(self, told: str) -> list[Any]:
        return [told, None, _HIDDEN, _HIDDEN, gr.skip(), (), _HIDDEN]

    def cancel(self) -> list[Any]:
        """Leave the form as it is."""
        return self._refused(text.paragraph("Nothing was changed."))

    def load(self, draft: Draft, offer: Offer | None) -> list[Any]:
        """Put what is offered into the form."""
        if offer is None:
            filled = [gr.skip()] * len(self.train.loaded)
            return [text.paragraph("Choose a preset first.", "bad"), gr.skip(), None, _HIDDEN, _HIDDEN, *filled]
        title, preset = offer
        filled = self.train.load(draft, preset, self.context)
        return [preset_html.loaded(title, preset), _SEEN, None, _HIDDEN, _HIDDEN, *filled]

    def put_back(self, draft: Draft) -> list[Any]:
        """The form as it was before the last load."""
        draft.put_back()
        told = text.paragraph("The form is as it was before. Once more: what was loaded.", "good")
        return [told, _SEEN, None, _HIDDEN, _HIDDEN, draft, *self.train.filled(draft), *self.train.say(draft)]

    def _full(self, values: dict[Any, Any], name: str) -> Preset:
        """The form as a preset with every value; the name beside Save is its title in lists."""
        draft: Draft = values[self.train.draft]
        full = resolved(draft.take(self.train.shown(values)), self.context.root)
        return with_values(full, {"about.title": name.strip()}) if name.strip() else full

    def save(self, values: dict[Any, Any], name: str, replace: bool) -> list[Any]:
        """Write the form to the user's presets; an existing file is replaced only on a second, explicit click."""
        try:
            path = library.own_file(self.context, name)
            if path.exists() and not replace:
                told = text.paragraph(f"There is a preset {path.name} already.", "bad")
                return [told, gr.skip(), _SEEN]
            library.save(path, self._full(values, name), values[self.train.draft].toml)
        except Problems as error:
            return [text.problem_list(error.problems, "Not saved"), gr.skip(), _HIDDEN]
        return [preset_html.saved(path, self.context), preset_html.shelf(self.context), _HIDDEN]

    def download(self, values: dict[Any, Any], name: str, private: bool) -> list[Any]:
        """The form's TOML as a file for the browser to keep. `private`: as it is; else without what belongs to this
        computer, telling what that was."""
        try:
            full = self._full(values, name)
        except Problems as error:
            return [text.problem_list(error.problems, "Nothing to download yet"), ""]
        file = f"{slug(name or full.about.title or str(full.saving.name))}.toml"
        if private:
            told = text.paragraph(f"{file} holds the paths of your folders: Share makes a copy without them.")
            return [told, json.dumps({"name": file, "text": dumps(full)})]
        told = preset_html.shared(file, library.stripped(full))
        return [told, json.dumps({"name": file, "text": dumps(shareable(full))})]

    def export(self, values: dict[Any, Any]) -> list[Any]:
        """The form as sd-scripts' two files for the browser to keep, with the command that trains with them, and what
        that program cannot do."""
        try:
            full = self._full(values, "")
            files, told = exporting.for_download(full)
        except Problems as error:
            return [text.problem_list(error.problems, "Nothing to export yet"), ""]
        return [told, json.dumps([{"name": name, "text": written} for name, written in files])]
