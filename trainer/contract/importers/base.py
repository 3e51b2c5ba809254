"""What an importer gives back."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import Preset


@dataclass(frozen=True)
class Imported:
    """A preset with what could be taken over. `taken`: the settings that were. `notes`: what is to be known in plain
    words. `left`: names and values that have no setting here, as they stood."""

    preset: Preset
    taken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()
