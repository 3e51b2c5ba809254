"""Values as other programs write them: numbers as text, "" and null for nothing, "True" for true, lists as words.

Every reader raises ValueError for what it cannot read; `None` always means "not given".
"""

from __future__ import annotations

import ast
import math
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

EMPTY = (None, "", "None", "none", "null")
"""What stands for "nothing" in these files."""


def is_empty(value: Any) -> bool:
    """Whether a value says nothing."""
    return value is None or (isinstance(value, str) and (not value.strip() or value.strip() in EMPTY))


def number(value: Any) -> float | None:
    """A finite number, given as one or as text ("5e-5"); None for nothing."""
    if is_empty(value):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is no number")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{str(value)[:60]!r} is no number") from None
    if not math.isfinite(found):
        raise ValueError(f"{str(value)[:60]!r} is no finite number")
    return found


def whole(value: Any) -> int | None:
    """A whole number ("3", 3.0); a fraction is cut, as Python's int() does in those programs."""
    found = number(value)
    return None if found is None else int(found)


def said_as(kind: str, value: Any) -> Any:
    """A text as the "number" or truth value ("flag") that it says, whole where it is written so ("75" -> 75); one that
    says none, or nothing, stays as it is, and so does what is no text."""
    if not isinstance(value, str) or is_empty(value):
        return value
    try:
        found = flag(value) if kind == "flag" else number(value)
    except ValueError:
        return value
    return int(found) if isinstance(found, float) and found.is_integer() and "." not in value else found


def flag(value: Any) -> bool:
    """Yes or no: true, "True", 1, "yes"; nothing is no."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("true", "yes", "on", "1"):
            return True
        if word in ("", "false", "no", "off", "0", "none", "null"):
            return False
        raise ValueError(f"{value[:60]!r} is neither yes nor no")
    if value is None or isinstance(value, (bool, int, float)):
        return bool(value)
    raise ValueError("it is neither yes nor no")


def quiet_flag(value: Any) -> bool:
    """Yes or no; what is neither is no."""
    try:
        return flag(value)
    except ValueError:
        return False


def text(value: Any) -> str:
    """Text without blanks around it; "" for nothing. A list or a table is no text."""
    if value is None:
        return ""
    if isinstance(value, (bool, int, float, str)):
        return str(value).strip()
    raise ValueError("a list or table stands where a text is wanted")


def words(value: Any) -> list[str]:
    """A list of words: a list as it is, or a text cut at blanks, quotes kept together."""
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return [text(item) for item in value]
    return split_words(text(value))


def split_words(line: str) -> list[str]:
    """A command line's words; unbalanced quotes and backslashes of Windows paths are taken as they stand."""
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
        lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
        return list(lexer)
    except ValueError:
        return line.replace('"', " ").replace("'", " ").split()


def plain(value: str) -> Any:
    """The number, truth value or list that a text says, or the text: "0.9,0.99" -> (0.9, 0.99)."""
    if value.strip().lower() in ("true", "false"):  # as JSON and shells write them, which Python does not read
        return flag(value)
    try:
        found = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value.strip()
    simple = (bool, int, float, str, type(None))
    if isinstance(found, simple):
        return value if isinstance(found, float) and not math.isfinite(found) else found
    if isinstance(found, (list, tuple)) and all(isinstance(item, simple) for item in found):
        return list(found)
    return value.strip()


def pairs(value: Any) -> dict[str, str]:
    """`key=value` words -> a table, both as text; a table stays one. What has no = is left out."""
    if isinstance(value, Mapping):
        return {text(name): text(item) for name, item in value.items() if not is_empty(item)}
    found: dict[str, str] = {}
    for word in words(value):
        name, equals, item = word.partition("=")
        if equals and name.strip():
            found[name.strip()] = item.strip().strip("\"'")
    return found


def numbers(value: Any) -> list[float]:
    """A list of numbers, given as one or as text with commas between."""
    if is_empty(value):
        return []
    items: Iterable[Any] = value if isinstance(value, (list, tuple)) else str(value).strip("[]() ").split(",")
    found = [number(item) for item in items if not is_empty(item)]
    return [item for item in found if item is not None]


def command_line(line: str) -> dict[str, Any]:
    """`--a 1 --b=2 --c` -> {"a": "1", "b": "2", "c": True}; several words behind a name become a list."""
    found: dict[str, Any] = {}
    name = ""
    for word in split_words(line):
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            found[name] = value if equals else True
        elif name:
            before = found[name]
            found[name] = word if before is True else [*(before if isinstance(before, list) else [before]), word]
    return found
