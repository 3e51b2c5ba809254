"""OneTrainer's configurations (JSON)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..settings import Preset
from .base import Imported

KIND = "OneTrainer configuration"


def is_one(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object is one of OneTrainer's."""
    return False


def from_json(content: Mapping[str, Any], beside: Path | None = None) -> Imported:
    """The recipe of a configuration."""
    return Imported(Preset(), kind=KIND)
