"""What to do about images without captions: the deeds behind the card that form.js draws under the images.

One phrase as the trigger word, one phrase written into files, captions made by a model or written by hand (the Dataset
tab). Nothing is written but by the button that says so, no file is replaced, and what was written can be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gui.context import Context
from gui.form.planned import NoCaptions
from gui.form.session import Draft
from gui.roots import may_show
from trainer.contract.problems import Problem, Problems
from trainer.plan import captionfiles
from trainer.plan.counting import count_of


def use_as_trigger(draft: Draft, phrase: str) -> None:
    """Let the phrase be the trigger word; where no image has a file, captions are then the trigger word alone."""
    bare = draft.planned.captions
    contents: dict[str, Any] = {"captions.trigger": phrase.strip()}
    if bare is not None and bare.count == bare.total:
        contents["captions.mode"] = "trigger word"
    draft.change(contents, f'Trigger word set to "{phrase.strip()}"')


def write(draft: Draft, phrase: str, context: Context) -> None:
    """A file with the phrase beside each image that has none. Problems where that cannot be done."""
    bare = draft.planned.captions
    if bare is None or not phrase.strip():
        raise Problems([Problem("captions.mode", "there is nothing to write", "type what all images show")])
    written = 0
    for folder, paths in _allowed(bare, context).items():
        history = captionfiles.history_file(context.root, folder)
        texts = {path: phrase.strip() + "\n" for path in paths if not path.exists()}
        change = captionfiles.write(folder, texts, f"one caption for all that had none: {phrase.strip()}", history)
        written += len(change.texts) if change else 0
    draft.written = tuple(bare.files)
    draft.change({}, f"{count_of(written, 'caption file')} written")
    draft.planned = replace(draft.planned, captions=None)


def take_back(draft: Draft, context: Context) -> None:
    """Remove the files that `write` wrote, where they still say the same."""
    for folder in draft.written:
        if may_show(folder, context):
            captionfiles.undo(folder, captionfiles.history_file(context.root, folder))
    draft.written = ()
    draft.change({}, "")


def _allowed(bare: NoCaptions, context: Context) -> Mapping[Path, tuple[Path, ...]]:
    return {folder: paths for folder, paths in bare.files.items() if may_show(folder, context)}
