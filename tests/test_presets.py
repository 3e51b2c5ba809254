"""Every preset that ships can be loaded, fits, and says whether a real run has proved it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from model_headers import HEADERS, model_file
from PIL import Image

from gui import headless
from trainer import commandline
from trainer.contract.families import recognise
from trainer.contract.machine import ENVIRONMENT
from trainer.contract.preset import load
from trainer.contract.problems import Problems
from trainer.plan.plan import examine

PRESETS = sorted((Path(__file__).resolve().parents[1] / "presets").glob("*.toml"))
SHIPPED = {path.stem for path in PRESETS}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures with tags, of two shapes."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(12):
        Image.new("RGB", (1024, 1024) if number % 3 else (832, 1216), (number, 0, 0)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"1girl, zorb, number {number}, outdoors", encoding="utf-8")
    return folder


def test_the_presets_for_each_use_ship() -> None:
    bases = ("sd15", "sdxl", "illustrious", "noobai-vpred")
    for use in ("character", "style", "object"):
        assert {base for base in bases if any(name.startswith(f"{base}-{use}") for name in SHIPPED)} == set(bases)
    assert {"demo", "sd15-style-6gb", "sdxl-character-8gb", "sdxl-character-16gb", "pony-character-12gb"} <= SHIPPED


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


@pytest.mark.parametrize("path", [path for path in PRESETS if path.stem != "demo"], ids=lambda path: path.stem)
def test_it_is_checked_against_a_model_of_its_family_and_images(
    path: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = load(path)
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "machine.toml"))
    model = model_file(tmp_path / "model.safetensors", preset.model.family, preset.model.prediction)
    assert recognise(str(model)).family == preset.model.family
    asked = [f"model.path={model}", f"dataset.folders={pictures}", "captions.trigger=zorb"]
    code = headless.check(commandline.parse(["--preset", str(path), "--check", "--set", *asked]))
    told, wrong = capsys.readouterr()
    assert code == 0, wrong
    assert "zorb" in told and preset.training.length.split()[0] in told.replace(",", "")


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_it_refuses_a_model_of_another_family(path: Path, tmp_path: Path) -> None:
    preset = load(path)
    if preset.model.path:
        return
    other = next(family for family in HEADERS if family != preset.model.family)
    model = model_file(tmp_path / "other.safetensors", other, "epsilon")
    with pytest.raises(Problems) as told:
        examine(preset.model_copy(update={"model": preset.model.model_copy(update={"path": str(model)})}))
    [problem] = [problem for problem in told.value.problems if problem.path == "model.family"]
    assert problem.why == f"the base model is {other}, not {preset.model.family}"


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_it_gives_its_reasons(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for section in re.split(r"\n(?=\[)", text)[1:]:
        if not section.startswith("[about]"):
            assert "#" in section or len(section.splitlines()) < 4, section


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_name_with_a_memory_says_so_in_its_title(path: Path) -> None:
    found = re.search(r"-(\d+)gb$", path.stem)
    assert found is None or f"{found[1]} GB" in load(path).about.title
