"""The settings reference says what the declarations say, and the committed page is the generated one."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.contract.reference import print_help, row_items, setting_help, write_reference
from trainer.contract.settings import BY_PATH, ITEMS

ROOT = Path(__file__).resolve().parents[3]


def test_the_committed_reference_is_the_generated_one() -> None:
    committed = (ROOT / "presets" / "README.md").read_text(encoding="utf-8")
    assert committed == write_reference(), "run: python -m trainer.contract.reference"


def test_every_setting_stands_in_it_once() -> None:
    text = write_reference()
    for item in [*ITEMS, *row_items()]:
        assert text.count(f"**`{item.path}`**") == 1
        assert item.help in text


@pytest.mark.parametrize("path", [*BY_PATH, "dataset.folders.repeats"])
def test_help_on_a_setting(path: str) -> None:
    lines = setting_help(path)
    assert lines[0].startswith(f"{path}: ") and len(lines) >= 3


def test_help_on_a_section_and_on_an_unknown_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(setting_help("network")) == sum(item.section == "network" for item in ITEMS)
    assert print_help("network_dim") == 2
    assert "network.rank" in capsys.readouterr().err
    assert print_help("schedule.warmup") == 0
    assert "lr_warmup_steps" in capsys.readouterr().out
