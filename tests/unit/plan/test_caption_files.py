"""Caption files: nothing that was there is lost, whatever is done and undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.contract.problems import Problems
from trainer.plan import captionfiles


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "own" / "history.jsonl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.txt").write_text("one, two", encoding="utf-8")
    (folder / "b.txt").write_bytes("﻿Grüße\n".encode())
    return folder


def test_a_change_is_written_kept_and_taken_back(folder: Path, history: Path) -> None:
    texts = {folder / "a.txt": "three", folder / "b.txt": "Grüße\n", folder / "new.txt": "fresh"}
    change = captionfiles.write(folder, texts, "tried", history)
    assert change is not None and set(change.texts) == {"a.txt", "new.txt"}, "what says the same is left alone"
    assert (folder / "new.txt").read_text(encoding="utf-8") == "fresh"
    assert captionfiles.original(history, "a.txt") == "one, two"
    assert captionfiles.original(history, "new.txt") is None
    assert captionfiles.undo(folder, history) is not None
    assert (folder / "a.txt").read_text(encoding="utf-8") == "one, two" and not (folder / "new.txt").exists()
    assert captionfiles.undo(folder, history) is None


def test_changes_are_undone_newest_first_and_the_first_text_stays_the_original(folder: Path, history: Path) -> None:
    for text in ("first", "second", "third"):
        captionfiles.write(folder, {folder / "a.txt": text}, text, history)
    assert captionfiles.original(history, "a.txt") == "one, two"
    said = []
    while captionfiles.undo(folder, history):
        said.append((folder / "a.txt").read_text(encoding="utf-8"))
    assert said == ["second", "first", "one, two"]


def test_what_somebody_else_wrote_meanwhile_is_not_undone(folder: Path, history: Path) -> None:
    captionfiles.write(folder, {folder / "a.txt": "ours", folder / "b.txt": "ours"}, "both", history)
    (folder / "a.txt").write_text("theirs", encoding="utf-8")
    captionfiles.undo(folder, history)
    assert (folder / "a.txt").read_text(encoding="utf-8") == "theirs"
    assert (folder / "b.txt").read_text(encoding="utf-8-sig") == "Grüße\n"
    assert captionfiles.undoable(history) is None


def test_nothing_outside_of_the_folder_is_written(folder: Path, history: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "x.txt", folder / ".." / "x.txt"):
        with pytest.raises(Problems, match="outside"):
            captionfiles.write(folder, {folder / "a.txt": "new", path: "bad"}, "out", history)
    assert not (tmp_path / "x.txt").exists() and (folder / "a.txt").read_text(encoding="utf-8") == "one, two"


def test_no_text_is_changed_whose_history_cannot_be_kept(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(Problems, match="cannot be kept"):
        captionfiles.write(folder, {folder / "a.txt": "new"}, "x", tmp_path / "file" / "history.jsonl")
    assert (folder / "a.txt").read_text(encoding="utf-8") == "one, two"


def test_a_torn_last_line_of_the_history_hides_nothing_else(folder: Path, history: Path) -> None:
    captionfiles.write(folder, {folder / "a.txt": "new"}, "x", history)
    with open(history, "a", encoding="utf-8") as file:
        file.write('{"time": 1, "wh')
    assert captionfiles.original(history, "a.txt") == "one, two"


def test_a_file_that_is_no_text_is_told_and_left(folder: Path, history: Path) -> None:
    (folder / "c.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Problems, match="UTF-8"):
        captionfiles.write(folder, {folder / "c.txt": "new"}, "x", history)
    assert (folder / "c.txt").read_bytes() == b"\xff\xfe\x00"
