"""The scan: formats, rotation, Kohya's folders, and everything that can be wrong with a folder."""

import os
from pathlib import Path

import pytest
from PIL import Image

from trainer.contract.problems import Problem, Problems
from trainer.contract.settings import Folder
from trainer.plan.buckets import Size
from trainer.plan.headers import Measure
from trainer.plan.scan import Scan, scan


def picture(path: Path, size: tuple[int, int] = (40, 24), mode: str = "RGB", **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 0).save(path, **how)  # type: ignore[arg-type]
    return path


def scanned(path: Path | str, **row: object) -> Scan:
    return scan([Folder(path=str(path), **row)])  # type: ignore[arg-type]


def problem_of(path: Path | str) -> Problem:
    with pytest.raises(Problems) as caught:
        scanned(path)
    (problem,) = caught.value.problems
    assert problem.path == "dataset.folders"
    return problem


@pytest.mark.parametrize("ending", ["png", "jpg", "JPEG", "webp", "bmp", "avif"])
def test_every_format_is_measured(tmp_path: Path, ending: str) -> None:
    picture(tmp_path / f"a.{ending}")
    assert [image.size for image in scanned(tmp_path).images] == [Size(40, 24)]


def test_heic_is_measured(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.new("RGB", (64, 48))).save(tmp_path / "a.heic")
    assert scanned(tmp_path).images[0].size == Size(64, 48)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_kind_of_png_is_measured(tmp_path: Path, mode: str) -> None:
    assert Measure()(str(picture(tmp_path / "a.png", mode=mode))) == Size(40, 24)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize(("orientation", "size"), [(1, Size(40, 24)), (3, Size(40, 24)), (6, Size(24, 40))])
def test_exif_rotation_counts(tmp_path: Path, ending: str, orientation: int, size: Size) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert Measure()(str(picture(tmp_path / f"a.{ending}", exif=exif))) == size


def test_reading_by_hand_equals_pillow_for_all_ways_to_write_a_jpeg(tmp_path: Path) -> None:
    for number, how in enumerate(
        ({}, {"progressive": True}, {"quality": 5}, {"optimize": True}, {"comment": b"x" * 5000}, {"dpi": (72, 72)})
    ):
        path = picture(tmp_path / f"{number}.jpg", (33 + number, 50), **how)
        assert Measure()(str(path)) == Size(33 + number, 50)


def test_the_name_may_lie_about_the_format(tmp_path: Path) -> None:
    picture(tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert scanned(tmp_path).images[0].size == Size(40, 24)


def test_captions_are_found_whatever_their_case_and_other_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "._a.png", "c.gif.png"):
        picture(tmp_path / name)
    for name in ("a.txt", "B.TXT", "notes.md"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    images = scanned(tmp_path).images
    assert [(i.path.name, i.caption_file and i.caption_file.name) for i in images] == [
        ("a.png", "a.txt"),
        ("b.png", "B.TXT"),
        ("c.gif.png", None),
    ]


def test_a_leaf_and_a_parent_of_kohyas_folders(tmp_path: Path) -> None:
    picture(tmp_path / "data" / "10_my cat" / "a.png")
    picture(tmp_path / "data" / "3_dog" / "a.png")
    picture(tmp_path / "data" / "other" / "a.png")
    parent = scanned(tmp_path / "data")
    assert [(i.class_name, i.repeats, i.key) for i in parent.images] == [
        ("my cat", 10, "data/10_my cat/a.png"),
        ("dog", 3, "data/3_dog/a.png"),
    ]
    assert len(parent.notes) == 1 and "other" in parent.notes[0]
    (leaf,) = scanned(tmp_path / "data" / "10_my cat").images
    assert (leaf.class_name, leaf.repeats) == ("my cat", 10)
    assert scanned(tmp_path / "data" / "10_my cat", repeats=4).images[0].repeats == 4
    assert [i.repeats for i in scanned(tmp_path / "data", repeats=2).images] == [20, 6]


def test_damaged_files_are_named_and_skipped(tmp_path: Path) -> None:
    picture(tmp_path / "good.png")
    (tmp_path / "text.png").write_text("no image", encoding="utf-8")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:20])
    (tmp_path / "folder.png").mkdir()
    found = scanned(tmp_path)
    assert [image.path.name for image in found.images] == ["good.png"]
    assert sorted(bad.path.name for bad in found.unreadable) == ["cut.png", "empty.jpg", "text.png"]
    assert all(bad.why for bad in found.unreadable)


def test_all_damaged_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image", encoding="utf-8")
    problem = problem_of(tmp_path)
    assert "text.png" in problem.why and problem.kind == "data"


def test_wrong_folders_get_one_clear_error_each(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    assert "did you mean" in problem_of(tmp_path / "picturs").fix
    assert "no images" in problem_of(tmp_path / "pictures").why
    assert "is a file" in problem_of(picture(tmp_path / "a.png")).why
    assert "does not exist either" in problem_of(tmp_path / "x" / "y" / "z").fix
    assert "has no folder" in problem_of("").why
    with pytest.raises(Problems) as caught:
        scan([])
    assert caught.value.exit_code == 2
    with pytest.raises(Problems) as both:
        scan([Folder(path=str(tmp_path / "x")), Folder(path=str(tmp_path / "y"))])
    assert len(both.value.problems) == 2 and both.value.exit_code == 3


@pytest.mark.skipif(os.name == "nt", reason="there it is a path of this computer")
def test_a_windows_path_elsewhere_is_said_to_be_one() -> None:
    assert "Windows" in problem_of("/home/me/C:\\Users\\me\\pictures").why
