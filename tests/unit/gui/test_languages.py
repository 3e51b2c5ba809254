"""The page's languages: nothing that a person reads is missing, nothing is left over, patterns keep what they hold."""

from __future__ import annotations

import ast
import inspect
import json
import re

import pytest

from gui import languages
from gui.form import layout
from gui.form.helptexts import help_texts
from gui.help.glossary import TERMS
from gui.help.recipe import BASELINE, RECIPE
from gui.help.symptoms import SYMPTOMS
from trainer.contract.settings import ITEMS
from trainer.plan.lint import caption_checks, image_checks
from trainer.plan.lint.finding import ORDER

CODES = [code for code in languages.LANGUAGES if code != "en"]
PLACE = re.compile(r"\{\d\}")
FIGURE = re.compile(r"-?\d[\d.,]*|%|px")  # and signs that are the same in all languages


def said_by_settings() -> set[str]:
    """Labels, helps, bounds and choices of every setting, and the groups that they stand in."""
    texts = {layout.label(item) for item in ITEMS} | {group.title for group in layout.groups()}
    for about in help_texts().values():
        texts |= {about["label"], about["help"], about["range"], *(told for _, told in about["choices"])}
    return {" ".join(text.split()) for text in texts if re.search(r"[A-Za-z]{2}", text)}


def fits(text: str, words: dict[str, str]) -> bool:
    """Whether the browser finds the text in the dictionary (web/language.js): as itself, or by a pattern that holds
    figures and words of ours. A sentence that merely has an "of" in it is not told by "{0} of {1}"."""
    if text in words:
        return True
    forms = ("(.+?)".join(map(re.escape, PLACE.split(key))) for key in words if PLACE.search(key))
    found = (re.fullmatch(form, text, re.DOTALL) for form in forms)
    return any(match and all(part in words or FIGURE.fullmatch(part) for part in match.groups()) for match in found)


@pytest.mark.parametrize("code", CODES)
def test_every_setting_is_told_in_every_language(code: str) -> None:
    words = languages.dictionary(code)
    assert [text for text in sorted(said_by_settings()) if not fits(text, words)] == []


@pytest.mark.parametrize("code", CODES)
def test_no_translation_of_a_setting_is_left_over(code: str) -> None:
    """A text whose English has changed is found here, and by the test above."""
    words = json.loads((languages.LOCALES / code / "settings.json").read_text(encoding="utf-8"))
    parts = {"% of steps", "degrees", "checks", "files", "x peak"}
    assert {key for key in words if not PLACE.search(key)} - said_by_settings() - parts == set()


@pytest.mark.parametrize("code", CODES)
def test_dictionaries_are_whole(code: str) -> None:
    seen: dict[str, str] = {}
    for path in sorted((languages.LOCALES / code).glob("*.json")):
        for key, text in json.loads(path.read_text(encoding="utf-8")).items():
            assert sorted(PLACE.findall(key)) == sorted(PLACE.findall(text)), f"{path.name}: {key!r} -> {text!r}"
            assert text.strip() and key == " ".join(key.split()), f"{path.name}: {key!r}"
            assert seen.setdefault(key, text) == text, f"{path.name}: {key!r} is translated in two ways"


def test_all_languages_have_the_same_keys() -> None:
    first, *others = (set(languages.dictionary(code)) for code in CODES)
    assert all(first == other for other in others)


def test_numbers_in_translated_help_are_those_of_the_english_one() -> None:
    """Truth does not change with the language: no number may be lost or invented."""
    numbers = re.compile(r"\d+(?:\.\d+)?(?:e-\d+)?")
    allowed = {"1", "2", "3"}  # "a third", "twice", "one line": said in digits or in words
    for code in CODES:
        for item in ITEMS:
            text = languages.dictionary(code)[" ".join(item.help.split())]
            lost = set(numbers.findall(item.help)) ^ set(numbers.findall(text))
            assert lost <= allowed, f"{code}, {item.path}: {lost}"


def test_what_is_no_language_of_ours_is_english() -> None:
    assert languages.dictionary("en") == {} == languages.dictionary("../../etc")
    assert json.loads(languages.told("xx")) == {"code": "en", "words": {}}


def said_by_help() -> set[str]:
    """The Help tab's tables: words and their texts, symptoms, recipe, baseline notes, and what to do about each."""
    texts = {text for term in TERMS for text in (term.name, term.text)}
    for topic in (*SYMPTOMS, *RECIPE, *BASELINE):
        texts |= {topic.title, topic.intro, *(step.text for step in topic.steps)}
    return {" ".join(text.split()) for text in texts if text}


def said_by_linter() -> set[str]:
    """What the checks are called, how grave a finding is, and every sentence, reason and fix that has no part that
    varies: what stands as a literal where findings and fixes are made."""
    texts: set[str] = set(ORDER)
    for module in (caption_checks, image_checks):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Finding", "Fix"):
                said = node.args[:1] if node.func.id == "Fix" else [node.args[0], node.args[2], node.args[3]]
                texts |= {part.value for part in said if isinstance(part, ast.Constant)}
    return texts


@pytest.mark.parametrize("code", CODES)
def test_help_and_linter_are_told_in_every_language(code: str) -> None:
    words = languages.dictionary(code)
    assert len(said_by_linter()) > 30
    assert [text for text in sorted(said_by_help() | said_by_linter()) if not fits(text, words)] == []
