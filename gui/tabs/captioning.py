"""A panel of the Dataset tab: captions by a model of this computer, shown first, then written."""

from __future__ import annotations

from typing import Any

import gradio as gr

from gui import captioning, jobs
from gui.captioning import Asked
from gui.context import Context
from gui.form.session import Draft
from gui.runs.watch import Watcher, pending, watcher
from gui.shared import LATEST, QUIET, TOLD, TOLD_SAYS, Shared
from gui.tabs.studio import Studio, now, only
from gui.text import problem_list
from trainer.contract.problems import Problems
from trainer.plan.captioners import FLORENCE_TASKS

WHOM = (("images without a caption", "images without a caption"), ("all of them, over what is there", "all images"))


def build(shared: Shared, studio: Studio) -> None:
    """Lay the panel out and wire it."""
    found = [(each.name, str(each.folder)) for each in captioning.models(shared.context)]
    first = found[0][1] if found else ""
    about, kind = captioning.says(first)
    run, sent, clock = gr.State(""), gr.State({}), gr.Timer(1.0, active=False)
    gr.HTML(captioning.which_work(shared.context), elem_id="caption-models", js_on_load=None)
    with gr.Row():
        model = gr.Dropdown(
            found,
            value=first or None,
            label="Captioning model",
            elem_id="caption-model",
            elem_classes="field",
            visible=bool(found),
        )
        path = gr.Textbox(label="Or the path of a model's folder", elem_id="caption-path", max_lines=1)
    told = gr.HTML(about, elem_id="caption-about", js_on_load=None)
    with gr.Row(visible=kind == "tagger") as tagger:
        threshold = gr.Slider(
            0.05, 0.95, 0.35, step=0.05, label="Lowest confidence of a tag", elem_id="caption-threshold"
        )
        characters = gr.Slider(0.05, 1.0, 0.85, step=0.05, label="Lowest confidence of a character's name")
        no_tags = gr.Textbox(label="Tags never written, with commas between", max_lines=1, elem_id="caption-never")
    question = gr.Radio(
        [(text, value) for value, text in FLORENCE_TASKS],
        value=FLORENCE_TASKS[1][0],
        label="How long",
        visible=kind == "task",
        elem_id="caption-task",
    )
    prompt = gr.Textbox(
        label="Question, or how the caption begins; may stay empty", visible=kind == "text", elem_id="caption-prompt"
    )
    with gr.Row():
        whom = gr.Radio(list(WHOM), value=WHOM[0][1], label="Which images are captioned", elem_id="caption-whom")
        prefix = gr.Textbox(
            label="Put before each caption, such as a trigger word", elem_id="caption-prefix", max_lines=1
        )
    with gr.Row():
        try_ = gr.Button(f"Show on {captioning.PREVIEWED} images, write nothing", elem_id="caption-preview")
        go = gr.Button("Write captions", variant="primary", elem_id="caption-go")
    said = gr.HTML(elem_id="caption-said", apply_default_css=False, elem_classes="area", js_on_load=None)
    area = gr.HTML(
        elem_id="caption-result",
        apply_default_css=False,
        elem_classes="area",
        js_on_load="window.loratory.tries(element, trigger);",
    )
    inputs = [
        studio.folder,
        studio.selected,
        model,
        path,
        whom,
        prefix,
        threshold,
        characters,
        no_tags,
        question,
        prompt,
    ]
    panel = _Panel(shared.context)
    for box in (model, path):
        box.input(panel.chosen, [model, path], [told, tagger, question, prompt], **LATEST)
    for button, dry in ((try_, True), (go, False)):
        button.click(panel.starter(dry), [*inputs, shared.train.draft, sent], [run, said, area, sent, clock], **QUIET)
    clock.tick(panel.look, [run, sent], [area, studio.changed, sent, clock], trigger_mode="once", **TOLD)
    area.click(panel.act, [run, studio.folder, studio.shown], [said, studio.shown, studio.changed], **TOLD_SAYS)


class _Panel:
    """The panel's handlers."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.watching: Watcher = watcher(context.runs)

    def chosen(self, model: str | None, path: str) -> list[Any]:
        """What the model is, and the options that fit it."""
        about, kind = captioning.says(path or model or "")
        return [about, *(gr.update(visible=kind == name) for name in ("tagger", "task", "text"))]

    def starter(self, dry: bool) -> Any:
        """What starts a captioning, or shows one on a few images."""

        def start(*values: Any) -> list[Any]:
            *given, draft, known = values
            try:
                run = captioning.begin(captioning.task(_asked(given, draft), self.context, dry), self.watching)
            except Problems as error:
                return [gr.skip(), problem_list(error.problems, "Not captioned"), gr.skip(), gr.skip(), gr.skip()]
            html, told = self._news(run.id, known)
            return [run.id, "", html, told, gr.Timer(active=True)]

        return start

    def look(self, run_id: str, known: dict[str, Any]) -> list[Any]:
        """What is new of the run that this page has started; the grid reads the folder anew as captions come."""
        html, told = self._news(run_id, known)
        fresh = told.get("written") != known.get("written")
        clock = gr.Timer(active=False) if told.get("over") else gr.skip()
        return [html, now() if fresh else gr.skip(), told if told != known else gr.skip(), clock]

    def _news(self, run_id: str, known: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        run = self.watching.run(run_id)
        row = next((each for each in self.watching.rows() if each.id == run_id), None)
        if run is None or row is None:
            return gr.skip(), known
        with self.watching.lock:
            html = captioning.shown(row, run, self.watching.view(run), "stop" in pending(run))
        count = sum(each.get("written") is True for each in captioning.results(run))
        told: dict[str, Any] = {"html": hash(html), "written": (run_id, count) if count else None}
        told["over"] = row.state.state not in jobs.AT_WORK
        return (gr.skip() if told["html"] == known.get("html") else html), told

    def act(self, event: gr.EventData, run_id: str, folder: str, shown: Any) -> list[Any]:
        """Stop, show what was captioned, or take it back."""
        what, run = (event._data or {}).get("what"), self.watching.run(run_id)
        if run is None:
            return [gr.skip()] * 3
        try:
            if what == "stop":
                jobs.ask(run, "stop")
            if what == "show":
                return ["", only("captioned just now", captioning.written(run, folder)), gr.skip()]
            if what == "undo":
                captioning.undo(run, self.context, folder)
                return ['<p class="good">These captions were taken back.</p>', gr.skip(), now()]
        except Problems as error:
            return [problem_list(error.problems, "Not done"), gr.skip(), gr.skip()]
        return [""] + [gr.skip()] * 2


def _asked(given: list[Any], draft: Draft) -> Asked:
    folder, selected, model, path, whom, prefix, threshold, characters, no_tags, question, prompt = given
    extension = str(draft.preset.captions.extension)
    return Asked(
        folder=str(folder or ""),
        selected=tuple(selected or ()),
        model=str(model or ""),
        path=str(path or "").strip(),
        whom=str(whom),
        prefix=str(prefix or ""),
        threshold=float(threshold),
        characters=float(characters),
        no_tags=str(no_tags or ""),
        question=str(question or ""),
        prompt=str(prompt or ""),
        extension=extension,
    )
