"""Sentences that stand in the code: what the page says of an import, a model file, a tool, a preflight or a mistake is
in every dictionary. Read out of the source, so that a new sentence cannot be forgotten."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from gui import importing, languages
from trainer.contract.adapter_tasks import TOOLS, shown
from trainer.contract.families import known, sd1, sdxl
from trainer.contract.importers import fates, kohya_keys, onetrainer_keys
from trainer.contract.in_words import in_words
from trainer.plan import changes
from trainer.preflight.verdict import NAMES
from trainer.report.preflight import LINKS

CODES = [code for code in languages.LANGUAGES if code != "en"]
PLACE = re.compile(r"\{\d\}")
ROOT = Path(__file__).resolve().parents[3]

ROOMS = ["gui", "trainer"]
ROOMS += [f"gui/{room}" for room in ("engine", "form", "queue", "runs", "studio", "tabs")]
ROOMS += [f"trainer/{room}" for room in ("data", "families", "networks", "optim", "plan", "preflight", "tools")]
ROOMS += [f"trainer/contract/{room}" for room in ("", "exporters", "families", "importers")]
ROOMS += ["trainer/plan/adapters", "trainer/tools/adapters"]

TERMINAL = {"console", "exchange", "exporting", "follow", "headless", "launching", "prove", "tool_command"}
TERMINAL |= {"autopsy", "checkpoints", "commandline", "doubleclick", "install", "testing", "share"}
"""Modules that say their mistakes in a terminal."""

SAID = {
    "Problem": (1, 2),
    "Finding": (1, 3),
    "_cannot": (1, 2),
    "_no": (0,),
    "model_problem": (0, 1),
    "change": (1,),
}
"""Functions that are given sentences for people, and at which places."""

NAMED = {"why", "fix", "fixes", "sentence", "headline"}
"""Names that hold such sentences on their way."""

PARTS = {
    "one image",
    'captions.mode is "{0}"',
    "the groups of near-duplicates that are left are too large",
    "the others were trained on in earlier runs of these folders and stay there "
    "(another validation.split chooses anew)",
}
"""Ends of sentences that are in the dictionary as a whole."""


def texts(node: ast.expr | None) -> Iterator[str]:
    """The texts that an expression may be, {0}, {1} ... for what varies."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        holes = iter(range(10))
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"{{{next(holes)}}}" for part in node.values
        )
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
    elif isinstance(node, ast.Tuple | ast.List):
        for each in node.elts:
            yield from texts(each)


def said_in(path: Path) -> Iterator[str]:
    """Sentences for people in a source file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            places = SAID.get(getattr(node.func, "id", getattr(node.func, "attr", "")), ())
            for place in places:
                yield from texts(node.args[place] if place < len(node.args) else None)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts))
                for name, value in pairs:
                    if isinstance(name, ast.Name) and name.id in NAMED:
                        yield from texts(value)


def sentences() -> set[str]:
    """Two words at least: names of settings and of choices are no sentences."""
    files = [path for room in ROOMS for path in sorted((ROOT / room).glob("*.py")) if path.stem not in TERMINAL]
    said = {" ".join(text.split()) for path in files for text in said_in(path)}
    return {text for text in said if re.search(r"[A-Za-z']{2,} [a-z]", PLACE.sub("7", text))}


def lacking(said: Iterable[str], code: str) -> list[str]:
    """Those that no key of the dictionary is, with settings by path or by label, nor is a form of: "{0} lies{1}." is
    there as "{0} lies, {1} below."."""
    keys = [PLACE.sub("{}", key) for key in languages.dictionary(code)]
    exact, every = set(keys), "\n".join(keys)

    def is_there(text: str) -> bool:
        bare = PLACE.sub("{}", text)
        if {bare, PLACE.sub("{}", in_words(text)), f"sd-scripts {bare}"} & exact or text in PARTS:
            return True
        form = ".*?".join(map(re.escape, PLACE.split(text)))
        return bool(PLACE.search(text)) and re.search(f"^{form}$", every, re.MULTILINE) is not None

    return sorted(text for text in said if not is_there(text))


@pytest.mark.parametrize("code", CODES)
def test_every_mistake_is_told_in_every_language(code: str) -> None:
    said = sentences()
    assert len(said) > 500
    assert lacking(said, code) == []


@pytest.mark.parametrize("code", CODES)
def test_every_reason_of_an_import_is_told_in_every_language(code: str) -> None:
    reasons = {*importing.WORDS.values(), *importing.MEANING.values()}
    for table in (fates, kohya_keys):
        reasons |= {*table.CARRIED.values(), *table.DROPPED.values()}
    reasons |= {*onetrainer_keys.DROPPED.values(), *onetrainer_keys.PART_DROPPED.values()}
    assert lacking(reasons, code) == []


@pytest.mark.parametrize("code", CODES)
def test_tools_and_their_fields_are_told_in_every_language(code: str) -> None:
    said: set[str] = set()
    for tool in TOOLS.values():
        for how, about in shown(tool).values():
            said |= {how.title, " ".join((about.description or "").split())}
    assert lacking({text for text in said if text}, code) == []


@pytest.mark.parametrize("code", CODES)
def test_what_a_model_file_is_is_told_in_every_language(code: str) -> None:
    """Families' names are the same everywhere; what a file is instead of a base model, or is made for, is not."""
    headers = [{"lora_unet_x.lora_down.weight": (1,)}, {"control_model.x": (1,)}, {"emb_params": (1,)}]
    headers += [{"decoder.conv_in.weight": (1,)}, {"token_embedding.weight": (1,)}, {"motion_modules.x": (1,)}]
    kinds = [known.other_kind(header) for header in headers]
    assert all(kinds)
    uses = {*sd1._USES.values(), *sdxl._USES.values(), *sdxl._EDM.values(), "depth to image"} - {"text to image"}
    made_for = {f"{{0}} for {use}" for use in uses}
    assert lacking({*kinds, *made_for, *(f"{number}. {name}" for number, name in NAMES.items())}, code) == []
    assert lacking({*LINKS.values(), *(rule[1] for rule in changes.RULES.values() if rule[1])}, code) == []
