"""A run's sample pictures by prompt and step as HTML; a click lays any two of them over each other (`web/runs.js`)."""

from __future__ import annotations

from collections.abc import Sequence

from gui.runs.panels import file_url, fold
from trainer.contract.events import Sampled
from trainer.contract.rundir import RunDir
from trainer.plan import recipes
from trainer.report import pictures
from trainer.report.view import RunView, drawn_step
from trainer.report.words import escape

SHOWN_ROUNDS = 12
"""Rounds of samples that are open; the ones between them and the first are folded away."""

MOST_FOLDED = 100
"""Rounds that are folded away, and rounds of own prompts, evenly spread where there are more: a page that is told all
of thousands again at each new one grows slow."""

NONE = '<p class="quiet">No samples yet. What is drawn, and how often, is set in the Sampling group of the form.</p>'


def samples(run: RunDir, view: RunView) -> str:
    """A row a step, newest first, with a column a prompt; the first round stays in sight for comparison."""
    newest = sorted(view.samples, key=drawn_step, reverse=True)
    if not newest and not view.asked:
        return NONE
    asked = _asked(run, view.asked)
    prompts = [one.prompt for one in pictures.pictures(newest[0])] if newest else []
    alike = all([one.prompt for one in pictures.pictures(event)] == prompts for event in newest)
    kind = "by-prompt" if alike and prompts else "as-they-come"
    between = newest[SHOWN_ROUNDS - 1 : -1]
    first = newest[: SHOWN_ROUNDS - 1] if between else newest
    shown = "".join(_round(run, event) for event in first)
    if between:
        told = f"{len(between)} earlier rounds"
        if len(between) > MOST_FOLDED:
            told += f", {MOST_FOLDED} of them here (all lie in the run's folder, in samples/)"
        folded = fold("rounds", told, "".join(_round(run, event) for event in _spread(between)))
        shown += folded + _round(run, newest[-1])
    head = _prompts(prompts) if kind == "by-prompt" else ""
    if newest:
        shown = f'<div class="rounds {kind}" style="--prompts:{max(1, len(prompts))}">{head}{shown}</div>'
    return asked + shown


def _spread(rounds: Sequence[Sampled]) -> Sequence[Sampled]:
    """The first, the last and as many between as may be shown, evenly."""
    if len(rounds) <= MOST_FOLDED:
        return rounds
    return [rounds[round(place * (len(rounds) - 1) / (MOST_FOLDED - 1))] for place in range(MOST_FOLDED)]


def _prompts(prompts: Sequence[str]) -> str:
    """The prompts over their columns."""
    cells = "".join(
        f'<span title="{escape(text)}" translate="no">{escape(text or "(empty prompt)")}</span>' for text in prompts
    )
    return f'<div class="prompts"><span></span>{cells}</div>'


def _round(run: RunDir, event: Sampled) -> str:
    head = pictures.title(event)
    shown = "".join(_sample(run, one, head) for one in pictures.pictures(event))
    key = f"round-{drawn_step(event)}"
    return (
        f'<section class="round" data-key="{key}"><h3>{escape(head)}</h3><div class="pictures">{shown}</div></section>'
    )


def _asked(run: RunDir, events: Sequence[Sampled]) -> str:
    if not events:
        return ""
    shown = "".join(
        _sample(run, one, f"asked for at step {event.step}", named=True)
        for event in _spread(events[::-1])
        for one in pictures.pictures(event)
    )
    more = ""
    if len(events) > MOST_FOLDED:
        told = f"{MOST_FOLDED} of {len(events)} rounds are here (all lie in the run's folder, in samples/)."
        more = f'<p class="quiet">{escape(told)}</p>'
    return f'<section class="asked"><h3>Prompts of your own</h3>{more}<div class="pictures">{shown}</div></section>'


def _sample(run: RunDir, one: pictures.Picture, when: str, named: bool = False) -> str:
    seed = f"seed {one.seed}" if one.seed is not None else ""
    note = ", ".join(filter(None, [when if named else "", seed]))
    return picture(run, one.file, one.prompt, note, elsewhere(one), when)


def elsewhere(one: pictures.Picture) -> str:
    """What draws a picture in another program, folded, with a button that copies it."""
    if not one.recipe:
        return ""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in recipes.rows(one.recipe))
    text = recipes.a1111_text(one.prompt, one.recipe)
    button = f'<button type="button" class="copy" data-copy="{escape(text)}">copy</button>'
    body = f"<p>As A1111 reads it, and ComfyUI where the PNG is dropped: {button}</p><dl>{rows}</dl>"
    return fold(one.file, "draw it elsewhere", f'<div class="elsewhere">{body}<p>{escape(recipes.ALIKE)}</p></div>')


def picture(run: RunDir, file: str, prompt: str, note: str = "", more: str = "", when: str = "") -> str:
    """One picture with its prompt; a click opens it, beside any other. A file outside the run folder is not shown.
    `more`: HTML below the prompt. `when`: what tells it from other pictures of the same prompt."""
    path = run.inside(file)
    if path is None:
        return ""
    url, said = escape(file_url(path)), escape(prompt or "(empty prompt)")
    small = f"<small>{escape(note)}</small>" if note else ""
    return (
        f'<figure class="picture" data-key="{escape(run.id)}/{escape(file)}">'
        f'<a href="{url}" target="_blank" rel="noopener" data-when="{escape(when or note)}" data-prompt="{said}">'
        f'<img src="{url}" alt="{said}" loading="lazy" decoding="async" translate="no"></a>'
        f'<figcaption title="{said}" translate="no"><span>{said}</span>{small}</figcaption>{more}</figure>'
    )
