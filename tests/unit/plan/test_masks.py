"""Masks: which file is whose, what is wrong with them, and that they stay where their picture is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from trainer.contract import families, preset
from trainer.contract.problems import Problem, Problems
from trainer.plan import mask_facts, pixels
from trainer.plan.balance import Turns
from trainer.plan.buckets import Placed, Size, fit, fit_without_enlarging, make_buckets, nearest_bucket
from trainer.plan.captions import Source
from trainer.plan.draws import Draw, Draws, Recipe, Subject
from trainer.plan.facts import facts
from trainer.plan.masks import check_decoded, same_shape
from trainer.plan.pixels import open_mask, seen, seen_mask, shares, to_alpha, to_grey
from trainer.plan.plan import Plan, make_plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures of different endings and letter case, and a folder of masks for three of them."""
    place, masks = tmp_path / "zorb", tmp_path / "masks"
    place.mkdir()
    masks.mkdir()
    for number, name in enumerate(("one.png", "Two.JPG", "three.webp", "four.png")):
        Image.new("RGB", (96, 64), (40 * number, 0, 0)).save(place / name)
    half = Image.new("L", (48, 32), 0)
    half.paste(255, (0, 0, 24, 32))
    half.save(masks / "ONE.png")
    half.save(masks / "two.webp", lossless=True)
    half.convert("RGB").save(masks / "three.JPG")
    return place


def plan_of(folder: Path, masks: str = "folders", **changes: Any) -> Plan:
    values = {
        "dataset.folders": [{"path": str(folder), "mask": str(folder.parent / "masks")}],
        "dataset.masks": masks,
        "dataset.resolution": 128,
        "dataset.bucket_min": 64,
        "dataset.bucket_max": 256,
        "dataset.bucket_step": 32,
        "validation.split": "off",
        **{path.replace("__", "."): value for path, value in changes.items()},
    }
    chosen = preset.with_values(preset.build({}), values)
    return make_plan(preset.resolve(chosen, families.default_family()))


def problems_of(folder: Path, **changes: Any) -> tuple[Problem, ...]:
    with pytest.raises(Problems) as caught:
        plan_of(folder, **changes)
    return caught.value.problems


def check_masks(plan: Plan) -> list[Problem]:
    return check_decoded(plan.images, plan.preset.dataset)


def test_a_mask_is_found_by_its_images_name_whatever_the_ending_and_case(folder: Path) -> None:
    plan = plan_of(folder)
    found = {image.path.name: image.mask and image.mask.name for image in plan.images}
    assert found == {"one.png": "ONE.png", "Two.JPG": "two.webp", "three.webp": "three.JPG", "four.png": None}
    told = next(fact for fact in facts(plan) if fact.name == "Masks")
    assert told.value == "3 of 4 images have one; what they leave out counts 0" and told.more == ("none: four.png",)
    assert any("1 image has no mask and is learnt whole (four.png)" in note for note in plan.notes)


def test_folders_without_masks_are_learnt_whole_and_regularisation_images_need_none(folder: Path) -> None:
    other, kept = folder.parent / "other", folder.parent / "kept"
    for place in (other, kept):
        place.mkdir()
        Image.new("RGB", (64, 64), (1, 2, 3)).save(place / "a.png")
    rows = [
        {"path": str(folder), "mask": str(folder.parent / "masks")},
        {"path": str(other)},
        {"path": str(kept), "regularisation": True},
    ]
    plan = plan_of(folder, dataset__folders=rows)
    assert next(fact for fact in facts(plan) if fact.name == "Masks").value.startswith("3 of 4 images")
    assert any("1 image is learnt whole: no folder of masks is given" in note for note in plan.notes)


def test_masks_that_are_off_are_not_looked_at_and_that_is_told(folder: Path) -> None:
    (folder.parent / "masks" / "one.png").write_bytes(b"damaged")
    plan = plan_of(folder, masks="none")
    assert not any(image.mask for image in plan.images)
    assert any("given but not used" in note for note in plan.notes)


def test_masks_of_kohyas_folders_lie_in_folders_of_the_same_names(folder: Path) -> None:
    parent, masks = folder.parent / "data", folder.parent / "theirs"
    for name in ("10_cat", "3_dog"):
        (parent / name).mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(parent / name / "a.png")
    (masks / "10_cat").mkdir(parents=True)
    Image.new("L", (64, 64), 255).save(masks / "10_cat" / "a.png")
    Image.new("L", (64, 64), 255).save(masks / "a.png")
    plan = plan_of(folder, dataset__folders=[{"path": str(parent), "mask": str(masks)}])
    assert [image.mask for image in plan.images] == [masks / "10_cat" / "a.png", masks / "a.png"]


def test_the_alpha_channel_is_a_mask(folder: Path) -> None:
    cut_out = Image.new("RGBA", (96, 64), (9, 9, 9, 255))
    cut_out.save(folder / "four.png")
    palette = Image.new("P", (64, 64), 3)
    palette.save(folder / "five.png", transparency=3)
    plan = plan_of(folder, masks="alpha")
    assert {image.path.name for image in plan.images if image.mask == image.path} == {"four.png", "five.png"}
    assert any("no alpha channel" in note and "3 images have" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda masks: [path.unlink() for path in masks.iterdir()], "none of the 4 images"),
        (lambda masks: masks.rename(masks.with_name("gone")), "there is no folder"),
        (lambda masks: (masks / "ONE.png").write_bytes(b"no picture"), "1 mask cannot be read (ONE.png"),
        (lambda masks: Image.new("L", (64, 64)).save(masks / "ONE.png"), "ONE.png is 64x64, its image 96x64"),
    ],
)
def test_what_is_wrong_with_masks_is_told_before_anything_is_loaded(folder: Path, spoil: Any, words: str) -> None:
    spoil(folder.parent / "masks")
    (problem,) = problems_of(folder)
    assert words in str(problem) and problem.kind == "data" and problem.fix


def test_the_folder_of_images_is_no_folder_of_masks(folder: Path) -> None:
    (problem,) = problems_of(folder, dataset__folders=[{"path": str(folder), "mask": f"{folder}/."}])
    assert "is the folder of images itself" in problem.why


def test_a_black_mask_is_refused_only_where_nothing_else_counts(folder: Path) -> None:
    Image.new("L", (96, 64), 0).save(folder.parent / "masks" / "ONE.png")
    (problem,) = check_masks(plan_of(folder))
    assert "black all over for one.png" in problem.why
    assert not check_masks(plan_of(folder, dataset__mask_outside=0.1))
    clear = Image.new("RGBA", (96, 64), (9, 9, 9, 0))
    clear.save(folder / "four.png")
    assert "transparent all over for four.png" in check_masks(plan_of(folder, masks="alpha"))[0].why


def test_masks_are_decoded_once_until_a_file_changes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory, and in the cache folder for the next program: the trainer, or tomorrow's page."""
    opened: list[str] = []

    def looked(path: Path, alpha: bool) -> Image.Image:
        opened.append(path.name)
        return open_mask(path, alpha)

    def check() -> list[str]:
        opened.clear()
        plan = plan_of(folder)
        problems = check_decoded(plan.images, plan.preset.dataset, cache=tmp_path / "cache")
        return [problem.why for problem in problems]

    monkeypatch.setattr(pixels, "open_mask", looked)
    masks = folder.parent / "masks"
    assert check() == [] and sorted(opened) == ["ONE.png", "three.JPG", "two.webp"]
    assert check() == [] and opened == []
    for forgotten in (mask_facts._known, mask_facts._loaded):
        forgotten.clear()  # another program
    assert check() == [] and opened == []
    Image.new("L", (48, 32), 0).save(masks / "ONE.png")
    assert "black all over for one.png" in check()[0] and opened == ["ONE.png"]
    assert "black all over for one.png" in check()[0] and opened == []
    whole = (masks / "three.JPG").read_bytes()
    (masks / "three.JPG").write_bytes(whole[: len(whole) * 3 // 4])
    assert any("three.webp" in why for why in check()) and opened == ["three.JPG"]
    assert any("three.webp" in why for why in check()) and opened == ["three.JPG"], "what is broken is looked at again"
    for left in (tmp_path / "cache" / "masks").iterdir():
        left.write_text("[", encoding="utf-8")
    for forgotten in (mask_facts._known, mask_facts._loaded):
        forgotten.clear()
    assert "black all over for one.png" in " ".join(check()) and len(opened) == 3


def test_a_damaged_mask_is_named(folder: Path) -> None:
    whole = (folder.parent / "masks" / "ONE.png").read_bytes()
    (folder.parent / "masks" / "ONE.png").write_bytes(whole[: len(whole) // 2])
    (problem,) = check_masks(plan_of(folder))
    assert "1 mask cannot be read (one.png" in problem.why


@pytest.mark.parametrize(
    ("mask", "image", "same"),
    [((512, 341), (3000, 2000), True), ((512, 342), (3000, 2000), True), ((750, 500), (3000, 2000), True),
     ((512, 350), (3000, 2000), False), ((2000, 3000), (3000, 2000), False), ((64, 64), (96, 64), False)],
)  # fmt: skip
def test_shapes_agree_up_to_a_rounded_side(mask: tuple[int, int], image: tuple[int, int], same: bool) -> None:
    assert same_shape(Size(*mask), Size(*image)) is same


def test_every_way_to_write_a_mask_is_read_as_grey(tmp_path: Path) -> None:
    grey = Image.new("L", (16, 8), 0)
    grey.paste(255, (0, 0, 8, 8))
    clear = Image.merge("LA", (Image.new("L", grey.size, 255), grey))
    ways = {
        "L": grey,
        "1": grey.convert("1"),
        "RGB": grey.convert("RGB"),
        "P": grey.convert("RGB").quantize(4),
        "white on nothing": clear,
        "I;16": Image.fromarray(np.asarray(grey).astype(np.uint16) * 257),
    }
    for name, way in ways.items():
        way.save(tmp_path / f"{len(name)}.png")
        read = open_mask(tmp_path / f"{len(name)}.png", alpha=False)
        assert np.array_equal(np.asarray(read), np.asarray(grey)), name
    assert np.array_equal(np.asarray(to_alpha(clear)), np.asarray(grey))
    assert to_alpha(grey).getextrema() == (255, 255) and to_grey(grey).tobytes() == grey.tobytes()


SIZES = st.tuples(st.integers(100, 700), st.integers(100, 700)).filter(lambda size: 0.4 < size[0] / size[1] < 2.5)
BUCKETS = make_buckets(128 * 128, 64, 256, 32)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.booleans(), st.booleans(), st.sampled_from([0.0, 4.0, 30.0]), st.sampled_from([1, 2, 3]), st.data())
def test_a_mask_stays_on_its_picture_through_every_change(
    size: tuple[int, int], enlarge: bool, random_crop: bool, rotate: float, scale: int, data: st.DataObject
) -> None:
    """A white square on black, and a mask painted from it at another size: what training sees of the one lies where it
    sees the other, up to a pixel of the mask at the square's edge."""
    picture = Image.new("RGB", size)
    left, top = (data.draw(st.integers(0, side * 2 // 3)) for side in size)
    box = (left, top, left + max(30, size[0] // 3), top + max(30, size[1] // 3))
    ImageDraw.Draw(picture).rectangle(box, fill="white")
    mask = picture.convert("L").resize((round(size[0] / scale), round(size[1] / scale)), Image.Resampling.BOX)
    placed = fit(Size(*size), nearest_bucket(Size(*size), BUCKETS)) if enlarge else None
    placed = placed or fit_without_enlarging(Size(*size), 128 * 128, 32)
    assert placed is not None
    draw = drawn(placed, rotate, random_crop, data.draw(st.integers(0, 2**31)))
    shown = np.asarray(seen(picture, draw).convert("L"), dtype=np.float32)
    masked = np.asarray(seen_mask(mask, size, draw), dtype=np.float32)
    assert shown.shape == masked.shape == (draw.bucket.height, draw.bucket.width)
    wrong = np.abs(shown - masked) > 128
    reach = max(1, -(-scale * draw.resized.width // size[0])) + 1
    assert not wrong[_far_from_edges(shown > 128, reach)].any()
    squares = shares(seen_mask(mask, size, draw), 8)
    assert squares.shape == (draw.bucket.height // 8, draw.bucket.width // 8)
    assert np.allclose(squares, _averaged(masked / 255), atol=1e-6)


def drawn(placed: Placed, rotate: float, random_crop: bool, seed: int) -> Draw:
    recipe = Recipe(seed, 1, 1, 1, 1, preset.build({}).captions, True, random_crop, rotate)
    draws = Draws([Subject(0, "a.png", Turns(1), placed, Source((), "", "none"))], recipe)
    [[draw]] = draws.step(1)
    return draw


def _far_from_edges(white: Any, reach: int) -> Any:
    """Where all pixels within `reach` have the same colour."""
    height, width = white.shape
    padded = np.pad(white, reach, mode="edge")
    windows = [padded[y : y + height, x : x + width] for y in range(2 * reach + 1) for x in range(2 * reach + 1)]
    count = np.sum(windows, axis=0)
    return (count == 0) | (count == len(windows))


def _averaged(values: Any) -> Any:
    height, width = values.shape
    return np.array([[values[y : y + 8, x : x + 8].mean() for x in range(0, width, 8)] for y in range(0, height, 8)])
