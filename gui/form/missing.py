"""What stands in the way of a start, as far as the form alone tells: looked up after each edit, so it must be cheap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gui.form.fixes import field_id
from trainer.contract.families import Recognised
from trainer.contract.families.recognise import is_hub_id
from trainer.contract.preset import absolute_paths
from trainer.contract.settings import BY_PATH, Preset
from trainer.plan.scan import check_folder


def missing(
    preset: Preset, full: Preset, model: Recognised | None, root: Path, problems: Iterable[str] | Mapping[str, Any]
) -> list[list[str]]:
    """Pairs of a field's id and its label, each once, in the order of the form. `problems`: ids of the fields that have
    one. What only reading images can tell is told by the plan, Check and Start."""
    wrong = set(problems)
    if _no_model(full, model):
        wrong.add(field_id("model.path"))
    rows = absolute_paths(preset, root).dataset.folders
    places = [row.path for row in rows]
    if preset.dataset.masks == "folders":
        places += [row.mask for row in rows if row.mask.strip()]
    if not rows or any(check_folder(place) for place in places):
        wrong.add(field_id("dataset.folders"))
    return [[field_id(path), item.setting.label] for path, item in BY_PATH.items() if field_id(path) in wrong]


def _no_model(full: Preset, model: Recognised | None) -> bool:
    path = full.model.path
    return not path or (model is None and not is_hub_id(path)) or (model is not None and not model.trained)
