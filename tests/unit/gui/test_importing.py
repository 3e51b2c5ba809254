"""Settings of other programs: what is told of each key, where presets are written, what the page shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gui import import_html, importing, library
from gui.context import Context
from gui.importing import Row
from trainer.commandline import parse
from trainer.contract.importers.base import Imported, KeyReport
from trainer.contract.machine import ENVIRONMENT, Machine
from trainer.contract.preset import load
from trainer.contract.problems import Problems
from trainer.contract.settings import Preset

HOSTILE = "<img src=x onerror=alert(1)>\"'"
KEYS = (
    KeyReport("network_dim", "8", "mapped", "network.type, network.rank"),
    KeyReport("conv_dim", "9000", "mapped", "network.conv_rank", "a rank above 1024 is not offered", changed=True),
    KeyReport("lr_scheduler_args", "x=1", "carried", "", "no such arguments here"),
    KeyReport(HOSTILE, HOSTILE, "dropped", HOSTILE, HOSTILE),
    KeyReport("block_dims", "", "dropped", "", "off", idle=True),
)
KOHYA = {"LoRA_type": "Standard", "network_dim": "24", "epoch": 3, "optimizer": "AdamW", "max_resolution": "512,512"}


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    root = tmp_path / "checkout"
    (root / "presets").mkdir(parents=True)
    monkeypatch.setenv(ENVIRONMENT, str(root / "presets" / "user" / "machine.toml"))
    return Context(root, tmp_path / "runs", Machine(tmp_path / "runs", tmp_path / "cache"))


def test_each_key_is_told_once_with_its_reason() -> None:
    told = importing.lines("mine.json", Imported(Preset(), kind="kohya_ss preset", keys=KEYS))
    assert told[0].startswith(
        "mine.json: kohya_ss preset. 5 keys: 1 taken over, 1 taken over with another value, 1 carr"
    )
    assert "  network_dim = 8 -> network.rank" in told
    assert "  conv_dim = 9000 -> network.conv_rank: a rank above 1024 is not offered" in told
    assert "  lr_scheduler_args = x=1: no such arguments here" in told
    assert [line for line in told if "block_dims" in line] == [f"{importing.MEANING['idle']} (1): block_dims"]
    assert [key.name for key in importing.ordered(KEYS)][:2] == ["conv_dim", HOSTILE]


def test_the_pages_report_shows_no_markup_of_the_files() -> None:
    shown = import_html.report(Imported(Preset(), keys=KEYS))
    assert "<img" not in shown and "onerror" in shown
    assert shown.count("<tr data-fate=") == 5 and 'data-jump="f-network-rank"' in shown
    assert import_html.report(Imported(Preset())) == ""
    rows = [Row(HOSTILE, Imported(Preset(), keys=KEYS)), Row("b.json", faults=(importing.empty(None)))]
    assert "<img" not in import_html.folder(rows, {})


def test_a_folder_becomes_presets_of_different_names_in_one_place(tmp_path: Path) -> None:
    for name in ("a b.json", "sub/a-b.json", "machine.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(KOHYA), encoding="utf-8")
    (tmp_path / "other.json").write_text("[]", encoding="utf-8")
    rows = importing.folder(tmp_path)
    targets = importing.targets(rows, tmp_path / "out")
    assert [path.name for path in targets.values()] == ["a-b.toml", "machine-2.toml", "sub-a-b.toml"]
    assert [row.file for row in rows if row.imported is None] == ["other.json"]
    assert len({len(line) for line in importing.table(rows)[1:2]}) == 1
    importing.write(rows[0].imported or Imported(Preset()), targets["a b.json"])
    assert load(targets["a b.json"]).network.rank == 24
    (tmp_path / "nothing").mkdir()
    with pytest.raises(Problems, match="no settings file"):
        importing.folder(tmp_path / "nothing")


def test_dropped_texts_are_told_apart_by_what_is_in_them(context: Context) -> None:
    assert library.read_dropped("a.json", "json", json.dumps(KOHYA), context).preset.network.rank == 24
    foreign = 'network_dim = 4\nnetwork_module = "networks.lora"\n'
    assert library.read_dropped("a.toml", "toml", foreign, context).kind == "sd-scripts configuration"
    with pytest.raises(Problems, match=r"network\.rnak"):
        library.read_dropped("a.toml", "toml", "[network]\nrnak = 3\n", context)
    with pytest.raises(Problems):
        library.read_dropped("a.json", "json", "{}", context)


@pytest.mark.parametrize(
    "words",
    [
        ["--import", "a", "--preset", "b"],
        ["--export", "sd-scripts"],
        ["--engine", "sd-scripts"],
        ["--preset", "a", "--engine", "sd-scripts", "--check"],
        ["--preset", "a", "--engine", "another"],
        ["--preset", "a", "--out", "b"],
        ["--preset", "a", "--leave-out"],
        ["--import", " "],
    ],
)
def test_words_that_contradict_each_other_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(words)
    assert end.value.code == 2


def test_the_words_of_an_import_and_an_export_are_understood() -> None:
    assert parse(["--import", "folder", "--out", "x"]).import_ == "folder"
    assert parse(["--preset", "a", "--export", "sd-scripts", "--leave-out"]).export == "sd-scripts"


def test_long_keys_break_behind_dots_and_underscores_only() -> None:
    keys = (KeyReport("cache_latents.to_disk_", "x_y", "dropped", ""), KeyReport(HOSTILE, "", "dropped", ""))
    told = import_html.report(Imported(Preset(), keys=keys))
    assert '<td translate="no">cache_<wbr>latents.<wbr>to_<wbr>disk_</td>' in told and ">x_y</td>" in told
    assert "<img" not in told
