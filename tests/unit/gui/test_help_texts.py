"""The Help tab's tables: every founding term is there, every link leads to a setting or tab, every number is told."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from gui.app import TABS
from gui.form.fixes import field_id
from gui.form.helptexts import help_texts
from gui.help.entries import Advice, Topic
from gui.help.glossary import TERMS
from gui.help.recipe import BASELINE, RECIPE
from gui.help.symptoms import SYMPTOMS
from gui.tabs.help import reference
from trainer.contract import catalog
from trainer.contract.settings import BY_PATH

TOPICS: tuple[Topic, ...] = (*SYMPTOMS, *RECIPE, *BASELINE)

FOUNDING = [
    "Scheduler",
    "Optimizer",
    "Adam",
    "AdamW",
    "AdamW8bit",
    "SGD",
    "Adagrad",
    "Learning·rate",
    "LR·warmup",
    "Overfitting",
    "Underfitting",
    "Early·stopping",
    "Step",
    "Epoch",
    "Network·rank",
    "Network·alpha",
    "Gradient·accumulation",
    "Batch·size",
    "Shuffle·caption",
    "Training·without·captions",
    "float",
    "fp16",
    "bf16",
    "Bucket",
    "Look",
    "Repeats",
    "Latent",
    "VAE",
    "Text·encoder",
    "Held·out",
    "Adapter·file",
    "Trigger·word",
    "Regularisation·images",
]

SYMPTOM_WORDS = ("over-trained", "Nothing was learnt", "bleeds", "Burnt", "Out of memory", "NaN", "slow", "ComfyUI")


def advices() -> Iterator[Advice]:
    for topic in TOPICS:
        yield from topic.steps


@pytest.mark.parametrize("name", [name.replace("·", " ") for name in FOUNDING])
def test_every_founding_term_is_explained(name: str) -> None:
    [term] = [term for term in TERMS if term.name == name]
    assert len(term.text) > 30 and term.settings


@pytest.mark.parametrize("words", SYMPTOM_WORDS)
def test_every_symptom_has_advice(words: str) -> None:
    [topic] = [topic for topic in SYMPTOMS if words in topic.title]
    assert len(topic.steps) >= 3


def test_links_lead_somewhere() -> None:
    named = [path for each in (*TERMS, *advices()) for path in each.settings]
    assert [path for path in named if path not in BY_PATH] == []
    assert {advice.tab for advice in advices()} <= {"", *(title for _, title, _ in TABS)}
    assert all(advice.settings or advice.tab for advice in advices())


def test_every_optimizer_and_precision_that_is_explained_can_be_chosen() -> None:
    names = {term.name for term in TERMS}
    assert {"Adam", "AdamW", "AdamW8bit", "SGD", "Adagrad", "Lion", "Prodigy"} <= names & set(
        catalog.names("optimizers")
    )
    assert {"float", "fp16", "bf16"} <= names & {str(option) for option in BY_PATH["precision.compute"].options}


NUMBER = re.compile(r"(?<![A-Za-z\d])\d+(?:\.\d+)?(?![\dA-Za-z])")


def test_numbers_are_those_of_the_linked_settings() -> None:
    """Ranges and values in the texts stand in the help of a setting that the text links to."""
    for each in (*TERMS, *advices()):
        helps = " ".join(BY_PATH[path].help for path in each.settings)
        bits = re.sub(r"\b(8|16|32)(?= bits|-bit)", "", each.text)
        unknown = [number for number in NUMBER.findall(bits) if number not in NUMBER.findall(helps)]
        allowed = {"1"} if "strength 1" in each.text else set()
        assert set(unknown) <= allowed, (each.text, unknown)


def test_search_finds_a_glossary_word_and_its_setting() -> None:
    found = reference("overtrained")
    assert "Overfitting" in found and "<h2>Glossary</h2>" in found and "Adagrad" not in found
    assert "Nothing says that" in reference("no such word anywhere")
    assert "adagrad" in help_texts()[field_id("optimizer.name")]["words"].lower()
    assert "dim dimension" in help_texts()[field_id("network.rank")]["words"]


def test_no_entry_is_told_twice() -> None:
    names = [term.name for term in TERMS] + [topic.title for topic in TOPICS]
    assert len(names) == len(set(names))
