"""What an importer gives back, and what it says of each key of the file that it read."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from ..settings import Preset

Fate = Literal["mapped", "carried", "dropped"]
"""What becomes of a key: a setting says it here; or it is kept word for word so that an export gives it back; or it is
left out, for a reason."""

FATES: tuple[Fate, ...] = ("mapped", "carried", "dropped")

SECRET = re.compile(r"(^|[_.-])(token|api_?key|password|secrets?)$", re.IGNORECASE)
"""Names whose values are never shown nor kept."""

HIDDEN = "(a secret)"


@dataclass(frozen=True)
class KeyReport:
    """One key of a file. `setting`: where it went, several with commas between. `reason`: why it is carried or dropped,
    or how its value was `changed` on the way; "" for one that simply says the same here. `idle`: carried or dropped,
    and said nothing anyway: empty, off, or as that program has it without it."""

    name: str
    value: str
    fate: Fate
    setting: str = ""
    reason: str = ""
    changed: bool = False
    idle: bool = False


@dataclass(frozen=True)
class Imported:
    """A preset with what could be taken over. `taken`: the settings that were. `notes`: what is to be known in plain
    words. `left`: names and values that have no setting here, as they stood. `kind`: what the file was ("kohya_ss
    preset"). `keys`: every key of the file, each with what became of it."""

    preset: Preset
    taken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    kind: str = ""
    keys: tuple[KeyReport, ...] = ()

    @property
    def counts(self) -> dict[Fate, int]:
        """How many keys were mapped, carried and dropped."""
        found = Counter(key.fate for key in self.keys)
        return {fate: found[fate] for fate in FATES}

    @property
    def changed(self) -> tuple[KeyReport, ...]:
        """The keys that were taken over with another value than they had."""
        return tuple(key for key in self.keys if key.changed)


def is_secret(name: str) -> bool:
    """Whether a key's value must never be kept or shown."""
    return SECRET.search(name) is not None


def shown(name: str, value: object) -> str:
    """A value as a report shows it: cut, and without secrets."""
    if is_secret(name):
        return HIDDEN if value not in (None, "", False) else ""
    text = value if isinstance(value, str) else "" if value is None else repr(value)
    return text if len(text) <= 200 else text[:197] + "..."
