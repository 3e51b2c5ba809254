"""A panel of the Dataset tab."""

from __future__ import annotations

from gui.shared import Shared
from gui.tabs.studio import Studio


def build(shared: Shared, studio: Studio) -> None:
    """Lay the panel out and wire it."""
