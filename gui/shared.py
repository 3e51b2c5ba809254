"""What the tabs of a page share while it is built: the form, and states by which one tab shows something in another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from gui.context import Context

if TYPE_CHECKING:
    from gui.tabs.train import Train

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
"""Options of handlers that answer a click or an edit at once. Gradio drops such an event while the one before it is
being answered: a double click is one click."""

SAYS: dict[str, Any] = {**QUIET, "trigger_mode": "multiple"}
"""Options of handlers whose event tells them something (`gr.EventData`): each is answered. With any other mode Gradio
(6.31) drops those that come while one is being answered, or gives the first one's data to the last."""

LATEST: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}
"""Options of handlers that take what a field holds: of those that come while one is being answered, the last."""

TOLD: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
"""Options of handlers whose answer holds a `gr.State` with a `.change` of its own: a browser hears of changed
states through Gradio's queue alone."""

TOLD_SAYS: dict[str, Any] = {**TOLD, "trigger_mode": "multiple"}
"""Of both kinds."""

TOLD_LATEST: dict[str, Any] = {**TOLD, "trigger_mode": "always_last"}
"""Of both kinds."""


@dataclass
class Shared:
    """`tabs`: give `gr.Tabs(selected=<id>)` to open one. `chosen`: id of the run that the Runs tab shows, "" for the
    newest at work. `folder`: the image folder that the Dataset tab shows, "" for none. `ended`: the place over the
    tabs. `train` is there once the first tab has been built; it loads a preset into the form (`Train.load`).
    `own`: the field of the Try tab for files of one's own, once that tab has been built."""

    context: Context
    tabs: gr.Tabs
    chosen: gr.State
    folder: gr.State
    ended: gr.HTML
    form: Train | None = None
    own: gr.Textbox | None = None

    @property
    def train(self) -> Train:
        """The form, for tabs that are built after it."""
        assert self.form is not None, "the Train tab is built first"
        return self.form
