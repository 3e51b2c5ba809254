"""What the linter's panel checks: the form's folders, the open folder, nothing that the page may not look into."""

from __future__ import annotations

from pathlib import Path

import pytest

from gui import linting
from gui.context import Context
from trainer.contract.machine import Machine
from trainer.contract.preset import with_values
from trainer.contract.problems import Problems
from trainer.contract.settings import Preset


def context(tmp_path: Path, local: bool = True) -> Context:
    return Context(tmp_path, tmp_path / "runs", Machine(tmp_path / "runs", tmp_path / "cache"), local)


def test_what_is_checked(tmp_path: Path) -> None:
    here = context(tmp_path)
    own, other = str(tmp_path / "own"), str(tmp_path / "other")
    form = with_values(Preset(), {"dataset.folders": [{"path": own}], "captions.trigger": "zwx"})
    assert [row.path for row in linting.subject(form, own, here).dataset.folders] == [own]
    assert [row.path for row in linting.subject(form, "", here).dataset.folders] == [own]
    opened = linting.subject(form, other, here)
    assert [row.path for row in opened.dataset.folders] == [other] and opened.captions.trigger == "zwx"
    with pytest.raises(Problems, match="no folder of images"):
        linting.subject(Preset(), "", here)


def test_folders_outside_are_refused_where_others_can_open_the_page(tmp_path: Path) -> None:
    form = with_values(Preset(), {"dataset.folders": [{"path": str(tmp_path / "secret")}]})
    linting.allowed(form, context(tmp_path))
    with pytest.raises(Problems, match="lies outside"):
        linting.allowed(form, context(tmp_path, local=False))
