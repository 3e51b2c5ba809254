"""Numbers and names in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def count_of(number: int, thing: str) -> str:
    """`"1 image"`, `"3 images"`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def verb(things: Sequence[object], one: str, more: str) -> str:
    """`one` for a single thing."""
    return one if len(things) == 1 else more


def some_of(names: Sequence[str], most: int) -> str:
    """`"a.png, b.png"`; with ", ..." where there are more than `most`."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
