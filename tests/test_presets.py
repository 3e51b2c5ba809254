"""Every preset that ships can be loaded, fits, and says whether a real run has proved it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trainer.contract.preset import load
from trainer.contract.problems import Problems
from trainer.plan.plan import examine

PRESETS = sorted((Path(__file__).resolve().parents[1] / "presets").glob("*.toml"))


def test_the_presets_for_each_use_ship() -> None:
    assert {"demo", "sd15-character", "sd15-style", "sd15-object"} <= {path.stem for path in PRESETS}


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_it_fits_but_for_the_model_and_images_that_the_user_chooses(path: Path) -> None:
    preset = load(path)
    assert preset.about.title and preset.about.use and preset.about.tested
    missing = {"model.path"} if not preset.model.path else set()
    missing |= {"dataset.folders"} if not preset.dataset.folders else set()
    try:
        examine(preset)
        assert not missing
    except Problems as told:
        assert {problem.path for problem in told.problems} == missing


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_it_gives_its_reasons(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for section in re.split(r"\n(?=\[)", text)[1:]:
        if not section.startswith("[about]"):
            assert "#" in section or len(section.splitlines()) < 4, section
