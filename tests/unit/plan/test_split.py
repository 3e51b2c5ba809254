"""Held-out images: how many, which, that no near-duplicate of one is trained on, and that they keep their side."""

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.contract.parse import parse_split
from trainer.plan import sides
from trainer.plan.buckets import Size
from trainer.plan.scan import ImageFile
from trainer.plan.sides import Known, Sides
from trainer.plan.split import Division, divide, held_out_count, sides_of


def files(folder: Path, contents: Sequence[bytes]) -> list[ImageFile]:
    """Files that no decoder takes: alike only where they are equal."""
    folder.mkdir(exist_ok=True)
    found = []
    for number, content in enumerate(contents):
        path = folder / f"{number:03d}.png"
        path.write_bytes(content)
        found.append(ImageFile(path, path.name, Size(8, 8), 0, "x", 3, None, len(content), path.stat().st_mtime))
    return found


_MEMORY = itertools.count()
CONTENTS = [random.Random(number).randbytes(200) for number in range(60)]


def split(images: Sequence[ImageFile], how: str, before: Sides | None = None) -> Division:
    return divide(images, how, Known(), before or Sides())


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


def contents_of(images: Sequence[ImageFile], indices: Sequence[int]) -> set[bytes]:
    return {images[index].path.read_bytes() for index in indices}


def held_contents(images: list[ImageFile], how: str, before: Sides | None = None) -> set[bytes]:
    return contents_of(images, split(images, how, before).held_out)


def test_names_and_order_do_not_matter(tmp_path: Path) -> None:
    first = held_contents(files(tmp_path / "a", CONTENTS[:30]), "auto")
    assert len(first) == 3
    assert held_contents(files(tmp_path / "b", CONTENTS[:30][::-1]), "auto") == first


def test_few_change_sides_when_images_are_added_and_nothing_is_remembered(tmp_path: Path) -> None:
    before = held_contents(files(tmp_path / "a", CONTENTS[:40]), "10 %")
    after = held_contents(files(tmp_path / "b", CONTENTS[:44]), "10 %")
    assert len(before) == len(after) == 4
    assert len(before & after) >= 2
    old_to_held = {content for content in after if content in CONTENTS[:40]} - before
    assert not old_to_held


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sets(st.integers(0, 59), min_size=8), min_size=2, max_size=5), st.sampled_from(["10 %", "3 images"]))
def test_remembered_images_never_move(folder: Path, stages: list[set[int]], how: str) -> None:
    """Run after run, with images added and removed at random: who was trained on is never held out later, and the
    other way round, as long as some of both are left."""
    known = {number: files(folder / str(number), [CONTENTS[number]])[0] for number in set().union(*stages)}
    cache, sides_seen = folder / f"memory {next(_MEMORY)}", dict[int, str]()
    for stage in stages:
        images = [known[number] for number in sorted(stage)]
        before = sides.of_folders(cache, ["/somewhere"], how)
        division = split(images, how, before)
        assert sorted(division.train + division.held_out) == list(range(len(images)))
        assert division.train and division.held_out
        now = dict.fromkeys([sorted(stage)[index] for index in division.held_out], "held")
        now |= dict.fromkeys([sorted(stage)[index] for index in division.train], "train")
        if division.earlier:
            moved = {number for number in now if sides_seen.get(number, now[number]) != now[number]}
            assert not moved
        hashes = [sides_of(images, division).held_out, sides_of(images, division).trained]
        everyone = [content for side in hashes for content in side]
        sides.keep_for_folders(cache, [everyone], ["/somewhere"], how, sides_of(images, division))
        sides_seen |= now


def test_copies_stay_on_one_side(tmp_path: Path) -> None:
    images = files(tmp_path / "a", CONTENTS[:10] * 2)
    found = split(images, "5 images")
    assert sorted(found.train + found.held_out) == list(range(20)) and len(found.held_out) == 4
    assert not contents_of(images, found.train) & contents_of(images, found.held_out)
    assert len(split(images, "1 image").held_out) == 2, "no pair has room in one, but none would be too few"


def test_a_large_group_is_not_held_out_for_a_few(tmp_path: Path) -> None:
    images = files(tmp_path / "a", CONTENTS[:1] * 30 + CONTENTS[1:11])
    found = split(images, "4 images")
    assert len(found.held_out) == 4 and min(found.held_out) >= 30


def test_a_folder_of_copies_is_trained_on_as_a_whole(tmp_path: Path) -> None:
    found = split(files(tmp_path / "a", CONTENTS[:1] * 5), "2 images")
    assert (found.train, found.held_out, found.wanted) == ((0, 1, 2, 3, 4), (), 2)


def test_the_choice_is_made_anew_where_all_of_one_side_are_gone(tmp_path: Path) -> None:
    images = files(tmp_path / "a", CONTENTS[:30])
    first = split(images, "auto")
    before = sides_of(images, first)
    left = [images[index] for index in first.train]
    assert len(split(left, "auto", Sides(before.held_out, before.trained)).held_out) == 3
    rest = [images[index] for index in first.held_out]
    again = split(rest, "1 image", Sides(before.held_out, before.trained))
    assert len(again.train) == 2 and len(again.held_out) == 1


def test_a_run_keeps_the_split_that_it_began_with(tmp_path: Path) -> None:
    images = files(tmp_path / "a", CONTENTS[:20])
    first = split(images, "auto")
    sides.keep_for_run(tmp_path, sides_of(images, first))
    before = sides.of_run(tmp_path)
    assert before is not None and before.final
    more = files(tmp_path / "b", CONTENTS[:60])
    again = split(more, "auto", before)
    assert contents_of(more, again.held_out) == contents_of(images, first.held_out)
    assert len(again.train) == 58
    assert split(more, "off", before).held_out == again.held_out, "who has been trained on cannot be told otherwise"


def test_a_run_that_began_without_held_out_images_goes_on_so(tmp_path: Path) -> None:
    images = files(tmp_path / "a", CONTENTS[:19])
    sides.keep_for_run(tmp_path, sides_of(images, split(images, "auto")))
    more = files(tmp_path / "b", CONTENTS[:40])
    assert split(more, "auto", sides.of_run(tmp_path)).held_out == ()
    assert sides.of_run(tmp_path / "none") is None
