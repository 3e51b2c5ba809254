"""Held-out images: how many, which, and that no copy of one is trained on."""

import random
from pathlib import Path

import pytest

from trainer.contract.parse import parse_split
from trainer.plan.buckets import Size
from trainer.plan.scan import ImageFile
from trainer.plan.split import held_out_count, split


def files(folder: Path, contents: list[bytes]) -> list[ImageFile]:
    folder.mkdir(exist_ok=True)
    found = []
    for number, content in enumerate(contents):
        path = folder / f"{number:03d}.png"
        path.write_bytes(content)
        found.append(ImageFile(path, path.name, Size(8, 8), 0, "x", 3, None, len(content), 1.0))
    return found


CONTENTS = [random.Random(number).randbytes(200) for number in range(60)]


@pytest.mark.parametrize(
    ("images", "how", "count"),
    [
        (19, "auto", 0),
        (20, "auto", 2),
        (100, "auto", 10),
        (5, "10 %", 1),
        (40, "25%", 10),
        (9, "4 images", 4),
        (3, "4 images", 2),
        (1, "1 image", 0),
        (100, "off", 0),
    ],
)
def test_how_many(images: int, how: str, count: int) -> None:
    assert held_out_count(images, how) == count


@pytest.mark.parametrize("text", ["10", "100 %", "-1 images", "some", "", "1.5 images", "0 %", "0 images"])
def test_what_is_not_understood(text: str) -> None:
    with pytest.raises(ValueError, match="write it as"):
        parse_split(text)


def held_contents(images: list[ImageFile], how: str) -> set[bytes]:
    return {images[index].path.read_bytes() for index in split(images, how)[1]}


def test_names_and_order_do_not_matter(tmp_path: Path) -> None:
    first = held_contents(files(tmp_path / "a", CONTENTS[:30]), "auto")
    assert len(first) == 3
    assert held_contents(files(tmp_path / "b", CONTENTS[:30][::-1]), "auto") == first


def test_few_change_sides_when_images_are_added(tmp_path: Path) -> None:
    before = held_contents(files(tmp_path / "a", CONTENTS[:40]), "10 %")
    after = held_contents(files(tmp_path / "b", CONTENTS[:44]), "10 %")
    assert len(before) == len(after) == 4
    assert len(before & after) >= 2
    old_to_held = {content for content in after if content in CONTENTS[:40]} - before
    assert not old_to_held


def test_copies_stay_on_one_side(tmp_path: Path) -> None:
    images = files(tmp_path / "a", CONTENTS[:10] * 2)
    train, held = split(images, "3 images")
    assert sorted(train + held) == list(range(20)) and len(held) == 4
    sides = [{images[index].path.read_bytes() for index in side} for side in (train, held)]
    assert not sides[0] & sides[1]


def test_a_folder_of_copies_is_trained_on_as_a_whole(tmp_path: Path) -> None:
    assert split(files(tmp_path / "a", CONTENTS[:1] * 5), "2 images") == ((0, 1, 2, 3, 4), ())
