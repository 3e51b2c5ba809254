"""The form: each setting's component, and the groups that the components stand in.

Which fields are seen is decided in the browser (page.js: tier, search), where it costs no round trip; every field is
always in the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from gui.form.fixes import field_id
from gui.form.session import TESTED
from gui.form.values import choices, fill, kind, number_text
from trainer.contract.settings import BY_PATH, ITEMS, Item, Preset, Rule

BASIC: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("model", "Model", ("model.path",)),
    ("images", "Images", ("dataset.folders", "captions.trigger", "saving.name", "dataset.resolution")),
    ("captions", "Captions", ("captions.mode", "captions.shuffle")),
    (
        "training",
        "Training",
        (
            "training.length",
            "training.batch_size",
            "optimizer.name",
            "optimizer.learning_rate",
            "schedule.name",
            "schedule.warmup",
            "network.rank",
            "network.alpha",
            "precision.compute",
            "validation.stop",
            "sampling.prompts",
        ),
    ),
)
"""The groups that every tier has: id, title, settings in their order."""

FIRST = {"g-model": 1, "g-images": 2}
"""The groups that are never folded, and their places on the way: the model, the images, then Start."""

FURTHER: dict[str, str] = {
    "model": "Model details",
    "dataset": "Images and buckets",
    "captions": "Caption details",
    "network": "Network",
    "training": "Steps and seed",
    "optimizer": "Optimizer",
    "schedule": "Learning-rate schedule",
    "noise": "Loss and noise",
    "precision": "Precision",
    "memory": "Memory and caches",
    "validation": "Validation",
    "sampling": "Sample pictures",
    "saving": "Saving",
    "hardware": "Hardware",
    "logging": "Logging",
    "about": "About this preset",
}
"""Section -> title of the group that holds its advanced and expert settings."""


@dataclass(frozen=True)
class Group:
    """A group of fields; `further` ones are seen in the higher tiers only."""

    id: str
    title: str
    paths: tuple[str, ...]
    further: bool = False

    @property
    def place(self) -> int:
        """1, 2 for what must be filled in, 0 for all that has good defaults."""
        return FIRST.get(self.id, 0)


def groups() -> list[Group]:
    """Every setting once: the basic groups, then a group a section with the rest."""
    basic = [Group(f"g-{id}", title, paths) for id, title, paths in BASIC]
    placed = {path for group in basic for path in group.paths}
    rest = [
        Group(f"g-more-{section}", title, tuple(i.path for i in ITEMS if i.section == section and i.path not in placed))
        for section, title in FURTHER.items()
    ]
    return basic + [Group(group.id, group.title, group.paths, further=True) for group in rest if group.paths]


def tier_of(group: Group) -> str:
    """The lowest tier in which the group has a field to show."""
    order = ("basic", "advanced", "expert")
    return min((BY_PATH[path].setting.tier for path in group.paths), key=order.index)


def build(before: Mapping[str, Callable[[], object]]) -> dict[str, gr.components.Component]:
    """Lay the groups out and return the component of each setting. `before`: what else is laid out, by the setting that
    it stands in front of."""
    shown = fill(Preset())
    fields: dict[str, gr.components.Component] = {}
    for group in groups():
        if group.id == "g-captions":
            gr.HTML(_ALL_FOLDS, elem_id="all-folds", js_on_load=None)
        classes = ["group", f"tier-{tier_of(group)}", "pinned" if group.place else "folded"]
        with gr.Column(elem_id=group.id, elem_classes=classes + (["further"] if group.further else [])):
            gr.HTML(_heading(group), elem_classes="group-title", js_on_load=None)
            with gr.Row(elem_classes="fields"):
                for path in group.paths:
                    if path in before:
                        before[path]()
                    fields[path] = component(BY_PATH[path], shown[path])
            if group.id == "g-images":
                gr.HTML('<div id="captions-choice"></div>', elem_id="captions-card", js_on_load=None)
    return fields


_ALL_FOLDS = (
    '<p><span>All below has defaults that work.</span> <button type="button" data-fold-all="0">Unfold all</button> '
    '<button type="button" data-fold-all="1">Fold all</button></p>'
)


def _heading(group: Group) -> str:
    """The group's title; a folded one says beside it what it holds and how much of it was changed (form.js)."""
    name = f'<span class="name">{group.title}</span>'
    if group.place:
        title = f'<h2><span class="way">{group.place}</span> {name}</h2>'
    else:
        title = f'<h2><button type="button" class="fold" aria-expanded="false">{name}</button></h2>'
    return f'{title}<span class="holds"></span><span class="marks"></span>'


def component(item: Item, shown: Any) -> gr.components.Component:
    """The component of one setting. No minimum or maximum: Gradio would answer those with a toast and call nothing."""
    common: dict[str, Any] = {
        "label": label(item),
        "elem_id": field_id(item.path),
        "elem_classes": ["field", f"tier-{item.setting.tier}", f"kind-{kind(item)}"],
        "min_width": 0,
    }
    return _MAKERS[kind(item)](item, shown, common)


def label(item: Item) -> str:
    """What stands over the field: the setting's label, with its unit."""
    return item.setting.label + (f" ({item.setting.unit})" if item.setting.unit else "")


def _placeholder(item: Item) -> str:
    if isinstance(item.default, Rule) or item.default in ("", [], {}):
        return _EXAMPLES.get(item.path, "")
    return number_text(item.default) if isinstance(item.default, float) else str(item.default)


_EXAMPLES = {
    "model.path": "a .safetensors file, a diffusers folder, or a hub id such as name/model",
    "captions.trigger": "a word that the model does not know yet",
    "optimizer.args": "betas = [0.9, 0.99]\neps = 1e-8",
    "network.args": "factor = 8",
    "network.block_ranks": "8, 8, 8 … a number a block",
    "network.down_rates": "cosine+0.25, or a number a block",
    "network.up_rates": "cosine+0.25, or a number a block",
    "model.adapters": "style.safetensors @ 0.8",
}


def _switch(item: Item, shown: Any, common: dict[str, Any]) -> gr.components.Component:
    return gr.Checkbox(value=shown, **common)


def _choice(item: Item, shown: Any, common: dict[str, Any]) -> gr.components.Component:
    options = [(text, text) for text in choices(item)]
    if isinstance(item.default, Rule):
        options.insert(0, ("automatic", ""))
    if len(options) <= 4 and not item.setting.choices and sum(len(text) for text, _ in options) < 48:
        return gr.Radio(options, value=shown, **common)
    free = bool(item.setting.choices)
    return gr.Dropdown(options, value=shown, allow_custom_value=free, filterable=free, **common)


def _whole(item: Item, shown: Any, common: dict[str, Any]) -> gr.components.Component:
    return gr.Number(value=shown, placeholder=_placeholder(item), **common)


def _decimal(item: Item, shown: Any, common: dict[str, Any]) -> gr.components.Component:
    common["html_attributes"] = gr.InputHTMLAttributes(spellcheck=False, autocorrect="off")
    return gr.Textbox(value=shown, placeholder=_placeholder(item), **common)


def _text(item: Item, shown: Any, common: dict[str, Any]) -> gr.components.Component:
    common["interactive"] = item.path != TESTED
    tall: dict[str, Any] = {"lines": 2, "max_lines": 6} if item.setting.widget == "text" else {"max_lines": 1}
    common["html_attributes"] = gr.InputHTMLAttributes(spellcheck=False, autocorrect="off", autocapitalize="off")
    return gr.Textbox(value=shown, placeholder=_placeholder(item), **tall, **common)


def _lines(item: Item, shown: Any, common: dict[str, Any]) -> gr.components.Component:
    return gr.Textbox(value=shown, placeholder=_placeholder(item), lines=3, max_lines=12, **common)


def _numbers(item: Item, shown: Any, common: dict[str, Any]) -> gr.components.Component:
    common["html_attributes"] = gr.InputHTMLAttributes(spellcheck=False, autocorrect="off")
    return gr.Textbox(value=shown, placeholder=_placeholder(item), lines=1, max_lines=4, **common)


def _rows(item: Item, shown: Any, common: dict[str, Any]) -> gr.components.Component:
    return gr.HTML(
        value=shown,
        label=common["label"],
        html_template='<div class="table-rows"></div>',
        js_on_load=f"window.loratory.tableRows('{kind(item)}', element, props, trigger, watch); /* 'input' */",
        elem_id=common["elem_id"],
        elem_classes=common["elem_classes"],
    )


_MAKERS = {
    "switch": _switch,
    "choice": _choice,
    "whole": _whole,
    "decimal": _decimal,
    "text": _text,
    "lines": _lines,
    "numbers": _numbers,
    "table": _lines,
    "folders": _rows,
    "rules": _rows,
}
