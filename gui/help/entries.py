"""The shapes of the Help tab's tables. Texts are whole sentences; settings are named by their paths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word of the glossary. `also`: other words by which it is looked for. `settings`: where it is set."""

    name: str
    text: str
    settings: tuple[str, ...] = ()
    also: str = ""


@dataclass(frozen=True)
class Advice:
    """One thing to try or to do. `tab`: title of the tab where it is done, where that is not the form."""

    text: str
    settings: tuple[str, ...] = ()
    tab: str = ""


@dataclass(frozen=True)
class Topic:
    """A symptom, a step of the recipe or a fancy option, with what to do, the first thing first."""

    title: str
    steps: tuple[Advice, ...]
    intro: str = ""
