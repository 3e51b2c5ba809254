"""HTML pieces of the page. Everything that comes from outside passes `escape`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gui.session import field_id, sentence
from trainer.contract.problems import Problem
from trainer.contract.settings import BY_PATH, Folder
from trainer.report.words import escape


def paragraph(text: str, kind: str = "quiet") -> str:
    """One line of text; `kind` is a class of page.css: quiet, good, bad."""
    return f'<p class="{kind}">{escape(text)}</p>'


def lines(texts: Iterable[str]) -> str:
    """A list of plain lines."""
    return '<ul class="lines">' + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def label_of(path: str) -> str:
    """What the form calls the setting at `path`."""
    item = BY_PATH.get(".".join(path.split(".")[:2]))
    return item.setting.label if item else path


def problem_list(problems: Sequence[Problem], heading: str = "") -> str:
    """Problems as a list; each names its setting by a button that leads to the field (page.js)."""
    rows = [f"<li>{_named(problem.path)} {escape(sentence(problem))}</li>" for problem in problems]
    count = "1 problem" if len(rows) == 1 else f"{len(rows)} problems"
    title = escape(heading or f"{count} to solve first")
    return f'<div class="problems" role="alert"><strong>{title}</strong><ul>{"".join(rows)}</ul></div>'


def _named(path: str) -> str:
    if path not in BY_PATH and path.removeprefix("dataset.folders.") not in Folder.model_fields:
        return f"<strong>{escape(path)}</strong>"  # no field to lead to
    return f'<button type="button" class="jump" data-jump="{escape(field_id(path))}">{escape(label_of(path))}</button>'


_LINE = re.compile(r"^(?P<key>[A-Za-z_][\w.-]*)(?P<is> = )(?P<value>.*)$")


def toml(text: str) -> str:
    """TOML with its comments, headings and keys marked for page.css."""
    rows = []
    for line in text.splitlines():
        found = _LINE.match(line)
        if line.startswith("#"):
            rows.append(f'<span class="c">{escape(line)}\n</span>')
        elif line.startswith("["):
            rows.append(f'<span class="s">{escape(line)}\n</span>')
        elif found:
            rows.append(f'<span class="k">{escape(found["key"])}</span> = {escape(found["value"])}\n')
        elif line.strip():
            rows.append(escape(line) + "\n")
        else:
            rows.append('<span class="b">\n</span>')
    return f'<pre class="toml" tabindex="0" aria-label="The preset as TOML">{"".join(rows)}</pre>'


def curve(points: Sequence[tuple[int, float]], peak: str) -> str:
    """The learning rate over the run: step -> share of the peak, as a small chart."""
    if len(points) < 2:
        return ""
    width, height, first, last = 360, 72, points[0][0], points[-1][0]
    top = max(1.0, max(factor for _, factor in points))
    places = " ".join(
        f"{(step - first) / (last - first) * width:.1f},{height - factor / top * height:.1f}" for step, factor in points
    )
    name = f"Learning rate over {last} steps, peak {peak}"
    return (
        f'<figure class="curve"><svg viewBox="0 -2 {width} {height + 4}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(name)}"><polyline points="{places}"/></svg>'
        f"<figcaption><span>{first}</span><span>{escape(name)}</span><span>{last}</span></figcaption></figure>"
    )


def command(line: str) -> str:
    """A command line with a button that copies it."""
    return (
        f'<p class="command"><code>{escape(line)}</code> '
        f'<button type="button" data-copy="{escape(line)}">copy</button></p>'
    )
