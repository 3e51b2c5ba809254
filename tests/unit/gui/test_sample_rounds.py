"""The gallery of a run: what a page is told of its rounds stays of one size, however many there are."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from gui.runs import gallery
from trainer.contract.events import Sampled
from trainer.contract.rundir import RunDir
from trainer.report.view import RunView


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "rounds")


def shown(run: RunDir, rounds: int, asked: bool = False) -> str:
    view = RunView()
    for step in range(0, 10 * rounds, 10):
        view.add(Sampled(step=step, files=[f"samples/{step:06}-0.png"], prompts=["a badge"], seeds=[1], asked=asked))
    return gallery.samples(run, view)


def test_a_few_rounds_are_all_there(run: RunDir) -> None:
    html = shown(run, 40)
    assert html.count('class="round"') == 40 and "28 earlier rounds<" in html


def test_of_thousands_the_newest_the_first_and_some_evenly_between_are_there(run: RunDir) -> None:
    html, more = shown(run, 2000), shown(run, 4000)
    assert html.count('class="round"') == more.count('class="round"') == gallery.SHOWN_ROUNDS + gallery.MOST_FOLDED
    assert "1988 earlier rounds, 100 of them here (all lie in the run&#x27;s folder, in samples/)" in html
    steps = [int(part.split('"')[0]) for part in html.split('data-key="round-')[1:]]
    assert steps[:11] == list(range(19990, 19880, -10)) and steps[-1] == 0
    between = steps[11:-1]
    gaps = [later - earlier for later, earlier in itertools.pairwise(between)]
    assert (between[0], between[-1]) == (19880, 10) and {*gaps} == {200, 210}
    assert len(more) < 1.1 * len(html)


def test_pictures_of_own_prompts_are_bounded_too(run: RunDir) -> None:
    html = shown(run, 500, asked=True)
    assert html.count("<figure") == gallery.MOST_FOLDED
    assert "100 of 500 rounds are here (all lie in the run&#x27;s folder, in samples/)." in html
    assert "rounds are here" not in shown(run, 100, asked=True)
