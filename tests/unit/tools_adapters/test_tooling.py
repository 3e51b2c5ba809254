"""What is typed in the Tools tab or on the terminal becomes a task; a page for others uses its own folders only."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
from adapter_files import lora, save

from gui import tool_command, tooling, tools_view
from gui.context import Context
from trainer.contract.adapter_tasks import TOOLS, Extract, Merge, Result, shown
from trainer.contract.machine import Machine
from trainer.contract.problems import Problems


def context(folder: Path, local: bool = True) -> Context:
    return Context(folder, folder / "runs", Machine(folder / "runs", folder / "cache"), local)


def test_typed_values_become_a_task(tmp_path: Path) -> None:
    one, other = (str(tmp_path / name) for name in ("a.safetensors", "b.safetensors"))
    typed = {"adapters": f'"{one}"\n{other}\n', "weights": "1; 0.5", "rank": "8", "replace": True}
    with pytest.raises(Problems) as told:
        tooling.task_of("merge", typed, context(tmp_path))
    assert [problem.why for problem in told.value.problems] == [f"there is no file {path}" for path in (one, other)]
    for path in (one, other):
        Path(path).touch()
    task = tooling.task_of("merge", typed, context(tmp_path))
    assert task == Merge(adapters=(one, other), weights=(1.0, 0.5), rank=8, replace=True)
    typed = {"base": one, "tuned": other, "min_diff": "0", "text_encoder": False, "precision": "bf16"}
    task = tooling.task_of("extract", typed, context(tmp_path))
    assert task == Extract(base=one, tuned=other, min_diff=0.0, text_encoder=False, precision="bf16")


def test_every_field_that_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(Problems) as told:
        tooling.task_of("extract", {"base": "", "tuned": "/b", "rank": "many"}, context(tmp_path))
    assert [problem.path for problem in told.value.problems] == ["Base checkpoint", "Rank"]
    with pytest.raises(Problems, match="look first"):
        (tmp_path / "a.safetensors").touch()
        typed = {"adapter": str(tmp_path / "a.safetensors"), "repo": "me/zorb", "send": True}
        tooling.task_of("upload", typed, context(tmp_path))


def test_a_page_for_others_uses_files_of_its_folders_only(tmp_path: Path) -> None:
    inside, outside = tmp_path / "runs" / "x" / "a.safetensors", tmp_path / "b.safetensors"
    for path in (inside, outside):
        save(path, lora(), ss_base_model_version="sd_v1")
    there = context(tmp_path, local=False)
    assert "LoRA" in tooling.glance(str(inside), there)["line"]
    assert "other computers" in tooling.glance(str(outside), there)["wrong"]
    with pytest.raises(Problems, match="other computers"):
        tooling.task_of("resize", {"adapter": str(inside), "out": str(tmp_path / "c")}, there)
    assert "LoRA" in tooling.glance(str(outside), context(tmp_path))["line"]


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_has_a_form_and_options_from_its_fields(name: Any) -> None:
    parser, html = tool_command.parser(name), tools_view.forms()
    for field in shown(TOOLS[name]):
        assert field in tools_view._ASKED_LATER or f'id="tool-{name}-{field}"' in html
        assert any(field in (action.dest, action.metavar) for action in parser._actions)
    labelled = set(re.findall(r'<label for="([^"]+)"', html))
    asked = re.findall(r'<(?:input type="text"|textarea|select) id="([^"]+)"', html)
    assert labelled == set(asked) and len(asked) == len(set(asked))


def test_words_of_the_terminal_become_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = vars(tool_command.parser("merge").parse_args(["a.safetensors", "b.safetensors", "--weights", "1", "-0.5"]))
    whole = tool_command.made_absolute("merge", given)
    assert whole["adapters"] == [str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")]
    assert whole["weights"] == [1.0, -0.5] and "rank" not in whole


def test_an_unknown_tool_is_told_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert tool_command.main(argparse.Namespace(tool=["mix"], runs=None)) == 2
    assert "merge-into" in capsys.readouterr().err
    assert tool_command.main(argparse.Namespace(tool=[], runs=None)) == 0


def test_what_comes_from_a_file_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    found = Result(
        headline=evil, facts=((evil, evil),), faults=(evil,), metadata=((evil, evil),), file=evil, adapter=True
    )
    html = tools_view.result(found, evil, None)
    assert "<script" not in html and "&lt;script" in html
