"""The one table put together, and what it does: flags -> preset, with what became of each.

`LINKS` says what a flag means here, `fates` why the others are carried along or dropped.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from ..preset import with_values
from ..problems import Problems
from ..settings import Preset
from . import fates, links_course, links_data, links_files, links_network, links_simple, loose
from .base import Fate, is_secret
from .flags import Flags, known, parser
from .links import Link, Values

LINKS: tuple[Link, ...] = (
    *links_course.MODEL,
    *links_simple.COURSE,
    *links_course.LENGTH,
    *links_course.SCHEDULE,
    *links_network.NETWORK,
    *links_simple.IMAGES,
    *links_data.IMAGES,
    *links_simple.CAPTIONS,
    *links_data.CAPTIONS,
    *links_simple.NOISE,
    *links_files.MEMORY,
    *links_files.FILES,
)
"""Every flag that a setting says, in both directions."""

PATHS: dict[str, tuple[str, ...]] = {flag: link.paths for link in LINKS for flag in link.flags}
"""Flag -> the settings that say it."""

MEMBER = "network_args."

_UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)


def fate_of(flag: str) -> tuple[Fate, str]:
    """What becomes of a flag, and why; a flag that is in no table is dropped with the closest name that is."""
    if flag in PATHS or flag == "network_args":
        return "mapped", ""
    if flag in fates.CARRIED:
        return "carried", fates.CARRIED[flag]
    if flag in fates.DROPPED:
        return "dropped", fates.DROPPED[flag]
    if is_secret(flag):
        return "dropped", "a secret: it is neither read nor kept"
    if flag.startswith(MEMBER):
        return "carried", "an argument of its network that is not known here"
    close = difflib.get_close_matches(flag, sorted({*known(), *PATHS}), 1, 0.7)
    return "dropped", "sd-scripts knows no such setting" + (f"; did you mean {close[0]}?" if close else "")


def members(given: Mapping[str, Any]) -> dict[str, Any]:
    """The flags with the members of `network_args` as flags of their own; it stays as it is where it has none."""
    if "network_args" not in given:
        return dict(given)
    try:
        found = {MEMBER + name: value for name, value in loose.pairs(given["network_args"]).items()}
    except ValueError:
        return dict(given)
    return {flag: value for flag, value in given.items() if flag != "network_args"} | found


def settings_of(flags: Flags, links: Sequence[Link] = LINKS, only_given: bool = False) -> Values:
    """What the flags say in our settings. A link that cannot read a value goes on with the defaults.
    `only_given`: links none of whose flags are given are left out."""
    values: Values = {}
    sound = flags
    for link in links:
        if only_given and not any(flag in flags for flag in link.flags):
            continue
        try:
            values |= link.read(sound)
        except _UNREADABLE as error:
            given = [flag for flag in link.flags if flag in flags]
            flags.refused |= dict.fromkeys(given, f"its value is not understood: {str(error)[:150]}")
            sound = sound.without(link.flags)
            values |= _again(link, sound)
    return {path: value for path, value in values.items() if value is not None}


def _again(link: Link, flags: Flags) -> Values:
    """What a link reads without its own flags; without all others too, where it looks at one that is none."""
    try:
        return link.read(flags)
    except _UNREADABLE:
        return link.read(flags.without(tuple(flags.given)))


def fitting(values: Mapping[str, Any]) -> tuple[Preset, dict[str, str], dict[str, str]]:
    """The preset with those values that settings can have. Also: why others cannot be had, and which numbers gave way
    to the nearest that is possible."""
    refused: dict[str, str] = {}
    clamped: dict[str, str] = {}
    wanted = dict(values)
    while True:
        try:
            return with_values(Preset(), wanted), refused, clamped
        except Problems as error:
            faults = [(problem, _place(problem.path, wanted)) for problem in error.problems]
            if not any(path for _, path in faults):  # a fault that names none of the settings: nothing is taken over
                why = "; ".join(problem.why for problem, _ in faults)[:200]
                return Preset(), {**refused, **dict.fromkeys(wanted, why)}, clamped
            for problem, path in faults:
                nearest = dict(problem.change).get(path)
                if path in wanted and nearest is not None and path not in clamped:
                    clamped[path] = f"{problem.why} ({problem.fix}): {nearest} is put there"[:200]
                    wanted[path] = nearest
                elif path in wanted:
                    clamped.pop(path, None)
                    refused[path] = f"{problem.why} ({problem.fix})"[:200] if problem.fix else problem.why[:200]
                    del wanted[path]


def _place(path: str, wanted: Mapping[str, Any]) -> str:
    """The setting that a fault is about: itself, or the one whose row or member it is in."""
    return next((name for name in wanted if path == name or path.startswith(f"{name}.")), "")


def carried_of(flags: Flags) -> dict[str, str]:
    """The flags that no setting says and an export gives back, where they are not at their defaults. What looks like a
    place on this computer is not kept: a preset is shared."""
    defaults = parser(flags.script or "train_network")
    kept: dict[str, str] = {}
    for flag, value in flags.given.items():
        if fate_of(flag)[0] != "carried" or isinstance(value, dict) or says_nothing(flag, value, defaults):
            continue
        text = value if isinstance(value, str) else repr(value)
        if len(text) <= 1000 and not is_place(text) and not is_secret(flag):
            kept[flag] = text
    return kept


def says_nothing(flag: str, value: Any, defaults: Mapping[str, Any]) -> bool:
    """Whether a value is empty, off, or what sd-scripts takes anyway."""
    if loose.is_empty(value) or value is False or value in ("False", "false", [], {}):
        return True
    default = defaults.get(flag, {}).get("default") if isinstance(defaults.get(flag), dict) else None
    return default is not None and str(value) == str(default)


def is_place(text: str) -> bool:
    """Whether a text is a path from the root of a computer."""
    return text.startswith(("/", "~", "\\")) or text[1:3] in (":\\", ":/")
