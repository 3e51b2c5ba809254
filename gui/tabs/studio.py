"""What the panels of the Dataset tab share: the open folder, its chosen images, and a word to each other of changes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import gradio as gr


@dataclass(frozen=True)
class Studio:
    """States of the Dataset tab. An image is named by its path inside the open folder, with "/" (`ImageFile.key`
    without its first part).

    `folder`: absolute path of the open folder as text, "" for none; the one of `Shared`. Its `.change` tells that
    another one is open, also for one that another tab has put there.
    `selected`: names of the selected images, in order; [] for none.
    `shown`: what the grid shows of the folder; a handler that answers with `only(title, names)` lets it show these
    images alone, `None` all of them.
    `changed`: a handler that has changed, moved or captioned files answers with `now()`, and the grid reads the folder
    anew; its `.change` tells the others."""

    folder: gr.State
    selected: gr.State
    shown: gr.State
    changed: gr.State


def only(title: str, names: list[str]) -> dict[str, object]:
    """For `Studio.shown`: these images alone; `title` is what they have in common, for people to read."""
    return {"title": title, "names": names}


def now() -> float:
    """For `Studio.changed`: a value that was not there before."""
    return time.time()
