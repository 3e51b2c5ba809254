"""The settings of a run as a report lists them: what was chosen first, then what stayed at its default."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from trainer.contract.families import Family, default_family, recognise
from trainer.contract.families import of as facts_of
from trainer.contract.preset import describe_rule, usual_prompts, value_at
from trainer.contract.problems import Problems
from trainer.contract.settings import ITEMS, ByFamily, Folder, FromFolder, Item, Preset, Rule, SameAs, UsualPrompts
from trainer.report.charts import number


@dataclass(frozen=True)
class Row:
    """A setting as text; `changed`: it is not at its default."""

    path: str
    label: str
    value: str
    changed: bool


def rows(preset: Preset) -> list[Row]:
    """Every setting of a resolved preset, in the order of declaration; its texts about itself are left out."""
    family = _family(preset)
    listed = [item for item in ITEMS if item.section != "about"]
    return [_row(item, preset, family) for item in listed]


def _family(preset: Preset) -> Family:
    """The model's own, where its file is still there to be looked at."""
    with suppress(Problems, OSError, ValueError):
        return facts_of(recognise(preset.model.path), preset.model.prediction)
    return default_family()


def _row(item: Item, preset: Preset, family: Family) -> Row:
    value = value_at(preset, item.path)
    changed = not isinstance(value, Rule) and value != _default(item, preset, family)
    unit = f" {item.setting.unit}" if item.setting.unit and not isinstance(value, str) else ""
    return Row(item.path, item.setting.label, shown(value) + unit, changed)


def _default(item: Item, preset: Preset, family: Family) -> Any:
    """What the setting's default comes to in this preset; the value itself where it is no choice (a name from a
    folder)."""
    rule = item.default
    if isinstance(rule, SameAs):
        return value_at(preset, rule.path)
    by_kind: dict[type[Rule], Callable[[], Any]] = {
        ByFamily: lambda: family.defaults.get(item.path),
        UsualPrompts: lambda: usual_prompts(preset.captions.trigger),
        FromFolder: lambda: value_at(preset, item.path),
    }
    return by_kind[type(rule)]() if type(rule) in by_kind else rule


def shown(value: Any) -> str:
    """A value as people read it. Folders are counted, not named."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Rule):
        return describe_rule(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        if value and isinstance(value[0], Folder):
            return f"{len(value)} folder{'s' if len(value) > 1 else ''}"
        return "; ".join(str(part) for part in value) or "none"
    return str(value) if value not in ("", {}) else "empty"
