"""HTML pieces of the page. Everything that comes from outside passes `escape`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gui.form.fixes import attribute, field_id, fix_of, sentence
from trainer.contract.in_words import has_field, label_of
from trainer.contract.problems import Problem
from trainer.report.words import escape


def paragraph(text: str, kind: str = "quiet") -> str:
    """One line of text; `kind` is a class of page.css: quiet, good, bad."""
    return f'<p class="{kind}">{escape(text)}</p>'


def breakable(name: str) -> str:
    """A name of several words, which a narrow column may break behind its dots and underscores."""
    return re.sub(r"([._])(?=.)", r"\1<wbr>", escape(name))


def lines(texts: Iterable[str]) -> str:
    """A list of plain lines."""
    return '<ul class="lines">' + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def problem_list(problems: Sequence[Problem], heading: str = "") -> str:
    """Problems as a list; each names its setting by a button that leads to the field (page.js), and has the button that
    does what it advises where there is one (form.js)."""
    rows = [f"<li>{_named(each.path)} <span>{escape(sentence(each))}</span>{_fix(each)}</li>" for each in problems]
    count = "1 problem" if len(rows) == 1 else f"{len(rows)} problems"
    title = escape(heading or f"{count} to solve first")
    return f'<div class="problems" role="alert"><strong>{title}</strong><ul>{"".join(rows)}</ul></div>'


def _named(path: str) -> str:
    if not has_field(path):
        return f"<strong>{escape(path)}</strong>"  # no field to lead to
    return f'<button type="button" class="jump" data-jump="{escape(field_id(path))}">{escape(label_of(path))}</button>'


def _fix(problem: Problem) -> str:
    fix = fix_of(problem.path, problem.change)
    if fix is None:
        return ""
    return f' <button type="button" class="fix" data-change="{escape(attribute(fix))}">{escape(fix["label"])}</button>'


def command(line: str) -> str:
    """A command line with a button that copies it."""
    return (
        f'<p class="command"><code>{escape(line)}</code> '
        f'<button type="button" data-copy="{escape(line)}">copy</button></p>'
    )
