"""The sample pictures of a report, embedded: before and after, and a strip of steps for each prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trainer.contract.events import Sampled
from trainer.contract.rundir import RunDir
from trainer.report import pictures
from trainer.report.embed import Embedder
from trainer.report.pictures import Picture
from trainer.report.view import RunView, drawn_step
from trainer.report.words import escape

MOST_PROMPTS, MOST_ROUNDS = 6, 8
PAIR_PX, SHOT_PX = 512, 320

Row = Iterable[tuple[str, Picture | None]]
"""Pictures with what stands under them."""


def count(view: RunView) -> int:
    """Pictures that a report will hold, at most."""
    prompts = min(MOST_PROMPTS, max((len(event.files) for event in view.samples), default=0))
    return prompts * (min(MOST_ROUNDS, len(view.samples)) + 2)


def before_after(run: RunDir, view: RunView, embedder: Embedder) -> str:
    """The first and the last picture of each prompt, side by side; "" where nothing was drawn twice."""
    found = pictures.before_after(view)
    if found is None:
        return ""
    remark = f'<p class="quiet">{escape(found.remark)}</p>' if found.remark else ""
    strips = [
        _strip(run, after, zip(found.names, (before, after)), embedder, PAIR_PX, "pair")
        for before, after in found.pairs[:MOST_PROMPTS]
    ]
    return f'{remark}<div class="pairs">{"".join(strips)}</div>'


def by_step(run: RunDir, view: RunView, embedder: Embedder) -> str:
    """A strip a prompt: how its picture changed; "" for fewer than three rounds, which stand side by side already."""
    rounds = chosen_rounds(view.samples)
    if len(rounds) < 3 and (len(rounds) < 1 or pictures.before_after(view) is not None):
        return ""
    shots = [(pictures.title(event), {(p.prompt, p.seed): p for p in pictures.pictures(event)}) for event in rounds]
    last = pictures.pictures(view.samples[-1])
    strips = []
    for one in last[:MOST_PROMPTS]:
        row = [(title, known.get((one.prompt, one.seed))) for title, known in shots]
        strips.append(_strip(run, one, row, embedder, SHOT_PX, ""))
    left = [f"{len(last) - MOST_PROMPTS} more prompts"] if len(last) > MOST_PROMPTS else []
    left += [f"{len(view.samples) - len(rounds)} rounds between these"] if len(view.samples) > len(rounds) else []
    rest = f'<p class="quiet">Not shown: {" and ".join(left)}; they are in the run folder.</p>' if left else ""
    return "".join(strips) + rest


def chosen_rounds(samples: Sequence[Sampled]) -> list[Sampled]:
    """The first, the last and some evenly between, by the step of their weights."""
    ordered = sorted(samples, key=drawn_step)
    if len(ordered) <= MOST_ROUNDS:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (MOST_ROUNDS - 1))] for i in range(MOST_ROUNDS)]


def _strip(run: RunDir, one: Picture, row: Row, embedder: Embedder, side_px: int, kind: str) -> str:
    """A prompt over its pictures."""
    shown = "".join(_shot(run, title, picture, embedder, side_px) for title, picture in row)
    seed = f" <small>seed {one.seed}</small>" if one.seed is not None else ""
    said = f"<p>{escape(one.prompt or '(empty prompt)')}{seed}</p>"
    wide = 300 if kind == "pair" else 190
    return f'<div class="strip">{said}<div class="shots {kind}" style="--wide:{wide}px">{shown}</div></div>'


def _shot(run: RunDir, title: str, picture: Picture | None, embedder: Embedder, side_px: int) -> str:
    path = run.inside(picture.file) if picture else None
    uri = embedder.uri(path, side_px) if path else ""
    alt = escape(f"{picture.prompt if picture else ''} ({title})")
    image = f'<img src="{uri}" alt="{alt}">' if uri else '<div class="none">no picture</div>'
    return f"<figure>{image}<figcaption>{escape(title)}</figcaption></figure>"
