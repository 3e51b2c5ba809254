"""Presets on disk: what the page lists, where it writes, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from gui import library, text
from gui.context import Context
from gui.session import resolved
from trainer.contract.machine import ENVIRONMENT, Machine
from trainer.contract.preset import load
from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Preset

HOSTILE = "<img src=x onerror=alert(1)>\"'"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    root = tmp_path / "checkout"
    (root / "presets").mkdir(parents=True)
    monkeypatch.setenv(ENVIRONMENT, str(root / "presets" / "user" / "machine.toml"))
    return Context(root, tmp_path / "runs", Machine(tmp_path / "runs", tmp_path / "cache"))


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "..\\x", "a/b", "CON", HOSTILE, "ü 12 GB", "x" * 300])
def test_every_name_stays_in_the_users_folder(context: Context, name: str) -> None:
    path = library.own_file(context, name)
    assert path.parent == context.root / "presets" / "user" and path.suffix == ".toml"
    library.save(path, resolved(Preset(), context.root))
    assert [entry.path for entry in library.entries(context)] == [path]


@pytest.mark.parametrize("name", ["", "  ", "machine", "Machine"])
def test_some_names_are_refused(context: Context, name: str) -> None:
    with pytest.raises(Problems):
        library.own_file(context, name)


def test_the_machine_file_is_no_preset(context: Context) -> None:
    user = context.root / "presets" / "user"
    user.mkdir()
    (user / "machine.toml").write_text('runs = "elsewhere"\n', encoding="utf-8")
    (user / "mine.toml").write_text('[about]\ntitle = "Mine"\n', encoding="utf-8")
    (context.root / "presets" / "broken.toml").write_text("rank = [", encoding="utf-8")
    found = {entry.key: entry for entry in library.entries(context)}
    assert set(found) == {"shipped/broken", "own/mine"}
    assert found["own/mine"].title == "Mine" and found["shipped/broken"].faults


@pytest.mark.parametrize("key", ["own/../../secret", "shipped/../x", "", "own/machine", "/etc/passwd"])
def test_only_listed_presets_are_found(context: Context, key: str) -> None:
    (context.root / "x.toml").write_text("", encoding="utf-8")
    assert library.find(context, key) is None


def test_saving_again_keeps_the_users_comments(context: Context) -> None:
    path = library.own_file(context, "mine")
    library.save(path, resolved(Preset(), context.root))
    path.write_text(path.read_text(encoding="utf-8").replace("rank = 16", "rank = 16  # mine"), encoding="utf-8")
    library.save(path, resolved(Preset(), context.root))
    assert "rank = 16  # mine" in path.read_text(encoding="utf-8")
    assert load(path) == resolved(Preset(), context.root)


def test_dropped_files_are_read_or_refused(tmp_path: Path) -> None:
    good, large, binary = tmp_path / "good.toml", tmp_path / "large.toml", tmp_path / "binary.toml"
    good.write_bytes(b"\xef\xbb\xbf[network]\r\nrank = 4\r\n")
    large.write_bytes(b"#" * (library.LARGEST_BYTES + 1))
    binary.write_bytes(b"\xff\xfe\x00")
    assert library.read_dropped(good).network.rank == 4
    for path in (large, binary):
        with pytest.raises(Problems, match=path.name):
            library.read_dropped(path)


def test_differences_name_what_is_not_at_its_default() -> None:
    preset = load(Path(__file__).resolve().parents[3] / "presets" / "demo.toml")
    found = {path: (value, default) for path, value, default in library.differences(preset)}
    assert found["network.conv_rank"] == ("16", "0") and "schedule.name" not in found
    assert library.differences(Preset()) == []


def test_nothing_from_outside_is_markup() -> None:
    pieces = [
        text.paragraph(HOSTILE),
        text.lines([HOSTILE]),
        text.problem_list([Problem(HOSTILE, HOSTILE, HOSTILE)], HOSTILE),
        text.command(HOSTILE),
    ]
    for piece in pieces:
        assert "<img" not in piece and "&lt;img" in piece


def test_a_problem_leads_to_its_field_where_there_is_one() -> None:
    paths = ("network.rank", "dataset.folders.repeats", "netwrok", "dataset.folders.repeat")
    told = text.problem_list([Problem(path, "no") for path in paths])
    assert told.count("data-jump") == 2 and "f-network-rank" in told and "f-dataset-folders" in told
    assert "<strong>netwrok</strong>" in told and "<strong>dataset.folders.repeat</strong>" in told
