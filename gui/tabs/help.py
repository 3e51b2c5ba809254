"""The Help tab: what to change by symptom, the recipe, the glossary, and the settings reference; one search for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import gradio as gr

from gui.form.fixes import field_id
from gui.help.entries import Advice, Term, Topic
from gui.help.glossary import TERMS
from gui.help.recipe import BASELINE, RECIPE
from gui.help.symptoms import SYMPTOMS
from gui.shared import QUIET, TOLD_LATEST, Shared
from gui.text import label_of, paragraph
from trainer.contract.reference import allowed, default_text
from trainer.contract.settings import ITEMS, Item
from trainer.report.words import escape

PARTS: tuple[tuple[str, str], ...] = (
    ("symptoms", "What should I change?"),
    ("recipe", "How to go about it"),
    ("baseline", "Baseline first"),
    ("glossary", "Glossary"),
    ("settings", "All settings"),
)
"""Id and heading of the parts, in order."""


_OPENED = "window.loratory.help(element, () => trigger('open'));"
"""The text is as large as a tenth of the page, and is sent once somebody looks at it."""


def build(shared: Shared) -> None:
    """Lay the tab out."""
    with gr.Column(elem_classes="sheet", elem_id="reference-card"):
        words = gr.Textbox(
            placeholder="A word: warmup, network_dim, overfitting …",
            label="Search the help",
            elem_id="reference-search",
            max_lines=1,
        )
        found = gr.HTML("<p>…</p>", elem_id="reference", js_on_load=_OPENED)
    found.open(lambda: reference(""), None, found, **QUIET)  # type: ignore[attr-defined]
    words.input(reference, words, found, **TOLD_LATEST)


def reference(words: str) -> str:
    """All that holds every word, in each part, as HTML; parts without any are left out."""
    wanted = str(words or "").lower().split()

    def fits(text: str) -> bool:
        return all(word in text.lower() for word in wanted)

    bodies = {
        "symptoms": _topics(SYMPTOMS, fits, bool(wanted)),
        "recipe": _topics(RECIPE, fits, bool(wanted)),
        "baseline": _topics(BASELINE, fits, bool(wanted), opened=True),
        "glossary": _terms(term for term in TERMS if fits(f"{term.name} {term.also} {term.text}")),
        "settings": "".join(_entry(item) for item in ITEMS if fits(_haystack(item))),
    }
    if not any(bodies.values()):
        return paragraph("Nothing says that. Try another word for it.")
    return _contents(bodies) + "".join(_part(id, title, bodies[id]) for id, title in PARTS if bodies[id])


def _contents(bodies: dict[str, str]) -> str:
    links = "".join(
        f'<li><button type="button" class="jump" data-part="{id}">{escape(title)}</button></li>'
        for id, title in PARTS
        if bodies[id]
    )
    return f'<nav aria-label="Parts of the help"><ul class="help-parts">{links}</ul></nav>'


def _part(id: str, title: str, body: str) -> str:
    return f'<section id="help-{id}" tabindex="-1"><h2>{escape(title)}</h2>{body}</section>'


def _topics(topics: Sequence[Topic], fits: Callable[[str], bool], searched: bool, opened: bool = False) -> str:
    found = [topic for topic in topics if fits(_said(topic))]
    return "".join(_topic(topic, opened or searched) for topic in found)


def _said(topic: Topic) -> str:
    return " ".join([topic.title, topic.intro, *(step.text for step in topic.steps)])


def _topic(topic: Topic, opened: bool) -> str:
    steps = "".join(f"<li><span>{escape(step.text)}</span> {_links(step)}</li>" for step in topic.steps)
    intro = f"<p>{escape(topic.intro)}</p>" if topic.intro else ""
    kind = "ol" if len(topic.steps) > 1 else "ul"
    return (
        f'<details class="topic"{" open" if opened else ""}><summary>{escape(topic.title)}</summary>'
        f"{intro}<{kind}>{steps}</{kind}></details>"
    )


def _links(step: Advice) -> str:
    tab = f'<button type="button" class="jump" data-tab="{escape(step.tab)}">{escape(step.tab)}</button>'
    return _jumps(step.settings) + (f" {tab}" if step.tab else "")


def _jumps(settings: Iterable[str]) -> str:
    return " ".join(
        f'<button type="button" class="jump" data-jump="{escape(field_id(path))}">{escape(label_of(path))}</button>'
        for path in settings
    )


def _terms(terms: Iterable[Term]) -> str:
    rows = "".join(
        f"<dt>{escape(term.name)}</dt><dd><p>{escape(term.text)}</p>{_jumps(term.settings)}</dd>" for term in terms
    )
    return f'<dl class="glossary">{rows}</dl>' if rows else ""


def _haystack(item: Item) -> str:
    return f"{item.path} {item.setting.label} {item.setting.kohya} {item.help}"


def _entry(item: Item) -> str:
    facts = [
        f'<code translate="no">{escape(item.path)}</code>',
        f"<span>default: {escape(default_text(item.default))}</span>",
    ]
    if said := allowed(item):
        facts.append(f"<span>{escape(said)}</span>")
    if item.setting.kohya:
        facts.append(f'<span translate="no">sd-scripts: <code>{escape(item.setting.kohya)}</code></span>')
    return (
        f'<article><h3><button type="button" class="jump" data-jump="{escape(field_id(item.path))}">'
        f"{escape(item.setting.label)}</button></h3><p>{escape(item.help)}</p>"
        f'<p class="quiet">{" · ".join(facts)}</p></article>'
    )
