"""What the form says and finds of each setting in the browser: the texts of the "?" and the words that search finds."""

from __future__ import annotations

from typing import Any

from gui.form.fixes import field_id
from gui.form.values import choices, kind
from gui.help.glossary import TERMS
from trainer.contract import catalog
from trainer.contract.settings import ITEMS, Item

WORDS: dict[str, str] = {
    "training.length": "overfitting underfitting iterations max_train_epochs",
    "validation.stop": "overfitting",
    "validation.split": "overfitting holdout",
    "training.batch_size": "vram",
    "training.accumulate": "vram",
    "memory.gradient_checkpointing": "vram",
    "memory.attention": "vram",
    "memory.cache_latents": "vram",
    "memory.cache_text": "vram",
    "dataset.resolution": "vram size",
    "precision.base": "vram fp32 float32 half",
    "precision.compute": "vram fp32 float32 half mixed",
    "precision.save": "fp32 float32 half",
    "optimizer.weight_decay": "regularization regularisation overfitting",
    "network.dropout": "regularization regularisation",
    "optimizer.learning_rate": "lr",
    "schedule.name": "learning rate scheduler",
    "dataset.flip": "augmentation",
    "dataset.crop": "augmentation",
    "dataset.rotate": "augmentation",
    "dataset.jitter": "augmentation",
    "saving.every": "checkpoint",
}
"""Setting -> words that people look for and that its texts do not use."""


def help_texts() -> dict[str, dict[str, Any]]:
    """What the "?" of each field says, for page.js: field id -> label, help, range, choices, name in sd-scripts, path;
    and further words that find it."""
    return {
        field_id(item.path): {
            "label": item.setting.label,
            "help": item.help,
            "range": _range(item),
            "choices": _told_choices(item),
            "words": _words(item),
            "kohya": item.setting.kohya,
            "path": item.path,
        }
        for item in ITEMS
    }


def _words(item: Item) -> str:
    offered = choices(item) if kind(item) == "choice" else []
    glossary = [f"{term.name} {term.also}" for term in TERMS if item.path in term.settings[:1]]
    return " ".join([*offered, WORDS.get(item.path, ""), *glossary])


def _range(item: Item) -> str:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    bounds = [f"{word} {item.bound(kind)}" for kind, word in words.items() if item.bound(kind) is not None]
    return ", ".join(bounds) + (f" ({item.setting.unit})" if item.setting.unit and bounds else "")


def _told_choices(item: Item) -> list[tuple[str, str]]:
    """What the entries of a catalog are, in a sentence each."""
    entries = catalog.TABLES[item.setting.choices] if item.setting.choices else ()
    return [(entry.name, entry.help.split(". ")[0].rstrip(".")) for entry in entries]
