"""Captions: where each image's text comes from, and what is shown of it at one look.

Order: line -> wildcards -> tags (kept ones, warmup, shuffle, tag dropout) -> prefix and suffix -> trigger word first.
Whole-caption dropout stands in `draws`: it only needs the empty caption beside the others. It differs from sd-scripts
where that spoils captions: prefix and suffix are never shuffled, and tags are joined with the separator that split
them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainer.contract.problems import Problem
from trainer.contract.settings import Captions as Rules

from .headers import read_bytes
from .scan import ImageFile

Origin = Literal["file", "fallback", "folder", "trigger", "none"]
"""Where a text came from; "fallback": a caption file was wanted and is missing."""


@dataclass(frozen=True)
class Source:
    """The text of one image before anything is drawn: the lines of its file that are not blank, and its trigger."""

    lines: tuple[str, ...]
    trigger: str
    origin: Origin

    def varies(self, rules: Rules) -> bool:
        """Whether two looks may show different texts."""
        if self.origin != "file" or not self.lines:
            return False
        several_lines = rules.lines == "one at random" and len(self.lines) > 1
        return several_lines or _cuts_tags(rules) or (rules.wildcards and any("{" in line for line in self.lines))


def varies(rules: Rules) -> bool:
    """Whether captions may change from look to look (other than being dropped whole)."""
    return rules.mode == "files" and (_cuts_tags(rules) or rules.wildcards or rules.lines == "one at random")


def _cuts_tags(rules: Rules) -> bool:
    return rules.shuffle or rules.tag_dropout > 0 or rules.tag_warmup > 0


def read_sources(
    images: Sequence[ImageFile], rules: Rules, triggers: Sequence[str]
) -> tuple[list[Source], list[Problem]]:
    """The text of every image. `triggers`: the trigger word of each folder row."""
    sources, wrong = [], []
    for image in images:
        trigger = triggers[image.folder].strip()
        try:
            sources.append(_read(image, rules, trigger))
        except UnicodeDecodeError:
            wrong.append(image.caption_file or image.path)
    return sources, [_not_utf8(wrong)] if wrong else []


def _read(image: ImageFile, rules: Rules, trigger: str) -> Source:
    if rules.mode == "none":
        return Source((), "", "none")
    if rules.mode == "trigger word":
        return Source((), trigger, "trigger")
    if rules.mode == "folder name":
        return Source((image.class_name,), trigger, "folder")
    if image.caption_file is None:
        return Source((), trigger, "fallback")
    return Source(tuple(read_lines(image.caption_file)), trigger, "file")


def read_lines(path: Path) -> list[str]:
    """The lines of a caption file that are not blank; UTF-8 with or without BOM, any line ends. UnicodeDecodeError."""
    text = read_bytes(str(path)).decode("utf-8-sig")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _not_utf8(files: Sequence[Path]) -> Problem:
    shown = ", ".join(str(path) for path in files[:5]) + (", ..." if len(files) > 5 else "")
    what = "a caption file is" if len(files) == 1 else f"{len(files)} caption files are"
    return Problem(
        "captions.mode", f"{what} not UTF-8 text: {shown}", "save as UTF-8 (Notepad: Save as, Encoding)", "data"
    )


def compose(source: Source, rules: Rules, dice: random.Random | None = None, progress: float = 1.0) -> str:
    """The caption of one look. Without `dice` the plain form: first line, first choice of wildcards, all tags in order.

    `progress`: share of the run that is done, for the tag warmup."""
    if source.origin == "none":
        return ""
    text = _line(source.lines, rules, dice)
    if source.origin == "file":
        text = expand_wildcards(text, dice) if rules.wildcards else text
        text = _without_tag(text, source.trigger, rules.separator)
        text = _tags(text, rules, dice, progress)
    text = _glued(_glued(rules.prefix.strip(), text), rules.suffix.strip())
    return _with_trigger(source.trigger, text, rules.separator)


def _line(lines: Sequence[str], rules: Rules, dice: random.Random | None) -> str:
    if not lines:
        return ""
    if rules.lines == "all":
        joint = joiner(rules.separator)
        ended = [line if line[-1] in ".!?;:" else line.removesuffix(rules.separator).rstrip() + joint for line in lines]
        return " ".join(part.strip() for part in ended[:-1] + [lines[-1]])
    if rules.lines == "one at random" and dice is not None:
        return lines[int(dice.random() * len(lines))]
    return lines[0]


_CHOICE = re.compile(r"\{([^{}]*)\}")
_OPEN, _CLOSE = "\ue000", "\ue001"  # private-use characters stand for {{ and }} meanwhile


def expand_wildcards(text: str, dice: random.Random | None) -> str:
    """`{a|b|c}` -> one of them, innermost first; `{{` and `}}` -> plain braces. Without dice the first choice."""
    text = _escaped(text)

    def chosen(found: re.Match[str]) -> str:
        choices = found[1].split("|")
        return choices[int(dice.random() * len(choices))] if dice else choices[0]

    while _CHOICE.search(text):
        text = _CHOICE.sub(chosen, text)
    return text.replace(_OPEN, "{").replace(_CLOSE, "}")


def _escaped(text: str) -> str:
    """Doubled braces outside of a choice set apart; inside one, `}}` closes two choices."""
    depth, at, parts = 0, 0, []
    while at < len(text):
        pair = text[at : at + 2] if depth == 0 else ""
        if pair in ("{{", "}}"):
            parts.append(_OPEN if pair == "{{" else _CLOSE)
            at += 2
            continue
        depth = max(0, depth + (text[at] == "{") - (text[at] == "}"))
        parts.append(text[at])
        at += 1
    return "".join(parts)


def joiner(separator: str) -> str:
    """What is written between tags: the separator and a blank, unless it is or ends in one."""
    return separator if separator[-1:].isspace() else f"{separator} "


def _without_tag(text: str, tag: str, separator: str) -> str:
    """The trigger word is put first anyway: as a tag of its own it goes, so that it does not stand there twice."""
    parts = text.split(separator)
    kept = [part for part in parts if part.strip().lower() != tag.lower()]
    return separator.join(kept).strip() if tag and len(kept) < len(parts) else text


def _tags(text: str, rules: Rules, dice: random.Random | None, progress: float) -> str:
    """Kept tags, then the others warmed up, shuffled and thinned out, then the kept ending."""
    marks = [mark for mark in (rules.keep_separator, rules.secondary_separator) if mark and mark in text]
    changes = dice is not None and _cuts_tags(rules)
    if not changes and not marks:
        return text
    fixed, free, ending = _split(text, rules)
    if dice is not None and changes:
        free = _drawn(free, rules, dice, progress)
    joint = joiner(rules.separator)
    whole = joint.join([*fixed, *free, *ending])
    return whole.replace(rules.secondary_separator, joint) if rules.secondary_separator else whole


def _split(text: str, rules: Rules) -> tuple[list[str], list[str], list[str]]:
    mark = rules.keep_separator
    if mark and mark in text:
        head, _, rest = text.partition(mark)
        middle, _, tail = rest.partition(mark)
        return _cut(head, rules), _cut(middle, rules), _cut(tail, rules)
    tags = _cut(text, rules)
    return tags[: rules.keep_tokens], tags[rules.keep_tokens :], []


def _cut(text: str, rules: Rules) -> list[str]:
    tags = [tag.strip() for tag in text.split(rules.separator)]
    if rules.secondary_separator:
        mark = rules.secondary_separator
        tags = [mark.join(part.strip() for part in tag.split(mark) if part.strip()) for tag in tags]
    return [tag for tag in tags if tag]


def _drawn(tags: list[str], rules: Rules, dice: random.Random, progress: float) -> list[str]:
    if rules.tag_warmup > 0 and progress < rules.tag_warmup / 100:
        grown = progress / (rules.tag_warmup / 100) * (len(tags) - rules.tag_warmup_min)
        tags = tags[: rules.tag_warmup_min + max(int(grown), 0)]
    if rules.shuffle:
        tags = [tag for _, _, tag in sorted((dice.random(), place, tag) for place, tag in enumerate(tags))]
    if rules.tag_dropout > 0:
        tags = [tag for tag in tags if dice.random() >= rules.tag_dropout]
    return tags


def _glued(first: str, second: str) -> str:
    """Two pieces with a blank between them, none before punctuation."""
    if not first or not second:
        return first or second
    return first + second if second[0] in ",.;:!?" else f"{first} {second}"


def _with_trigger(trigger: str, text: str, separator: str) -> str:
    """The trigger word, then the text; a text that begins with it stays as it is."""
    if not trigger or re.match(re.escape(trigger) + r"(?!\w)", text, re.IGNORECASE):
        return text
    return f"{trigger}{joiner(separator)}{text}" if text else trigger
