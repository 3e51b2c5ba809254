"""Settings in a form and back: any value in bounds survives, whatever the field held before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gui.form.values import choices, collect, fill, kind, number_text, read, show
from trainer.contract.preset import value_at, with_values
from trainer.contract.problems import Problems
from trainer.contract.settings import BY_PATH, ITEMS, Item, Preset, Rule

WORDS = {
    "training.length": ["1500 steps", "1 epoch", "12 epochs"],
    "sampling.every": ["never", "250 steps", "10 minutes"],
    "saving.every": ["1 epoch", "30 minutes"],
    "saving.state_every": ["never", "10 minutes", "200 steps"],
    "validation.every": ["never", "50 steps"],
}
LINE = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=30)
NAME = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
ARGUMENT = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), FINITE, LINE, st.lists(FINITE, max_size=3))
FOLDER = st.fixed_dictionaries(
    {"path": LINE.filter(lambda text: text.strip(" \"'") != ""), "trigger": LINE.map(str.strip)},
    optional={
        "repeats": st.integers(1, 10000),
        "weight": st.floats(0, 1000, exclude_min=True),
        "regularisation": st.booleans(),
        "mask": LINE.map(str.strip).filter(lambda text: text == text.strip(" \"'")),
    },
)
RULE = st.fixed_dictionaries(
    {"match": LINE.map(str.strip).filter(bool)},
    optional={"rank": st.integers(0, 1024), "alpha": st.floats(0.01, 4096), "rate": st.floats(0, 1000)},
)


def arguments(item: Item) -> st.SearchStrategy[Any]:
    """What a table's values may be: text alone, or any argument, with or without lists."""
    allowed = str(item.type)
    plain = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), FINITE, LINE)
    return ARGUMENT if "list" in allowed else plain if "float" in allowed else LINE


def in_bounds(item: Item) -> st.SearchStrategy[Any]:
    """Values that the setting allows, beside the blank that follows a rule."""
    how = kind(item)
    low, high = item.bound("ge"), item.bound("le")
    low = low if low is not None else item.bound("gt")
    high = high if high is not None else item.bound("lt")
    if how == "whole":
        return st.integers(low, high - 1 if item.bound("lt") is not None else high)
    if how == "decimal":
        out_low, out_high = item.bound("gt") is not None, item.bound("lt") is not None
        return st.floats(low, high, exclude_min=out_low, exclude_max=out_high)
    if how == "lines":
        return st.lists(LINE.map(str.strip).filter(lambda line: line and not line.startswith("#")), max_size=4)
    others: dict[str, st.SearchStrategy[Any]] = {
        "switch": st.booleans(),
        "table": st.dictionaries(NAME, arguments(item), max_size=3),
        "numbers": st.lists(st.integers(0, 128) if item.type == list[int] else st.floats(0, 128), max_size=25),
        "folders": st.lists(FOLDER, max_size=3),
        "rules": st.lists(RULE, max_size=3),
        "text": st.sampled_from(WORDS[item.path]) if item.path in WORDS else LINE,
    }
    if how == "choice":
        options = {"on": True, "off": False} if item.type is bool else {str(option): option for option in item.options}
        return st.sampled_from([options.get(text, text) for text in choices(item)])
    strategy = others[how]
    follows_rule = isinstance(item.default, Rule)
    return strategy.filter(lambda text: text.strip()) if how == "text" and follows_rule else strategy


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.path)
@hypothesis_settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_value_in_bounds_shows_and_collects_back(item: Item, data: st.DataObject) -> None:
    preset = with_values(Preset(), {item.path: data.draw(in_bounds(item))})
    shown = show(item, value_at(preset, item.path))
    assert collect({item.path: shown}, Preset()) == preset


@hypothesis_settings(max_examples=20, deadline=None)
@given(prompts=st.lists(st.text(max_size=20), max_size=4), rate=st.floats(1e-9, 99.0))
def test_what_nobody_touched_stays_as_it_was(prompts: list[str], rate: float) -> None:
    preset = with_values(Preset(), {"sampling.prompts": prompts, "optimizer.learning_rate": rate})
    assert collect(fill(preset), preset) == preset


def test_every_setting_is_shown() -> None:
    assert list(fill(Preset())) == [item.path for item in ITEMS]
    assert collect(fill(Preset()), Preset()) == Preset()


def test_a_blank_field_follows_its_rule_again() -> None:
    preset = with_values(Preset(), {"network.alpha": 4.0, "dataset.resolution": 768, "sampling.prompts": ["a"]})
    blank = {"network.alpha": "", "dataset.resolution": None, "sampling.prompts": " \n"}
    assert collect(blank, preset) == Preset()


def test_an_empty_list_is_not_the_blank_that_follows_the_rule() -> None:
    preset = with_values(Preset(), {"sampling.prompts": []})
    assert show(BY_PATH["sampling.prompts"], []) != ""
    assert collect(fill(preset), Preset()) == preset


@pytest.mark.parametrize(
    ("typed", "meant"), [("1e-4", 1e-4), ("0.0001", 1e-4), (" 5E-5 ", 5e-5), ("0,5", 0.5), ("2", 2.0)]
)
def test_rates_as_people_type_them(typed: str, meant: float) -> None:
    assert read(BY_PATH["optimizer.learning_rate"], typed, 1.0) == meant


@pytest.mark.parametrize(
    ("value", "text"), [(1e-4, "0.0001"), (5e-5, "5e-5"), (1.0, "1"), (0.1 + 0.2, "0.30000000000000004")]
)
def test_numbers_are_written_plainly_and_exactly(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("betas=0.9,0.99", {"betas": [0.9, 0.99]}),
        ("weight_decouple = True\n# a remark\n eps = 1e-8", {"weight_decouple": True, "eps": 1e-8}),
        ("mode = careful", {"mode": "careful"}),
    ],
)
def test_optimizer_arguments_as_people_type_them(typed: str, meant: dict[str, Any]) -> None:
    assert read(BY_PATH["optimizer.args"], typed, {}) == meant


def test_all_faults_are_told_at_once() -> None:
    wrong = {"optimizer.learning_rate": "fast", "network.rank": 5000, "training.length": "long", "optimizer.args": "x"}
    with pytest.raises(Problems) as told:
        collect(wrong, Preset())
    assert {problem.path for problem in told.value.problems} == set(wrong)


def test_ranks_of_blocks_as_people_type_them() -> None:
    ranks, alphas = BY_PATH["network.block_ranks"], BY_PATH["network.block_alphas"]
    assert read(ranks, "8, 8 16;0\n", []) == [8, 8, 16, 0] and show(ranks, [8, 16]) == "8, 16"
    assert read(alphas, "0.5,1", []) == [0.5, 1] and show(alphas, [0.5, 1.0]) == "0.5, 1"
    assert read(ranks, " ", [4]) == [] and show(ranks, []) == ""
    with pytest.raises(Problems, match="'many' is not a number"):
        read(ranks, "8, many", [])


def test_a_cell_that_is_no_number_is_refused_with_its_name() -> None:
    rules = [{"match": "attn2", "rank": "wide", "alpha": "", "rate": ""}]
    with pytest.raises(Problems, match=r"network\.layers\.rank"):
        collect({"network.layers": rules}, Preset())


@pytest.mark.parametrize("rank", [16.5, 0, -1, 1025])
def test_numbers_out_of_bounds_are_refused(rank: float) -> None:
    with pytest.raises(Problems, match=r"network\.rank"):
        collect({"network.rank": rank}, Preset())
