"""Sample prompts as Kohya's scripts write them: `a cat --n blurry --w 512 --h 768 --d 7 --s 25 --l 6.5`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

SIZE_MULTIPLE = 8
SEEDS = 2**32

_FLAG = re.compile(r"(?:^|\s)--(?P<flag>[A-Za-z]+)(?=\s|$)")


@dataclass(frozen=True)
class Prompt:
    """One picture to draw; sizes in pixels."""

    text: str
    negative: str = ""
    width: int = 512
    height: int = 512
    seed: int = 42
    steps: int = 25
    guidance: float = 7.5


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError(f"must be {low} to {high}")
        return number

    return read


def _side(text: str) -> int:
    pixels = _whole(64, 4096)(text)
    if pixels % SIZE_MULTIPLE:
        raise ValueError(f"must be a multiple of {SIZE_MULTIPLE}")
    return pixels


def _guidance(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and 0 <= number <= 50):
        raise ValueError("must be 0 to 50")
    return number


_FLAGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "n": ("negative", str),
    "w": ("width", _side),
    "h": ("height", _side),
    "d": ("seed", _whole(0, SEEDS - 1)),
    "s": ("steps", _whole(1, 500)),
    "l": ("guidance", _guidance),
}
"""Kohya's flag letter -> field of `Prompt` and how its text is read."""


def parse_prompt(line: str, usual: Prompt) -> tuple[Prompt, list[str]]:
    """A line with flags -> (prompt, what was wrong with it). What is not said, or is wrong, is taken from `usual`.

    A value reaches to the next flag, so a negative prompt may hold spaces. Letters that Kohya's scripts know and we do
    not are reported and left out of the text."""
    marks = list(_FLAG.finditer(line))
    text = line[: marks[0].start()] if marks else line
    prompt, faults = replace(usual, text=text.strip()), []
    for i, mark in enumerate(marks):
        end = marks[i + 1].start() if i + 1 < len(marks) else len(line)
        value, flag = line[mark.end() : end].strip(), mark["flag"]
        if flag.lower() not in _FLAGS:
            faults.append(f"--{flag} is not known here (known: {' '.join('--' + known for known in _FLAGS)})")
            continue
        name, read = _FLAGS[flag.lower()]
        try:
            prompt = replace(prompt, **{name: read(value)})
        except ValueError as error:
            why = str(error) if str(error).startswith("must") else "is not a number"
            faults.append(f"--{flag} {value}: {why}; {getattr(usual, name)} is used")
    return prompt, faults


def parse_prompts(lines: Sequence[str], usual: Prompt) -> tuple[list[Prompt], list[str]]:
    """Lines -> (prompts, faults with the line's number). Empty lines and lines that start with # are skipped; the seed
    counts up from the usual one where a prompt brings none."""
    prompts: list[Prompt] = []
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        seed = (usual.seed + len(prompts)) % SEEDS
        prompt, wrong = parse_prompt(line, replace(usual, seed=seed))
        prompts.append(prompt)
        faults += [f"prompt {number}: {fault}" for fault in wrong]
    return prompts, faults


def read_prompts(file: str, lines: Sequence[str], usual: Prompt) -> tuple[list[Prompt], list[str]]:
    """The prompts of `file`, read anew, or where it is "" those of `lines`. A file that cannot be read now gives no
    prompts and one fault: it may be in the middle of an edit."""
    if not file:
        return parse_prompts(lines, usual)
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"the prompt file {file} cannot be read: {error}"]
    return parse_prompts(text.splitlines(), usual)
