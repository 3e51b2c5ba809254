"""Nothing of the user's computer leaves with a recipe or a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainer.contract import preset as presets
from trainer.contract.settings import Preset
from trainer.contract.share import Cleaner, file_name, recipe_text, shareable


def private(**saving: Any) -> Preset:
    return Preset.model_validate(
        {
            "format": 1,
            "model": {"path": "/home/bob smith/models/toy.safetensors"},
            "dataset": {
                "folders": [
                    {"path": "/home/bob smith/pics/10_anna", "repeats": 3, "mask": "/home/bob smith/masks/anna"},
                    {"path": r"D:\\b\\c"},
                ]
            },
            "sampling": {"prompts_file": "/home/bob smith/prompts.txt"},
            "validation": {"folder": "/home/bob smith/held"},
            "saving": saving,
        }
    )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/bob/models/a.safetensors", "a.safetensors"),
        (r"C:\Users\bob\a.ckpt", "a.ckpt"),
        ("/home/bob/model/", "model"),
        ("runwayml/stable-diffusion-v1-5", "runwayml/stable-diffusion-v1-5"),
        ("models/a.safetensors", "a.safetensors"),
        ("", ""),
    ],
)
def test_only_the_name_of_a_model_is_told(path: str, name: str) -> None:
    assert file_name(path) == name


@pytest.mark.parametrize("publish", [False, True])
def test_a_shared_recipe_is_whole_and_names_no_folder(publish: bool) -> None:
    text = recipe_text(private(publish=publish))
    assert "bob" not in text and "/home" not in text and "D:" not in text and "#" not in text
    assert ("anna" in text) is publish
    again = presets.loads(text)
    assert again == shareable(private(publish=publish))
    assert again.model.path == "toy.safetensors" and again.dataset.folders[0].repeats == 3
    assert [row.mask for row in again.dataset.folders] == ["anna" if publish else "masks 1", ""]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/bob smith/pics/10_anna/my cat.png is skipped: cut short", "an image is skipped: cut short"),
        ("1 mask cannot be read: /home/bob smith/masks/anna/my cat.png", "1 mask cannot be read: an image"),
        ("No such file: '/home/bob smith/models/toy.safetensors'", "No such file: 'toy.safetensors'"),
        ("in /opt/py/lib/site.py, 12.3 images/s and/or 1/2", "in site.py, 12.3 images/s and/or 1/2"),
        ("C:\\Users\\bob smith\\x\\cat.safetensors cannot", "cat.safetensors cannot"),
        ("\\\\server\\share\\a.txt", "a.txt"),
        ("cat.png, b.jpg and dog.JPG are alike", "images are alike"),
        ("of cat.png the copy", "of an image the copy"),
        ("see https://huggingface.co/a/b", "see https://huggingface.co/a/b"),
        ("~/x/y.txt", "y.txt"),
        ("nothing private, 27 train, 3 held out", "nothing private, 27 train, 3 held out"),
    ],
)
def test_texts_lose_their_folders(text: str, told: str) -> None:
    assert Cleaner(private())(text) == told


def test_published_pictures_keep_their_names() -> None:
    clean = Cleaner(private(publish=True), [Path("/srv/runs/a b")])
    assert clean("/home/bob smith/pics/10_anna/cat.png in /srv/runs/a b/x.log") == "cat.png in x.log"
