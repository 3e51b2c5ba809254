"""From flags to what an importer gives back: the preset, what is carried along, and a line for each key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..preset import with_values
from ..settings import BY_PATH, Preset
from . import recipe
from .base import Fate, Imported, KeyReport, shown
from .flags import Flags, parser, typed
from .links import Link

_NOTHING = "; nothing to keep: it is off, or as sd-scripts has it anyway"
_NOT_KEPT = "; not kept: it is not handed on, or is a place on one computer"


@dataclass
class Translation:
    """A preset out of flags. `values`: what they said; `refused`: settings that could not have the value, with why;
    `clamped`: those that got the nearest one that they can have; `carried`: what an export gives back; `links`: the
    table that was used."""

    flags: Flags
    preset: Preset
    values: dict[str, Any]
    refused: dict[str, str] = field(default_factory=dict)
    clamped: dict[str, str] = field(default_factory=dict)
    carried: dict[str, str] = field(default_factory=dict)
    links: tuple[Link, ...] = recipe.LINKS

    def owners(self, path: str) -> list[str]:
        """The given flags that a setting's value came from."""
        link = next((link for link in self.links if path in link.paths), None)
        given = [flag for flag in link.flags if flag in self.flags] if link else []
        names = {name.strip() for name in BY_PATH[path].setting.kohya.split(",")}
        return [flag for flag in given if flag.removeprefix(recipe.MEMBER) in names] or given


def translate(
    flags: Flags,
    extra: Mapping[str, Any] | None = None,
    only_given: bool = False,
    over: Mapping[str, Any] | None = None,
) -> Translation:
    """The flags as a preset. `extra`: settings that something else says, `over`: those that it says better than the
    flags do; `only_given`: as in `settings_of`."""
    values = {**(extra or {}), **recipe.settings_of(flags, only_given=only_given), **(over or {})}
    preset, refused, clamped = recipe.fitting(values)
    carried = recipe.carried_of(flags)
    if flags.script not in ("", "train_network", "sdxl_train_network"):
        carried["script"] = flags.script
    if carried:
        preset = with_values(preset, {"about.carried": carried})
    return Translation(flags, preset, values, refused, clamped, carried)


def line(name: str, value: Any, flag: str, done: Translation, fate: Fate, reason: str) -> KeyReport:
    """What became of a key that stands for `flag`."""
    text = shown(name, value)
    idle = recipe.says_nothing(flag, typed(flag, value), parser(done.flags.script or "train_network"))
    if fate == "carried" and flag not in done.carried:
        return KeyReport(name, text, fate, "", reason + (_NOTHING if idle else _NOT_KEPT), idle=True)
    if fate != "mapped":
        return KeyReport(name, text, fate, "", reason, idle=idle and fate == "dropped")
    if flag in done.flags.refused:
        return KeyReport(name, text, "dropped", "", done.flags.refused[flag])
    paths = next((link.paths for link in done.links if flag in link.flags), ())
    mine = [path for path in paths if flag in done.owners(path)]
    bad = [f"{path}: {done.refused[path]}" for path in mine if path in done.refused]
    if bad:
        return KeyReport(name, text, "dropped", "", "; ".join(bad))
    changes = [done.clamped[path] for path in mine if path in done.clamped]
    change = "; ".join([*([done.flags.changed[flag]] if flag in done.flags.changed else []), *changes])
    return KeyReport(name, text, fate, ", ".join(_nearest(flag, paths)), change, bool(change))


def _nearest(flag: str, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Of a link's settings those that name the flag as their own; all where none does."""
    name = flag.removeprefix(recipe.MEMBER)
    own = [path for path in paths if name in re.split(r"[,\s]+", BY_PATH[path].setting.kohya)]
    return tuple(own) or paths


def assemble(kind: str, done: Translation, keys: Iterable[KeyReport], notes: Iterable[str]) -> Imported:
    """The whole answer. A key of several lines is said once."""
    lines = tuple(sorted(keys, key=lambda key: key.name.lower()))
    told = [f"{key.name} = {key.value}: {key.reason}." for key in lines if key.changed]
    left = tuple((key.name, key.value) for key in lines if key.fate != "mapped" and key.value not in ("", "False", "0"))
    taken = tuple(path for path in done.values if path not in done.refused)
    return Imported(done.preset, taken, (*notes, *told), left, kind, lines)
