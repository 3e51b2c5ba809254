"""The tab of the presets: load, save, download, drop. Loading one replaces every value of the form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from gui import library, text
from gui.context import Context
from gui.session import Draft, resolved
from gui.shared import QUIET, Shared
from gui.tabs.train import Train
from trainer.contract.preset import dumps, with_values
from trainer.contract.problems import Problems
from trainer.contract.rundir import slug
from trainer.contract.settings import Preset

_PICK = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-preset]');
  if (button) trigger('click', {preset: button.dataset.preset});
});
"""


def build(shared: Shared) -> None:
    """Lay the tab out and wire it."""
    context, train = shared.context, shared.train
    with gr.Row(elem_id="presets"):
        with gr.Column(scale=6, elem_classes="sheet", min_width=300):
            gr.HTML("<h3>Load a preset: every value of the form is replaced</h3>", js_on_load=None)
            with gr.Row():
                defaults = gr.Button("Start from the defaults", elem_id="preset-defaults", min_width=160)
                back = gr.Button("Put back what was there", visible=False, elem_id="preset-back", min_width=160)
            shelf = gr.HTML(_shelf(context), elem_id="shelf", js_on_load=_PICK)
        with gr.Column(scale=5, min_width=300):
            with gr.Column(elem_classes="sheet"):
                gr.HTML("<h3>Keep the form as a preset</h3>", js_on_load=None)
                name = gr.Textbox(label="Name", placeholder="my character, 12 GB", elem_id="preset-name", max_lines=1)
                with gr.Row():
                    save = gr.Button("Save", variant="primary", elem_id="preset-save", min_width=90)
                    replace = gr.Button("Replace it", variant="stop", visible=False, elem_id="preset-replace")
                    download = gr.Button("Download", elem_id="preset-download", min_width=90)
            with gr.Column(elem_classes="sheet"):
                gr.HTML("<h3>Load a file</h3>", js_on_load=None)
                drop = gr.File(
                    label="Drop a .toml preset here", file_types=[".toml"], height=110, elem_id="preset-drop"
                )
            with gr.Column(elem_classes="sheet"):
                said = gr.HTML(
                    text.paragraph("The form differs from the defaults where you changed it."),
                    elem_id="preset-said",
                    js_on_load=None,
                )
                file = gr.HTML("", html_template="", elem_id="preset-file", elem_classes="no-show", js_on_load=None)
    tab = _Tab(context, train)
    loaded = [said, back, train.draft, *train.fields.values(), *train.said]
    shelf.click(tab.pick, train.draft, loaded, **QUIET)
    drop.upload(tab.dropped, [drop, train.draft], [drop, *loaded], **QUIET)
    defaults.click(tab.defaults, train.draft, loaded, **QUIET)
    back.click(tab.put_back, train.draft, loaded, **QUIET)
    inputs = {name, *train.everything()}
    outputs = [said, shelf, replace]
    save.click(lambda values: tab.save(values, values[name], False), inputs, outputs, **QUIET)
    replace.click(lambda values: tab.save(values, values[name], True), inputs, outputs, **QUIET)
    name.input(lambda: gr.update(visible=False), None, replace, **QUIET)
    download.click(lambda values: tab.download(values, values[name]), inputs, [said, file], **QUIET).then(
        None, file, js="given => { window.loratory.download(given); }", **QUIET
    )


class _Tab:
    """The tab's handlers."""

    def __init__(self, context: Context, train: Train) -> None:
        self.context, self.train = context, train

    def pick(self, draft: Draft, event: gr.EventData) -> list[Any]:
        """Load one of the presets on the shelf."""
        entry = library.find(self.context, str(event._data.get("preset", "")))
        if entry is None:
            return self._refused(text.paragraph("That preset is no longer there.", "bad"))
        try:
            return self._loaded(draft, library.load(entry.path), entry.title)
        except Problems as error:
            return self._refused(text.problem_list(error.problems, f"{entry.title} cannot be loaded"))

    def dropped(self, path: str | None, draft: Draft) -> list[Any]:
        """Load a file that was dropped on the page."""
        if not path:
            return [gr.skip()] * (len(self.train.fields) + len(self.train.said) + 4)
        try:
            return [None, *self._loaded(draft, library.read_dropped(Path(path)), Path(path).name)]
        except Problems as error:
            told = text.problem_list(error.problems, f"{Path(path).name} cannot be loaded")
            return [None, *self._refused(told)]

    def _loaded(self, draft: Draft, preset: Preset, title: str) -> list[Any]:
        draft.open_again(self.context)
        draft.replace(preset)
        return self._shows(draft, _said(preset, title))

    def _shows(self, draft: Draft, told: str) -> list[Any]:
        filled = [*self.train.filled(draft), *self.train.say(draft)]
        return [told, gr.update(visible=draft.before is not None), draft, *filled]

    def defaults(self, draft: Draft) -> list[Any]:
        """Every field as a fresh page has it."""
        return self._loaded(draft, Preset(), "the defaults")

    def put_back(self, draft: Draft) -> list[Any]:
        """The form as it was before the last load."""
        draft.put_back()
        return self._shows(draft, text.paragraph("The form is as it was before. Once more: what was loaded.", "good"))

    def _refused(self, told: str) -> list[Any]:
        return [told, *([gr.skip()] * (2 + len(self.train.fields) + len(self.train.said)))]

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
                return [told, gr.skip(), gr.update(visible=True)]
            library.save(path, self._full(values, name))
        except Problems as error:
            return [text.problem_list(error.problems, "Not saved"), gr.skip(), gr.update(visible=False)]
        return [_saved(path, self.context), _shelf(self.context), gr.update(visible=False)]

    def download(self, values: dict[Any, Any], name: str) -> list[Any]:
        """The TOML that the page shows, as a file for the browser to keep."""
        try:
            full = self._full(values, name)
        except Problems as error:
            return [text.problem_list(error.problems, "Nothing to download yet"), ""]
        file = f"{slug(name or full.about.title or str(full.saving.name))}.toml"
        told = text.paragraph(f"{file} holds the paths of your folders; look through it before you share it.")
        return [told, json.dumps({"name": file, "text": dumps(full)})]


def _saved(path: Path, context: Context) -> str:
    place = path.relative_to(context.root).as_posix() if path.is_relative_to(context.root) else str(path)
    quoted = f'"{place}"' if " " in place else place
    return text.paragraph(f"Saved as {path.name}. The same without the page:", "good") + text.command(
        f"python launch.py --preset {quoted}"
    )


def _said(preset: Preset, title: str) -> str:
    """What was loaded: every setting that is not at its default, and what would leave this computer."""
    rows = library.differences(preset)
    leaves = "This preset sends the run's curves to Weights & Biases." if preset.logging.wandb else ""
    told = text.paragraph(f"Loaded {title}. {len(rows)} settings differ from the defaults:", "good")
    return told + _TO_THE_FORM + (text.paragraph(leaves, "bad") if leaves else "") + _table(rows)


_TO_THE_FORM = (
    f'<p><button type="button" class="jump" data-jump="{text.field_id("model.path")}">Go to the form</button></p>'
)


def _table(rows: Sequence[tuple[str, str, str]]) -> str:
    body = "".join(
        f'<tr><td><button type="button" class="jump" data-jump="{text.escape(text.field_id(path))}">'
        f"{text.escape(text.label_of(path))}</button></td><td>{text.escape(value)}</td>"
        f"<td>{text.escape(default)}</td></tr>"
        for path, value, default in rows
    )
    return f'<table class="plain"><tr><th>Setting</th><th>Value</th><th>Default</th></tr>{body}</table>'


def _shelf(context: Context) -> str:
    found = library.entries(context)
    parts = []
    for place, heading in (("shipped", "Shipped"), ("own", "Your own")):
        cards = "".join(_card(entry) for entry in found if entry.key.startswith(f"{place}/"))
        parts.append(f"<h4>{heading}</h4>{cards or text.paragraph('None yet.')}")
    return f'<div class="shelf">{"".join(parts)}</div>'


def _card(entry: library.Entry) -> str:
    about = text.paragraph(entry.use) if entry.use else ""
    if entry.faults:
        return (
            f"<article><h5>{text.escape(entry.title)}</h5>{text.problem_list(entry.faults, 'Not loadable')}</article>"
        )
    proved = entry.tested if entry.tested == "untested" else f"tested {entry.tested}"
    key, tested = text.escape(entry.key), text.escape(proved)
    return (
        f'<article><button type="button" data-preset="{key}">Load</button><h5>{text.escape(entry.title)}</h5>'
        f'<span class="quiet">{text.escape(entry.path.name)} · {tested}</span>{about}</article>'
    )
