"""Changes of many captions, and looking through a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from gui.studio.captions import DEEDS, Deed, changed, counted, tags_of
from gui.studio.folder import Opened, Rules, View, look_through, open_folder
from trainer.contract.families import default_family
from trainer.contract.preset import resolve
from trainer.contract.problems import Problems
from trainer.contract.settings import Preset

COUNTS = {"cat": 3, "red": 1, "dog": 2}


@pytest.mark.parametrize(
    ("deed", "before", "after"),
    [
        (Deed("add_front", "zorb"), "cat, red", "zorb, cat, red"),
        (Deed("add_front", "CAT"), "cat, red", "cat, red"),
        (Deed("add_end", "a, b"), "cat,red", "cat, red, a, b"),
        (Deed("add_end", "a"), "", "a"),
        (Deed("remove", "red, cat"), "cat, Red, dog", "dog"),
        (Deed("replace_tag", "red", "blue"), "red, red hat", "blue, red hat"),
        (Deed("replace_tag", "red", ""), "red, red hat", "red hat"),
        (Deed("replace_text", "red", "blue"), "red, red hat", "blue, blue hat"),
        (Deed("trigger", "zorb"), "cat, zorb", "zorb, cat"),
        (Deed("trigger", "zorb"), "zorb,cat", "zorb,cat"),
        (Deed("sort"), "red, dog, cat", "cat, dog, red"),
        (Deed("doubles"), "cat, Cat, dog,cat", "cat, dog"),
        (Deed("doubles"), "cat ,dog", "cat ,dog"),
        (Deed("remove", "b", separator=";"), "a, x; b; c", "a, x; c"),
        (Deed("remove", "cat"), "cat, dog\ncat on a second line\n", "dog\ncat on a second line\n"),
    ],
)
def test_deeds(deed: Deed, before: str, after: str) -> None:
    assert changed(before, deed, COUNTS) == after


@settings(max_examples=60, deadline=None)
@given(some.text(max_size=40), some.sampled_from([*DEEDS, "replace_text"]), some.text(min_size=1, max_size=8))
def test_a_deed_done_twice_is_done_once(text: str, kind: str, what: str) -> None:
    """But for plain text, where the new may contain the old again."""
    deed = Deed(kind, what.strip() or "x", "" if kind == "replace_text" else "y")
    once = changed(text, deed, COUNTS)
    if kind in ("add_front", "add_end", "remove", "doubles", "sort"):
        assert changed(once, deed, COUNTS) == once
    if kind == "sort":
        assert sorted(tags_of(once.split("\n")[0])) == sorted(tags_of(text.split("\n")[0]))


def test_a_tag_counts_once_a_caption() -> None:
    assert counted(["a, a, b", "a", ""]) == {"a": 2, "b": 1}


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    folder = tmp_path / "set"
    (folder / "3_more").mkdir(parents=True)
    for name, size in (("a.png", (64, 64)), ("b.png", (64, 128)), ("3_more/c.png", (300, 200))):
        Image.new("RGB", size).save(folder / name)
    (folder / "a.txt").write_text("cat, red", encoding="utf-8")
    (folder / "b.txt").write_text("cat", encoding="utf-8")
    (folder / "broken.png").write_bytes(b"no picture")
    return open_folder(folder, Rules(), resolve(Preset(), default_family()).dataset)


def test_a_folder_is_read_with_its_numbered_folders(opened: Opened) -> None:
    assert list(opened.rows) == ["a.png", "b.png", "3_more/c.png"]
    assert [bad.path.name for bad in opened.unreadable] == ["broken.png"]
    assert opened.rows["3_more/c.png"].caption is None and opened.rows["a.png"].caption == "cat, red"
    assert str(opened.rows["b.png"].placed.bucket) == "320x704"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("view", "names"),
    [
        (View(), ["a.png", "b.png", "3_more/c.png"]),
        (View(caption="without"), ["3_more/c.png"]),
        (View(tags=("CAT",)), ["a.png", "b.png"]),
        (View(tags=("cat", "red")), ["a.png"]),
        (View(text="MORE"), ["3_more/c.png"]),
        (View(text="red"), ["a.png"]),
        (View(bucket="320x704"), ["b.png"]),
        (View(only=frozenset({"b.png", "gone.png"})), ["b.png"]),
        (View(sort="caption length"), ["3_more/c.png", "b.png", "a.png"]),
        (View(sort="size"), ["a.png", "b.png", "3_more/c.png"]),
    ],
)
def test_looking_through(opened: Opened, view: View, names: list[str]) -> None:
    assert look_through(opened, view) == names


def test_a_deed_on_files_tells_first_and_can_be_taken_back(opened: Opened, tmp_path: Path) -> None:
    history, names = tmp_path / "history.jsonl", list(opened.rows)
    deed = Deed("add_front", "zorb")
    told = opened.after(deed, names)
    assert told["3_more/c.png"] == ("", "zorb") and len(told) == 3
    change = opened.do(deed, names, history)
    assert change is not None and set(change.texts) == {"a.txt", "b.txt", "3_more/c.txt"}
    assert opened.rows["3_more/c.png"].caption == "zorb"
    assert opened.do(deed, names, history) is None


def test_a_caption_that_is_no_text_is_never_overwritten(opened: Opened, tmp_path: Path) -> None:
    file = opened.path / "a.txt"
    file.write_bytes(b"\xff\xfe")
    opened.refresh(["a.png"])
    assert opened.after(Deed("add_end", "x"), ["a.png"]) == {}
    with pytest.raises(Problems, match="UTF-8"):
        opened.write({"a.png": "new"}, "x", tmp_path / "history.jsonl")
    assert file.read_bytes() == b"\xff\xfe"
