"""The Dataset tab: images of a folder, their captions, what is wrong with them.

The browser draws the studio (web/dataset.html, .js, .css) and asks in messages; each lane answers one after the other,
so that a slow picture holds no caption up. No key of a message is called "path": Gradio takes it for a file of its own.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from gui.form.fixes import sentence
from gui.form.session import Draft, resolved
from gui.shared import QUIET, SAYS, Shared
from gui.studio import incoming, places
from gui.studio.desk import Asked, Desk
from gui.tabs import captioning, linter
from gui.tabs.studio import Studio, now
from trainer.contract.problems import Problem, Problems

WEB = Path(__file__).resolve().parents[1] / "web"
LANES = ("desk", "pictures", "looks", "arrivals")
"""Of messages that wait for each other: the list and all changes; thumbnails; previews; uploads."""
_LANE = "window.loratory.studio.lane('{}', trigger, watch, props);"
_PUSH = "watch('value', () => window.loratory.studio.told(props.value)); window.loratory.studio.told(props.value);"

Answer = dict[str, Any]
Kept = list[Any]
"""Answers for the states of the tab: folder, selected, shown, changed."""


def build(shared: Shared) -> None:
    """Lay the tab out and wire it."""
    studio = Studio(shared.folder, gr.State([]), gr.State(None), gr.State(0.0))
    opening, main = (WEB / "dataset.html").read_text(encoding="utf-8").split("<!-- panels -->")
    gr.HTML(opening, elem_id="studio-opening", js_on_load=None, apply_default_css=False)
    with gr.Accordion("Check the images", open=False, elem_id="linter", elem_classes="studio-panel"):
        linter.build(shared, studio)
    with gr.Accordion("Caption automatically", open=False, elem_id="captioning", elem_classes="studio-panel"):
        captioning.build(shared, studio)
    gr.HTML(main, elem_id="studio-main", js_on_load=None, apply_default_css=False)
    Wiring(shared, studio).wire()


class Wiring:
    """Messages of the browser to the desk, and answers back."""

    def __init__(self, shared: Shared, studio: Studio) -> None:
        self.shared, self.studio = shared, studio
        self.desk = Desk(shared.context)

    def wire(self) -> None:
        """Lanes, the word of what others have changed, and the form's row."""
        states = [self.studio.folder, self.studio.selected, self.studio.shown, self.studio.changed]
        for lane in LANES:
            box = _hidden(f"studio-{lane}", _LANE.format(lane))
            inputs = [self.studio.folder, self.studio.shown, self.shared.train.draft]
            box.click(self._answers, inputs, [box, *states], **SAYS)
        push = _hidden("studio-told", _PUSH)
        self.studio.folder.change(lambda folder: json.dumps({"folder": folder}), self.studio.folder, push, **QUIET)
        self.studio.shown.change(_told_shown, self.studio.shown, push, **QUIET)
        self.studio.changed.change(lambda at: json.dumps({"changed": at}), self.studio.changed, push, **QUIET)
        self._wire_use()

    def _wire_use(self) -> None:
        train, field = self.shared.train, self.shared.train.fields["dataset.folders"]
        box = _hidden("studio-use", _LANE.format("use"))

        def use(event: gr.EventData, folder: str, draft: Draft) -> list[Any]:
            draft.open_again(self.shared.context)
            rows = [row for row in draft.shown["dataset.folders"] if str(row.get("path", "")).strip()]
            draft.edit("dataset.folders", [*rows, {"path": folder, "repeats": "", "trigger": ""}])
            said = json.dumps({"id": event._data.get("id"), "used": folder})
            return [said, gr.update(value=draft.shown["dataset.folders"]), *train.say(draft)]

        box.click(use, [self.studio.folder, train.draft], [box, field, *train.said], **SAYS)

    def _answers(self, event: gr.EventData, folder: str, shown: Any, draft: Draft) -> list[Any]:
        message = event._data if isinstance(event._data, dict) else {}
        keep: Kept = [gr.skip(), gr.skip(), gr.skip(), gr.skip()]
        try:
            draft.open_again(self.shared.context)
            asked = Asked(message, resolved(draft.preset, self.shared.context.root), str(folder or ""), shown)
            answer = ANSWERS[asked.text("do")](self, asked, keep)
        except Problems as error:
            answer = {"problems": [_sentence(problem) for problem in error.problems]}
        except Exception as error:  # a browser that waits for an answer must get one
            traceback.print_exc(file=sys.stderr)
            answer = {"problems": [f"This did not work: {type(error).__name__}: {error}"]}
        return [json.dumps({"id": message.get("id"), **answer}, ensure_ascii=True), *keep]

    def hello(self, asked: Asked, keep: Kept) -> Answer:
        """What to offer; and the folder that is open, if one is."""
        listed = self.desk.listing(asked) if asked.folder else {}
        return {**self.desk.places(asked), **listed}

    def open(self, asked: Asked, keep: Kept) -> Answer:
        """Open a folder by its path."""
        path = places.asked_for(asked.text("place"), self.shared.context)
        opened = Asked(asked.message, asked.preset, str(path))
        listed = self.desk.listing(opened, anew=True)
        places.remember(path, self.shared.context)
        keep[:3] = [str(path), [], None]
        return {**listed, **self.desk.places(opened)}

    def list(self, asked: Asked, keep: Kept) -> Answer:
        """A page of the grid; with "anew" the folder is read again, with "all" a finding's images no longer stand
        alone."""
        if asked.message.get("all"):
            keep[2] = None
            asked = Asked(asked.message, asked.preset, asked.folder)
        return self.desk.listing(asked, anew=bool(asked.message.get("anew")))

    def select(self, asked: Asked, keep: Kept) -> Answer:
        """Tell the other panels what is selected."""
        opened = self.desk.opened(asked)
        keep[1] = [name for name in asked.texts("names") if name in opened.rows]
        return {}

    def save(self, asked: Asked, keep: Kept) -> Answer:
        """Write one caption."""
        return self._changed(self.desk.save(asked), keep)

    def deed(self, asked: Asked, keep: Kept) -> Answer:
        """Change many captions, or tell what would change."""
        answer = self.desk.deed(asked)
        return answer if "would" in answer else self._changed(answer, keep)

    def undo(self, asked: Asked, keep: Kept) -> Answer:
        """Take the last change back."""
        return self._changed(self.desk.undo(asked), keep)

    def _changed(self, answer: Answer, keep: Kept) -> Answer:
        keep[3] = now()
        return {**answer, "stamp": keep[3]}

    def keep(self, asked: Asked, keep: Kept) -> Answer:
        """Take uploaded files into a folder of the machine's datasets."""
        folder, arrived = self._target(asked), incoming.Arrived()
        for file in asked.message.get("files", []):
            path = _uploaded(str(file.get("file", "")))
            incoming.keep_file(str(file.get("as", "")), path, folder, arrived)
            path.unlink(missing_ok=True)
        return {"folder": str(folder), "kept": len(arrived.kept), "refused": arrived.refused}

    def unpack(self, asked: Asked, keep: Kept) -> Answer:
        """Take some parts of an uploaded ZIP into a folder of the machine's datasets."""
        folder, arrived = self._target(asked), incoming.Arrived()
        path = _uploaded(asked.text("file"))
        try:
            incoming.unpack(path, folder, asked.whole("at"), _PARTS, arrived)
        except incoming.Refused as error:
            path.unlink(missing_ok=True)
            raise Problems(
                [Problem(path.name, str(error), "pack the pictures anew, or upload them as files")]
            ) from None
        if arrived.done >= arrived.parts:
            path.unlink(missing_ok=True)
        told = {"kept": len(arrived.kept), "refused": arrived.refused, "at": arrived.done, "of": arrived.parts}
        return {"folder": str(folder), **told}

    def _target(self, asked: Asked) -> Path:
        name = incoming.folder_name(asked.text("name"))
        if not name:
            raise Problems([Problem("Folder name", "there is none", "name the folder that the pictures go into")])
        folder = self.shared.context.machine.datasets / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


_PARTS = 25
"""Files of a ZIP that one answer unpacks: the page tells how far it is in between."""

ANSWERS: dict[str, Callable[[Wiring, Asked, Kept], Answer]] = {
    "hello": Wiring.hello,
    "open": Wiring.open,
    "list": Wiring.list,
    "select": Wiring.select,
    "names": lambda wiring, asked, keep: wiring.desk.names(asked),
    "pictures": lambda wiring, asked, keep: wiring.desk.pictures(asked),
    "save": Wiring.save,
    "deed": Wiring.deed,
    "undo": Wiring.undo,
    "original": lambda wiring, asked, keep: wiring.desk.original(asked),
    "look": lambda wiring, asked, keep: wiring.desk.look(asked),
    "whole": lambda wiring, asked, keep: wiring.desk.whole(asked),
    "keep": Wiring.keep,
    "unpack": Wiring.unpack,
}
"""What the browser may ask for."""


def _hidden(name: str, script: str) -> gr.HTML:
    return gr.HTML("{}", html_template="", js_on_load=script, elem_id=name, elem_classes="no-show")


def _told_shown(shown: Any) -> str:
    return json.dumps({"shown": str(shown.get("title", "")) if isinstance(shown, dict) else "", "at": now()})


def _sentence(problem: Problem) -> str:
    return f"{problem.path}: {sentence(problem)}"


def _uploaded(text: str) -> Path:
    """A file that came in through the page's own upload, and nothing else. Problems for any other path."""
    path = Path(text).resolve() if text and "\0" not in text else Path()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()) or not path.is_file():
        raise Problems([Problem("Upload", "the file is not among those that were uploaded", "upload it again")])
    return path
