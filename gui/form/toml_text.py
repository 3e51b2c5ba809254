"""The preset as text that people edit: its own comments kept, the help put in and taken out, faults with their line.
No Gradio in here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trainer.contract.preset import describe_rule, dumps, help_lines, loads
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import BY_PATH, FORMAT, ITEMS, Preset

LARGEST = 200_000
"""Characters; a text beyond this is no preset."""

_SECTION = re.compile(r"^\s*\[\[?\s*([A-Za-z_.]+)\s*\]\]?")
_KEY = re.compile(r"^\s*([A-Za-z_][\w-]*)\s*=")
_HELP = frozenset(
    line
    for item in ITEMS
    for line in (
        *(f"# {line}" for line in help_lines(item)),
        f"# {item.name} = ({describe_rule(item.default)})",
    )
)


@dataclass(frozen=True)
class Fault:
    """What is wrong in a line of the text, counted from 1; 0 where no line can be named."""

    line: int
    why: str


def text_of(preset: Preset, comments: str = "", with_help: bool = False) -> str:
    """The preset as TOML. `comments`: an earlier text, whose own comments and order are kept."""
    bare = dumps(preset, comments if comments.strip() else f"format = {FORMAT}\n")
    return put_help(bare) if with_help else bare


def put_help(text: str) -> str:
    """The text with each setting's help above it."""
    lines: list[str] = []
    section = ""
    for line in text.split("\n"):
        found, key = _SECTION.match(line), _KEY.match(line)
        section = found[1] if found else section
        item = BY_PATH.get(f"{section}.{key[1]}") if key else None
        if found and found[1] in BY_PATH:
            item = BY_PATH[found[1]]
        if item is not None and not (found and lines and f"[[{found[1]}]]" in "\n".join(lines)):
            lines += [f"# {each}" for each in help_lines(item)]
        lines.append(line)
    return "\n".join(lines)


def take_help(text: str) -> str:
    """The text without what `put_help` put there."""
    return "\n".join(line for line in text.split("\n") if line.rstrip() not in _HELP)


def own_comments(text: str) -> str:
    """The text without help, where it holds comments of the user's own; "" where it holds none."""
    plain = take_help(text)
    return plain if any("#" in line and _outside_quotes(line) for line in plain.split("\n")) else ""


def _outside_quotes(line: str) -> bool:
    """Whether a # in the line begins a comment."""
    return "#" in re.sub(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'', "", line)


def read(text: str) -> tuple[Preset | None, list[Fault]]:
    """The preset that a text says, or None and what is wrong with it, line by line."""
    if len(text) > LARGEST:
        return None, [Fault(0, "this is too long for a preset")]
    try:
        return loads(text), []
    except Problems as error:
        faults = [_fault(problem, text) for problem in error.problems]
        return None, sorted(faults, key=lambda fault: fault.line)


_PLACE = re.compile(r"\(at line (\d+), column \d+\)")


def _fault(problem: Problem, text: str) -> Fault:
    found = _PLACE.search(problem.why)
    ending = f" – {problem.fix}" if problem.fix else ""
    if found:
        why = problem.why.replace(found[0], "").removeprefix("not readable as TOML: ").strip()
        return Fault(int(found[1]), why + ending)
    if "at end of document" in problem.why:
        return Fault(text.rstrip().count("\n") + 1, problem.why.removeprefix("not readable as TOML: ") + ending)
    return Fault(line_of(problem.path, text), f"{problem.path}: {problem.why}{ending}")


def line_of(path: str, text: str) -> int:
    """The line that sets `path` ("network.rank", "dataset.folders.path"), of its section where there is none, or 0."""
    section = path.rpartition(".")[0]
    now, heading = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        found, key = _SECTION.match(line), _KEY.match(line)
        if found:
            now = found[1]
            heading = heading or (number if now in (path, section) else 0)
        elif key and (f"{now}.{key[1]}" if now else key[1]) == path:
            return number
    return heading
