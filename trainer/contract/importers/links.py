"""How a link between flags and settings is declared, and the simple ones: one flag, one setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..preset import value_at
from ..settings import Preset, Rule
from . import loose
from .flags import Flags

Values = dict[str, Any]
"""Setting path, or flag -> value."""


@dataclass(frozen=True)
class Link:
    """Flags of sd-scripts and the settings that say the same, in both directions.

    `read`: flags -> settings (ValueError where a value is none). `write`: a resolved preset -> flags, None for one that
    is left out. `exact`: whether what is written is read back as it was."""

    flags: tuple[str, ...]
    paths: tuple[str, ...]
    read: Callable[[Flags], Values]
    write: Callable[[Preset], Values]
    exact: bool = True


def one(flag: str, path: str, kind: Callable[[Any], Any], empty: Any = None) -> Link:
    """A flag that means just what the setting does. `empty`: the setting's value where the flag says nothing."""

    def read(flags: Flags) -> Values:
        value = kind(flags[flag])
        return {path: empty if value is None or (empty is not None and value == "") else value}

    def write(preset: Preset) -> Values:
        value = value_at(preset, path)
        return {flag: None if isinstance(value, Rule) or (empty is not None and value == empty) else value}

    return Link((flag,), (path,), read, write)


def turned(flag: str, path: str) -> Link:
    """A switch that stands the other way round."""
    return Link(
        (flag,),
        (path,),
        lambda flags: {path: not loose.flag(flags[flag])},
        lambda preset: {flag: not value_at(preset, path)},
    )


def choice(flag: str, path: str, words: Mapping[Any, Any], otherwise: str = "") -> Link:
    """A flag whose words are others here. `words`: theirs -> ours, the first of several of theirs is written.
    `otherwise`: ours for words that are not in the table."""
    back = {ours: theirs for theirs, ours in reversed(list(words.items()))}

    def read(flags: Flags) -> Values:
        value = flags[flag] if not loose.is_empty(flags[flag]) else flags.without((flag,))[flag]
        given = loose.text(value).lower() if isinstance(value, str) else value
        if given in words:
            return {path: words[given]}
        if not otherwise:
            raise ValueError(f"{str(value)[:60]!r} is not offered here")
        flags.change(flag, f"{str(value)[:60]!r} is not offered here: {otherwise} is put there")
        return {path: otherwise}

    return Link((flag,), (path,), read, lambda preset: {flag: back.get(value_at(preset, path))})
