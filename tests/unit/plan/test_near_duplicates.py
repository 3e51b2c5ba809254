"""What counts as the same picture, what does not, and that no near-duplicate of a held-out image is trained on."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from trainer.plan import prints as printing
from trainer.plan.buckets import Size
from trainer.plan.likeness import PRINT_BYTES, Likeness, print_of
from trainer.plan.scan import ImageFile
from trainer.plan.sides import Known, Sides
from trainer.plan.split import divide, divide_by_folder, sides_of

DEMO = Path(__file__).parents[3] / "presets" / "demo" / "images"


def scene(seed: int) -> Image.Image:
    """Soft clouds of colour, another for each seed."""
    draw = np.random.default_rng(seed)
    small = Image.fromarray(draw.integers(0, 255, (7, 7, 3), dtype=np.uint8))
    return small.resize((192, 192), Image.Resampling.BICUBIC)


def blend(seed: int, other: int, share: float) -> Image.Image:
    """Between two scenes: 0 is the first."""
    return Image.blend(scene(seed), scene(other), share)


def file(path: Path) -> ImageFile:
    status = path.stat()
    return ImageFile(path, f"x/{path.name}", Size(8, 8), 0, "x", 1, None, status.st_size, status.st_mtime)


def saved(folder: Path, name: str, image: Image.Image, **options: object) -> ImageFile:
    image.save(folder / name, **options)
    return file(folder / name)


def copies(folder: Path, seed: int) -> list[ImageFile]:
    image = scene(seed)
    turned = image.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by a quarter: as the original
    clear = image.convert("RGBA")
    return [
        saved(folder, f"{seed} a.png", image),
        saved(folder, f"{seed} b.jpg", image.resize((400, 400), Image.Resampling.BICUBIC), quality=40),
        saved(folder, f"{seed} c.webp", image.resize((90, 90), Image.Resampling.LANCZOS), quality=60),
        saved(folder, f"{seed} d.png", ImageOps.mirror(image)),
        saved(folder, f"{seed} e.jpg", ImageOps.mirror(image).resize((120, 120)), quality=50),
        saved(folder, f"{seed} f.png", image.point(lambda level: min(255, int(level * 1.15)))),
        saved(folder, f"{seed} g.jpg", turned, quality=90, exif=exif),
        saved(folder, f"{seed} h.png", clear),
        saved(folder, f"{seed} i.png", image.convert("L")),
        saved(folder, f"{seed} j.png", image.quantize(64)),
    ]


def groups(images: list[ImageFile]) -> list[list[int]]:
    contents = [printing.content_hash(image) for image in images]
    return Likeness(contents, [print_of(image.path) for image in images]).parts()


def test_copies_in_another_size_format_quality_or_mirrored_are_one_group(tmp_path: Path) -> None:
    images = copies(tmp_path, 1) + copies(tmp_path, 2)
    assert groups(images) == [list(range(10)), list(range(10, 20))]


def test_other_pictures_are_not(tmp_path: Path) -> None:
    images = [saved(tmp_path, f"{seed}.png", scene(seed)) for seed in range(40)]
    assert len(groups(images)) == 40


def test_the_demos_badges_are_sixteen_pictures_however_like_they_look() -> None:
    assert len(groups([file(path) for path in sorted(DEMO.glob("*.png"))])) == 16


def test_even_pictures_and_what_cannot_be_decoded_are_alike_only_where_they_are_equal(tmp_path: Path) -> None:
    images = [saved(tmp_path, f"{level}.png", Image.new("RGB", (64, 64), (level, 0, 0))) for level in range(4)]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "copy.png").write_bytes(b"no picture")
    assert print_of(tmp_path / "broken.png") == print_of(tmp_path / "0.png") == b""
    assert groups([*images, file(tmp_path / "broken.png"), file(tmp_path / "copy.png")])[4:] == [[4, 5]]


def test_sixteen_bit_grey_keeps_its_structure(tmp_path: Path) -> None:
    grey = np.asarray(scene(3).convert("L"))
    deep = saved(tmp_path, "deep.png", Image.fromarray(grey.astype(np.uint16) * 200))
    assert groups([deep, saved(tmp_path, "plain.png", Image.fromarray(grey))]) == [[0, 1]]


def test_a_split_holds_whole_groups_out(tmp_path: Path) -> None:
    images = [image for seed in range(12) for image in copies(tmp_path, seed)[:3]]
    found = divide(images, "25 %", Known(), Sides())
    assert len(found.held_out) == 9 and sorted(found.train + found.held_out) == list(range(36))
    sides = [{index // 3 for index in side} for side in (found.train, found.held_out)]
    assert not sides[0] & sides[1]
    assert len(found.alike) == 12 and not found.aside


def test_an_image_that_links_both_sides_is_on_neither(tmp_path: Path) -> None:
    """Two scenes far from each other, then pictures in between appear: a near-duplicate of the held-out one is not
    trained on; a near-duplicate of the trained one may be."""
    images = [saved(tmp_path, f"{seed}.png", scene(seed)) for seed in range(8)]
    first = divide(images, "1 image", Known(), Sides())
    [held], before = first.held_out, sides_of(images, first)
    before = Sides(before.held_out, before.trained)
    partner = first.train[0]
    steps = [saved(tmp_path, f"m{i:02d}.png", blend(held, partner, i / 20)) for i in range(1, 20)]
    everything = [*images, *steps]
    again = divide(everything, "1 image", Known(), before)
    assert again.held_out == (held,) and partner in again.train
    marks = [print_of(image.path) for image in everything]
    near = Likeness([bytes([i]) for i in range(len(marks))], marks).near(list(again.held_out))
    assert again.aside == tuple(sorted(set(near) - {held})) and len(again.aside) >= 2
    assert sorted(again.train + again.held_out + again.aside) == list(range(len(everything)))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[ImageFile], np.ndarray]:
    """Pictures of every degree of likeness, and who is a near-duplicate of whom."""
    folder = tmp_path_factory.mktemp("pool")
    images = [image for seed in range(6) for image in copies(folder, seed)[:3]]
    for place in range(1, 7):  # a chain from scene 0 to scene 1, each link a near-duplicate of the next
        images.append(saved(folder, f"chain {place}.png", blend(0, 1, place / 7)))
    images += [saved(folder, f"{seed}.png", scene(seed)) for seed in range(20, 26)]
    marks = [print_of(image.path) for image in images]
    alike = Likeness([printing.content_hash(image) for image in images], marks)
    near = np.array([[other in alike.near([place]) for other in range(len(images))] for place in range(len(images))])
    assert 20 < near.sum() - len(images) < 120
    return images, near


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.integers(0, 29), min_size=6), min_size=2, max_size=4), st.sampled_from(["20 %", "3 images"]))
def test_nothing_leaks_and_nothing_changes_sides(
    pool: tuple[list[ImageFile], np.ndarray], stages: list[set[int]], how: str
) -> None:
    """Run after run with images added and removed: no near-duplicate is on the other side, and an image that was on a
    side is there again, or on neither."""
    images, near = pool
    before, held_before, trained_before = Sides(), set[int](), set[int]()
    for stage in stages:
        here = sorted(stage)
        found = divide([images[number] for number in here], how, Known(), before)
        train, held, aside = ({here[place] for place in side} for side in (found.train, found.held_out, found.aside))
        assert train | held | aside == stage and len(train) + len(held) + len(aside) == len(stage) and train
        assert not near[np.ix_(sorted(train), sorted(held))].any()
        if found.earlier:
            assert not train & held_before and not held & trained_before and not aside & held_before
        assert all(near[number, sorted(held)].any() for number in aside)
        now = sides_of([images[number] for number in here], found)
        if found.held_out:
            before = Sides(
                (before.held_out - now.trained) | now.held_out, (before.trained - now.held_out) | now.trained
            )
            held_before, trained_before = (held_before - train) | held, (trained_before - held) | train


def test_a_new_near_duplicate_goes_to_its_groups_side(tmp_path: Path) -> None:
    images = [saved(tmp_path, f"{seed}.png", scene(seed)) for seed in range(20)]
    first = divide(images, "auto", Known(), Sides())
    before = sides_of(images, first)
    more = [saved(tmp_path, f"again {seed}.jpg", ImageOps.mirror(scene(seed)), quality=70) for seed in range(20)]
    again = divide([*images, *more], "auto", Known(), Sides(before.held_out, before.trained))
    assert {index % 20 for index in again.held_out} == set(first.held_out) and len(again.held_out) == 4
    going_on = divide([*images, *more], "auto", Known(), before)
    assert going_on.held_out == first.held_out, "of a run that has begun"
    assert {index - 20 for index in going_on.aside} == set(first.held_out)


def test_near_duplicates_of_a_folder_of_its_own_are_found(tmp_path: Path) -> None:
    train = [saved(tmp_path, f"{seed}.png", scene(seed)) for seed in range(6)]
    own = [saved(tmp_path, "own 1.png", scene(30)), saved(tmp_path, "own 2.jpg", ImageOps.mirror(scene(4)))]
    found = divide_by_folder([*train, *own], 6, Known(), Sides())
    assert (found.train, found.held_out, found.leaks) == (tuple(range(6)), (6, 7), ((4, 7),))


def test_prints_are_kept_on_disk_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forget() -> None:
        for name in ("_contents", "_prints", "_loaded", "_told"):
            getattr(printing, name).clear()

    images = [saved(tmp_path, f"{seed}.png", scene(seed)) for seed in range(3)]
    before = printing.prints(images, tmp_path / "cache")
    forget()
    changed = saved(tmp_path, "0.png", scene(9))
    made: list[Path] = []
    monkeypatch.setattr("trainer.plan.likeness.print_of", lambda path: made.append(path) or b"\1" * PRINT_BYTES)
    after = printing.prints([changed, *images[1:]], tmp_path / "cache")
    assert made == [changed.path] and after[1:] == before[1:] and after[0] == b"\1" * PRINT_BYTES
    [kept] = (tmp_path / "cache" / "prints").iterdir()
    kept.write_text("{", encoding="utf-8")
    forget()
    assert printing.prints(images[1:], tmp_path / "cache") == [b"\1" * PRINT_BYTES] * 2, "a damaged file counts as none"
    forget()


def test_a_preview_does_not_wait_and_finds_more_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [saved(tmp_path, f"slow {seed}.png", scene(seed)) for seed in range(6)]

    def slowly(path: Path) -> bytes:
        time.sleep(0.1)
        return print_of(path)

    monkeypatch.setattr("trainer.plan.likeness.print_of", slowly)
    found = divide(images, "2 images", Known(patience_s=0.0), Sides())
    assert found.compared < 6 and len(found.held_out) == 2
    assert divide(images, "2 images", Known(), Sides()).compared == 6


def test_ten_thousand_images_are_compared_in_seconds() -> None:
    draw = np.random.default_rng(0)
    marks = [np.packbits(draw.random(8 * PRINT_BYTES) < 0.25).tobytes() for _ in range(3000)]
    began = time.process_time()
    assert len(Likeness([index.to_bytes(3) for index in range(3000)], marks).parts()) == 3000
    same = Likeness([index.to_bytes(3) for index in range(10_000)], marks[:1] * 10_000)
    assert len(same.parts()) == 1
    assert time.process_time() - began < 10
