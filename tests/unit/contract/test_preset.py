"""Presets: TOML there and back for every setting, and one clear error for everything that can be wrong in a file."""

import typing
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer.contract import catalog, families, preset
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import BY_PATH, ITEMS, Folder, Item, Preset

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)
PATHS = TEXT.map(lambda text: text.strip(" \t\"'"))
EVERY = st.one_of(
    st.just("never"), st.builds("{} {}".format, st.integers(2, 9999), st.sampled_from(["steps", "epochs"]))
)
SCALARS = {str: TEXT, bool: st.booleans()}


def bounded(item: Item) -> st.SearchStrategy[Any]:
    """Any value that the declaration of a setting allows."""
    if item.path in ("training.length",):
        return EVERY.filter(lambda text: text != "never")
    if item.name in ("every", "state_every"):
        return EVERY
    if item.options:
        return st.sampled_from(item.options)
    if item.setting.widget == "path":
        return PATHS
    if item.type is int:
        low, high = item.bound("ge"), item.bound("le") or (item.bound("lt") or 0) - 1
        return st.integers(low, high)
    if item.type is float:
        low, over = item.bound("ge"), item.bound("gt")
        high, under = item.bound("le"), item.bound("lt")
        return st.floats(
            low if low is not None else over,
            high if high is not None else under,
            exclude_min=low is None,
            exclude_max=high is None,
            allow_nan=False,
        )
    if item.path == "optimizer.args":
        values = st.one_of(
            st.booleans(), st.integers(-9, 9), st.floats(0, 1), TEXT, st.lists(st.floats(0, 1), max_size=3)
        )
        return st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), values, max_size=3)
    if item.path == "network.args":
        values = st.one_of(st.booleans(), st.integers(-9, 9), st.floats(0, 1), TEXT)
        return st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), values, max_size=3)
    if item.path == "about.carried":
        return st.dictionaries(TEXT.filter(bool), TEXT, max_size=3)
    if item.path == "dataset.folders":
        row = st.fixed_dictionaries(
            {"path": PATHS}, optional={"repeats": st.integers(1, 99), "trigger": TEXT, "mask": PATHS}
        )
        return st.lists(row, max_size=3)
    if item.path == "network.layers":
        row = st.fixed_dictionaries({"match": TEXT}, optional={"rank": st.integers(0, 64), "rate": st.floats(0, 9)})
        return st.lists(row, max_size=3)
    if typing.get_origin(item.type) is list:
        inner = {str: TEXT, int: st.integers(0, 64), float: st.floats(0, 64)}
        return st.lists(inner[typing.get_args(item.type)[0]], max_size=3)
    return SCALARS[item.type]


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.fixed_dictionaries({}, optional={item.path: bounded(item) for item in ITEMS}))
def test_toml_and_back_is_identity(values: dict[str, Any]) -> None:
    chosen = preset.with_values(preset.build({}), values)
    text = preset.dumps(chosen)
    assert preset.loads(text) == chosen
    assert preset.loads(preset.dumps(chosen, previous=text)) == chosen
    assert preset.loads(preset.dumps(chosen, previous=preset.dumps(preset.build({})))) == chosen


def test_every_setting_has_help_a_value_and_a_comment() -> None:
    text = preset.dumps(preset.resolve(preset.build({}), families.default_family()))
    for item in ITEMS:
        assert item.help and item.setting.label in text
        assert f"\n{item.name} = " in text or item.path == "dataset.folders"
    for item in ITEMS:
        if item.setting.choices and isinstance(item.default, str) and item.default != "auto":
            assert catalog.find(item.setting.choices, item.default), item.path


def problems_of(text: str) -> list[Problem]:
    with pytest.raises(Problems) as caught:
        preset.loads(text)
    assert caught.value.exit_code == 2
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("[network]\nrnk = 4", "network.rnk", "did you mean network.rank?"),
        ("[network]\nnetwork_dim = 4", "network.network_dim", "did you mean network.rank?"),
        ("[netwrk]\nrank = 4", "netwrk", "did you mean network?"),
        ("[[dataset.folders]]\npth = 'x'", "dataset.folders.pth", "did you mean dataset.folders.path?"),
        ("[network]\nrank = 'wide'", "network.rank", "whole number"),
        ("[network]\nrank = 4.5", "network.rank", "whole number"),
        ("[network]\nrank = 0", "network.rank", "at least 1"),
        ("[network]\nalpha = 0", "network.alpha", "above 0"),
        ("[network]\nalpha = inf", "network.alpha", "finite"),
        ("[network]\ndropout = 1.0", "network.dropout", "below 1"),
        ("[training]\nlength = '3 minutes'", "training.length", "1500 steps"),
        ("[sampling]\nevery = 'often'", "sampling.every", "1 epoch"),
        ("[captions]\nmode = 'file'", "captions.mode", "one of files, folder name"),
        ("[dataset]\nflip = 'maybe'", "dataset.flip", "true or false"),
        ("[[dataset.folders]]\nrepeats = 0", "dataset.folders.repeats", "it is too small - at least 1"),
        ("network = 3", "network", "table"),
        ("format = 99", "format", "--update"),
        ('[model]\npath = "C:\\pictures\\new"', "preset", "single quotes"),
        ("[model\npath = 3", "preset", "brackets"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(text: str, path: str, words: str) -> None:
    (problem,) = problems_of(text)
    assert problem.path == path and words in str(problem)


def test_all_faults_of_a_file_come_at_once() -> None:
    found = problems_of("[network]\nrnk = 4\nalpha = -1\n[training]\nbatch_size = 0\n[what]\nx = 1")
    assert {p.path for p in found} == {"network.rnk", "network.alpha", "training.batch_size", "what"}


def test_pasted_quotes_bom_and_relative_paths(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes("\ufeff[model]\npath = '\"m.safetensors\" '\n[[dataset.folders]]\npath = 'pics'\n".encode())
    loaded = preset.load(file)
    assert loaded.model.path == str(tmp_path / "m.safetensors")
    assert loaded.dataset.folders[0].path == str(tmp_path / "pics")
    for elsewhere in ("some/model", "D:/models/m.safetensors"):  # of the hub, or of a Windows computer
        built = preset.build({"model": {"path": elsewhere}})
        assert Path(preset.absolute_paths(built, tmp_path).model.path) == Path(elsewhere)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    wrong = [("none.toml", "no file"), ("", "is a folder"), ("latin.toml", "UTF-8"), ("x" * 300, "cannot be read")]
    for name, words in wrong:
        with pytest.raises(Problems, match=words):
            preset.load(tmp_path / name)


def test_rewriting_keeps_the_users_comments_and_order() -> None:
    mine = "# my cat, second try\n[training]\nseed = 7  # lucky\n\n[network]\nrank = 8\n"
    text = preset.dumps(preset.with_values(preset.loads(mine), {"network.rank": 12}), previous=mine)
    assert "# my cat, second try" in text and "seed = 7  # lucky" in text
    assert text.index("[training]") < text.index("[network]")
    assert preset.loads(text).network.rank == 12


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("saving.name=-rf", "saving.name", "-rf"),
        ("saving.name=3", "saving.name", "3"),
        ("saving.comment=a = b", "saving.comment", "a = b"),
        ("network.rank=8", "network.rank", 8),
        ("optimizer.learning_rate=2e-5", "optimizer.learning_rate", 2e-5),
        ("optimizer.args={betas = [0.9, 0.99]}", "optimizer.args", {"betas": [0.9, 0.99]}),
        ("captions.shuffle=true", "captions.shuffle", True),
        ("dataset.folders=C:\\pics", "dataset.folders", [Folder(path="C:\\pics")]),
        ("training.length=3 epochs", "training.length", "3 epochs"),
    ],
)
def test_set(assignment: str, path: str, value: Any) -> None:
    assert preset.value_at(preset.apply_set(preset.build({}), [assignment]), path) == value


@pytest.mark.parametrize(
    ("assignment", "words"),
    [("network.rnk=8", "network.rank"), ("network.rank", "has no ="), ("network.rank=-1", "at least 1")],
)
def test_set_errors(assignment: str, words: str) -> None:
    with pytest.raises(Problems, match=words):
        preset.apply_set(preset.build({}), [assignment])


def test_resolving_leaves_no_rule_and_is_stable() -> None:
    chosen = preset.build({"network": {"rank": 8}, "dataset": {"folders": [{"path": "/data/7_my cat"}]}})
    full = preset.resolve(chosen, families.default_family())
    assert (full.network.alpha, full.saving.name, full.dataset.folders[0].repeats) == (8, "my cat", 7)
    assert full.sampling.width == full.dataset.resolution == 512
    assert preset.resolve(full, families.default_family()) == full == preset.loads(preset.dumps(full))


def test_a_setting_of_each_kind_is_declared_as_the_form_expects() -> None:
    kinds = {int, float, bool, str}
    for item in ITEMS:
        known = typing.get_origin(item.type) in (Literal, list, dict) or item.type in kinds
        assert known, item.path
    assert set(BY_PATH) == {item.path for item in ITEMS} and isinstance(Preset(), Preset)


def test_every_fault_of_a_change_is_told_at_once() -> None:
    with pytest.raises(Problems) as caught:
        preset.apply_set(preset.build({}), ["network.rnk=4", "training.seed=x", "schedule.warmup=200"])
    assert [problem.path for problem in caught.value.problems] == ["network.rnk", "training.seed", "schedule.warmup"]


def test_what_is_left_without_the_faults_can_be_checked_on() -> None:
    text = '[network]\nrnak = 3\nrank = "x"\nalpha = 4\n[[dataset.folders]]\npath = "a"\nrepeats = "q"\n'
    with pytest.raises(Problems) as caught:
        preset.loads(text)
    rest = caught.value.rest
    assert rest.network == preset.build({"network": {"alpha": 4}}).network
    assert [folder.path for folder in rest.dataset.folders] == ["a"]


def test_rules_of_layers_are_rows_like_image_folders() -> None:
    rules = '[[network.layers]]\nmatch = "attn2"\nrank = 4\n\n[[network.layers]]\nmatch = "proj"\nrate = 0.5\n'
    read = preset.loads(f"[network]\nrank = 8\nblock_ranks = [1, 2]\n{rules}")
    assert [(rule.match, rule.rank, rule.alpha, rule.rate) for rule in read.network.layers] == [
        ("attn2", 4, None, None),
        ("proj", None, None, 0.5),
    ]
    assert preset.loads(preset.dumps(read)) == read == preset.loads(preset.dumps(read, preset.dumps(Preset())))
    with pytest.raises(Problems) as caught:
        preset.loads('[[network.layers]]\nmatsch = "a"\nrank = -1\n')
    told = {problem.path: problem.fix for problem in caught.value.problems}
    assert told["network.layers.matsch"] == "did you mean network.layers.match?" and "network.layers.rank" in told


@pytest.mark.parametrize(
    ("trigger", "drawn"),
    [
        ("zorb", ["zorb, a lake", "1girl, zorb, solo", "a lake"]),
        ("", ["a lake", "1girl, solo"]),
    ],
)
def test_the_trigger_word_has_its_place_in_sample_prompts(trigger: str, drawn: list[str]) -> None:
    prompts = ["{trigger}, a lake", "1girl, {trigger}, solo", "a lake"]
    chosen = preset.with_values(Preset(), {"captions.trigger": trigger, "sampling.prompts": prompts})
    assert preset.resolve(chosen, families.default_family()).sampling.prompts == drawn
