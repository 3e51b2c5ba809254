"""What the server holds for one open page: the form's content, what it means, what is wrong. No Gradio in here.

An edit sends the one field; the server keeps the rest, so that an edit costs one field's round trip, not a hundred's.
"""

from __future__ import annotations

import copy
import functools
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from gui.context import Context
from gui.form.fixes import field_id
from gui.form.offers import Offer, of_optimizer
from gui.form.planned import NOTHING_PLANNED, Planned
from gui.form.values import collect, fill, read
from gui.turns import Turns
from trainer.contract import catalog
from trainer.contract.families import Family, Recognised, by_name, recognise
from trainer.contract.families import of as facts_of
from trainer.contract.machine import machine_file
from trainer.contract.preset import absolute_paths, resolve, value_at, with_values
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import write_whole
from trainer.contract.settings import BY_PATH, ITEMS, Preset, Rule
from trainer.plan.plan import examine
from trainer.plan.sides import Known


def user_folder(context: Context) -> Path:
    """The user's own presets and what the page remembers: beside the machine file, ignored by git."""
    return machine_file(context.root).parent


_EDITING = threading.Lock()
"""One for all drafts: an edit takes a millisecond, and a draft must be copyable."""


TESTED = "about.tested"
"""The one setting that nobody types: a command writes it."""


@dataclass
class Draft:
    """The form of one page. `shown`: what each component holds. `preset`: what it means, a field with a fault keeping
    its last good value. `faults`: the problem of each field whose content is no value. `opened` is False
    in a session that the server forgot while its page stayed open (it does so after an hour without a connection).
    `quick`: the images whose plan came quickly, `held_out`: what the page shows of those held out (the plan card's).
    `timesteps`: the curve that the page shows.
    `toml`, `toml_help`: the comments that were typed, in the text that they stand in, and whether the help stands there
    too; `typed_from`: the preset and what its text showed when typing began (the TOML editor's).
    `base`: the preset that was loaded last, or the defaults: what a field is reset to. `done`: what was last changed by
    a button, in words, while it can be taken back. `written`: the folders in which that wrote
    caption files. `planned`: what the last plan told. `phrase`: what was typed as the
    caption of images that have none. `turns`: the newest messages of controls that say how things are to stand.
    `visit`: the visit to the TOML editor whose text was taken last (the browser's number). `id`: tells one draft from
    another, of which the browser has older or newer answers."""

    preset: Preset = field(default_factory=Preset)
    shown: dict[str, Any] = field(default_factory=lambda: fill(Preset()))
    faults: dict[str, list[Problem]] = field(default_factory=dict)
    offers: tuple[Offer, ...] = ()
    edits: int = 0
    opened: bool = False
    base: Preset = field(default_factory=Preset)
    before: tuple[Preset, dict[str, Any], dict[str, list[Problem]], Preset] | None = None
    done: str = ""
    written: tuple[Path, ...] = ()
    planned: Planned = NOTHING_PLANNED
    phrase: str = ""
    quick: str = ""
    held_out: str = ""
    timesteps: str = ""
    toml: str = ""
    toml_help: bool = False
    typed_from: tuple[Preset, Preset] | None = None
    turns: Turns = field(default_factory=Turns)
    visit: object = None
    id: str = field(default_factory=lambda: token_hex(4))

    def edit(self, path: str, content: Any) -> None:
        """Take one field's new content. Edits of two fields may come at the same time, from two threads."""
        with _EDITING:
            self._edit(path, content)

    def _edit(self, path: str, content: Any) -> None:
        self.edits += 1
        self.shown[path] = content
        self.faults.pop(path, None)
        self.offers = tuple(offer for offer in self.offers if offer.path != path)
        self.done, self.written = "", ()
        if path == TESTED:
            return
        before = value_at(self.preset, path)
        try:
            value = read(BY_PATH[path], content, before)
            if value != before or type(value) is not type(before):
                self.preset = with_values(self.preset, {path: value, **self._proof(path)})
                self.shown[TESTED] = self.preset.about.tested
        except Problems as error:
            self.faults[path] = list(error.problems)
            return
        if path == "optimizer.name":
            self.offers = of_optimizer(self.preset)

    def _proof(self, path: str) -> dict[str, str]:
        """A preset that a run has proved is unproved again once its recipe changes; people's own model, images and
        names are no part of the recipe."""
        own = (
            "about.",
            "model.",
            "saving.",
            "hardware.",
            "logging.",
            "dataset.folders",
            "validation.folder",
            "captions.trigger",
        )
        return {} if path.startswith(own) else {TESTED: Preset().about.tested}

    def replace(self, preset: Preset) -> None:
        """Show another preset: every field gets its value, nothing of before stays. `put_back` brings it back."""
        with _EDITING:
            self._keep()
            self.edits += 1
            self.preset = self.base = preset
            self.shown, self.faults, self.offers, self.done = fill(preset), {}, (), ""
            self.written, self.toml = (), ""

    def change(self, contents: Mapping[str, Any], done: str) -> None:
        """Put contents into fields as one deed that `put_back` takes back. `done`: the deed in words."""
        with _EDITING:
            self._keep()
            self.edits += 1
            self.shown, self.faults = dict(self.shown), dict(self.faults)
            for path, content in contents.items():
                if path in BY_PATH and path != TESTED:
                    self._edit(path, content)
            self.done = done

    def reset(self, paths: Sequence[str]) -> None:
        """Give fields the values of the preset that was loaded, or of the defaults."""
        known = [path for path in paths if path in BY_PATH]
        label = BY_PATH[known[0]].setting.label if len(known) == 1 else f"{len(known)} settings"
        contents = fill(self.base)
        self.change({path: contents[path] for path in known}, f"{label} reset")

    def _keep(self) -> None:
        self.before = (self.preset, self.shown, self.faults, self.base)

    def take_preset(self, preset: Preset, full: Preset, first: bool) -> list[str]:
        """Take over what a text says; returns the paths that it changes. `full`: this form's own preset, resolved,
        which the text showed. `first`: of a row of such changes, which `put_back` undoes together. Where the text
        still says what it showed before the first, the field keeps what it had, a rule that it follows above all."""
        with _EDITING:
            if first or self.typed_from is None:
                self.typed_from = (self.preset, full)
            own, shown = self.typed_from
            changes = {}
            for path in (item.path for item in ITEMS if item.path != TESTED):
                value = value_at(preset, path)
                value = value_at(own, path) if value == value_at(shown, path) else value
                if value != value_at(self.preset, path):
                    changes[path] = value
            if first:
                self._keep()
            self.shown, self.faults, self.done, self.written = dict(self.shown), dict(self.faults), "", ()
            self.edits += 1
            if changes:
                proof = [change for path in changes for change in self._proof(path).items()]
                self.preset = with_values(self.preset, {**_plain_rows(changes), **dict(proof)})
                now = fill(self.preset)
                self.shown = {**self.shown, **{path: now[path] for path in (*changes, TESTED)}}
            for path in changes:
                self.faults.pop(path, None)
            self.offers = tuple(offer for offer in self.offers if offer.path not in changes)
            return list(changes)

    def new_visit(self, visit: object) -> bool:
        """Whether a text comes from another visit to the TOML editor than the one before it."""
        before, self.visit = self.visit, visit
        return visit != before

    def put_back(self) -> None:
        """Undo the last `replace` or `change`; again, redo it."""
        with _EDITING:
            if self.before is not None:
                now = (self.preset, self.shown, self.faults, self.base)
                (self.preset, self.shown, self.faults, self.base), self.before = self.before, now
                self.edits, self.offers, self.done = self.edits + 1, (), ""
                self.written = ()

    def as_it_is(self) -> Draft:
        """The form between two edits: what an answer tells of it belongs together, with the number of edits that it
        knows of, though edits go on meanwhile."""
        with _EDITING:
            now = copy.copy(self)
            now.shown, now.faults = dict(self.shown), dict(self.faults)
            return now

    def open_again(self, context: Context) -> None:
        """In a session that the server forgot: go on from the form as it was last kept."""
        if not self.opened:
            self.__dict__.update(recall(context).__dict__)

    def take(self, shown: Mapping[str, Any]) -> Preset:
        """The preset that the whole form says, as it was sent. Problems lists every fault."""
        for path, content in shown.items():
            if content != self.shown.get(path) and path != TESTED:
                self.edit(path, content)
        return collect({**shown, TESTED: self.preset.about.tested}, self.preset)


def _plain_rows(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values with the rows of image folders as plain tables."""
    rows = {
        path: [{name: part for name, part in row if not isinstance(part, Rule)} for row in value]
        for path, value in changes.items()
        if path == "dataset.folders"
    }
    return {**changes, **rows}


def model_of(preset: Preset, root: Path) -> Recognised | None:
    """What the preset's model is, or None where it is missing or not understood."""
    path = absolute_paths(preset, root).model.path
    return _model_at(path, _changed(path)) if path else None


def family_of(preset: Preset, root: Path) -> Family:
    """The family of the preset's model; without one, that which the preset insists on, or the default one."""
    model, named = model_of(preset, root), preset.model.family
    if model is None and catalog.find("families", named):
        return by_name(named).suited(preset.model.prediction)
    return facts_of(model, preset.model.prediction)


def _changed(path: str) -> float:
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return 0.0


@functools.lru_cache(maxsize=64)
def _model_at(path: str, changed: float) -> Recognised | None:
    try:
        return recognise(path)
    except (Problems, OSError):  # half-typed paths: told by Check and Start
        return None


def resolved(preset: Preset, root: Path) -> Preset:
    """The preset as it would be saved: paths absolute, every rule replaced by its value."""
    return resolve(absolute_paths(preset, root), family_of(preset, root))


def remember(draft: Draft, context: Context) -> None:
    """Keep the form on disk, so that a closed browser or a restarted page loses nothing that was typed."""
    different = {path: content for path, content in draft.shown.items() if content != FIRST[path]}
    if draft.base != _DEFAULTS:
        different[_LOADED] = {path: content for path, content in fill(draft.base).items() if content != FIRST[path]}
    write_whole(user_folder(context) / "form.json", json.dumps(different, indent=1, ensure_ascii=False))


_DEFAULTS = Preset()
FIRST = fill(_DEFAULTS)
"""What each component holds where nothing was changed."""
_LOADED = "loaded"
"""Under this word the memory of the form holds the preset that was loaded last, in the same way."""


def recall(context: Context) -> Draft:
    """The form as it was left; the defaults where nothing readable was kept."""
    try:
        kept = json.loads((user_folder(context) / "form.json").read_text(encoding="utf-8"))
        base = _filled_in(kept.pop(_LOADED, {})).preset
        draft = _filled_in(kept)
    except (OSError, ValueError, AttributeError, TypeError):
        return Draft(opened=True)
    draft.offers, draft.base = (), base
    return draft


def _filled_in(kept: Mapping[str, Any]) -> Draft:
    draft = Draft(opened=True)
    for path, content in kept.items():
        if path in BY_PATH:
            draft.edit(path, content)
    if isinstance(proof := kept.get(TESTED), str):  # what was kept is what was proved: filling it in is no change
        draft.preset, draft.shown[TESTED] = with_values(draft.preset, {TESTED: proof}), proof
    return draft


def prepare(draft: Draft, shown: Mapping[str, Any], context: Context) -> Preset:
    """The resolved preset of a form as it was sent, checked as far as it can be without loading anything.

    Problems lists everything that is wrong, from all checks at once: what is no value, and with each such field at its
    last good value whatever else is in the way."""
    draft.open_again(context)
    faults: tuple[Problem, ...] = ()
    try:
        preset = draft.take(shown)
    except Problems as error:
        preset, faults = draft.preset, error.problems
    try:
        fit = examine(absolute_paths(preset, context.root), known=Known(context.machine.cache))[0]
    except Problems as error:
        told = {field_id(fault.path) for fault in faults}
        raise Problems([*faults, *(each for each in error.problems if field_id(each.path) not in told)]) from None
    if faults:
        raise Problems(faults)
    return fit
