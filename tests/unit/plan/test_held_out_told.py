"""Held-out images in the plan: a folder of their own, what is refused, what is told before the start."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainer.contract import advice, families, preset
from trainer.contract.problems import Problems
from trainer.plan import sides
from trainer.plan.gather import keep
from trainer.plan.plan import Plan, describe, make_plan
from trainer.plan.sides import Known


def picture(path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    small = Image.fromarray(draw.integers(0, 255, (7, 7, 3), dtype=np.uint8))
    small.resize((96, 96), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Thirty images in `train`, three in `own`."""
    for name, seeds in (("train", range(30)), ("own", range(100, 103))):
        (tmp_path / name).mkdir()
        for seed in seeds:
            picture(tmp_path / name / f"{seed:03d}.png", seed)
    return tmp_path


def plan_of(pictures: Path, known: Known | None = None, **changes: Any) -> Plan:
    values = {"dataset.folders": [{"path": str(pictures / "train")}]}
    values |= {path.replace("__", "."): value for path, value in changes.items()}
    chosen = preset.with_values(preset.build({}), values)
    return make_plan(preset.resolve(chosen, families.default_family()), known=known or Known())


def told(plan: Plan) -> str:
    return "\n".join(describe(plan))


def test_who_is_held_out_is_told_by_name(pictures: Path) -> None:
    plan = plan_of(pictures)
    assert len(plan.held_out) == 3 and len(plan.train) == 27
    assert f"Validation: 3 held out ({', '.join(plan.held_out_names)}), measured" in told(plan)
    assert plan.held_out_names == [plan.images[index].path.name for index in plan.held_out]
    assert "Only 3 images are held out: their loss is a rough guess" in told(plan)
    assert "rough guess" not in told(plan_of(pictures, validation__split="8 images"))
    assert "Validation: none: no image is held out" in told(plan_of(pictures, validation__split="off"))
    assert "Images: 30: 27 train, 3 held out" in told(plan)


def test_a_split_that_leaves_little_to_learn_from_is_told(pictures: Path) -> None:
    assert "29 of 30 images are held out, only 1 is left to train on" in told(
        plan_of(pictures, validation__split="30 images")
    )
    alone = told(plan_of(pictures, validation__split="1 images"))
    assert "Only 1 image is held out: how far its loss speaks" in alone and "left to train on" not in alone


def test_a_folder_of_its_own_is_held_out_whole_and_never_trained_on(pictures: Path) -> None:
    (pictures / "own" / "100.txt").write_text("a scene", encoding="utf-8")
    plan = plan_of(pictures, validation__folder=str(pictures / "own"), validation__split="off", captions__trigger="zz")
    assert plan.train == tuple(range(30)) and plan.held_out_names == ["100.png", "101.png", "102.png"]
    assert "3 held out (100.png, 101.png, 102.png)" in told(plan) and "Images: 33: 30 train, 3 held" in told(plan)
    assert [plan.caption_of(index) for index in plan.held_out] == ["zz, a scene", "zz", "zz"]
    shown = {draw.image for step in range(1, plan.steps.per_epoch + 1) for b in plan.step_draws(step) for draw in b}
    assert shown == set(range(30)) and len(plan.validations) >= 2
    assert len(plan.fixed_draws(plan.held_out)) == 3


@pytest.mark.parametrize(
    ("folder", "words"), [("none", "there is no folder"), ("empty", "there are no images"), ("train", "trained on too")]
)
def test_a_folder_that_cannot_be_held_out(pictures: Path, folder: str, words: str) -> None:
    (pictures / "empty").mkdir()
    with pytest.raises(Problems, match=words) as caught:
        plan_of(pictures, validation__folder=str(pictures / folder))
    [problem] = caught.value.problems
    assert problem.path == "validation.folder" and caught.value.exit_code == 3


def test_missing_folders_of_both_kinds_are_told_at_once(pictures: Path) -> None:
    rows = [{"path": str(pictures / "nowhere")}]
    with pytest.raises(Problems) as caught:
        plan_of(pictures, dataset__folders=rows, validation__folder=str(pictures / "none"))
    assert [problem.path for problem in caught.value.problems] == ["dataset.folders", "validation.folder"]


def test_leaks_groups_and_what_is_left_out_are_told(pictures: Path) -> None:
    picture(pictures / "own" / "like 7.jpg", 7)
    plan = plan_of(pictures, validation__folder=str(pictures / "own"))
    assert "1 training image is a near-duplicate of a held-out one (007.png = like 7.jpg)" in told(plan)
    picture(pictures / "train" / "copy.jpg", 5)
    assert "2 of 31 images are near-duplicates of others (005.png/copy.jpg)" in told(plan_of(pictures))
    for path in sorted((pictures / "train").glob("*.png")):
        picture(path, 5)
    plan = plan_of(pictures)
    assert not plan.held_out and "they are all near-duplicates of each other" in told(plan)


def test_a_regularisation_image_that_is_held_out_too_is_told(pictures: Path) -> None:
    """It is trained on, however little it counts."""
    held = plan_of(pictures, validation__split="8 images").held_out_names
    (pictures / "class").mkdir()
    for seed in (200, 201, int(held[0][:3]), int(held[1][:3])):
        picture(pictures / "class" / f"of {seed}.jpg", seed)
    folders = [{"path": str(pictures / "train")}, {"path": str(pictures / "class"), "regularisation": True}]
    plan = plan_of(pictures, dataset__folders=folders, validation__split="8 images")
    assert plan.held_out_names == held and len(plan.regularisation) == 4
    leaked = {plan.images[copy].path.name: plan.images[own].path.name for copy, own in plan.division.leaks}
    assert leaked == {f"of {int(name[:3])}.jpg": name for name in held[:2]}
    assert "2 regularisation images are near-duplicates of held-out ones (of " in told(plan)
    assert "training image is a near-duplicate" not in told(plan) and plan.division.compared == len(plan.images)
    begun = sides.Sides(final=True)
    assert not plan_of(pictures, Known(sides=begun), dataset__folders=folders).division.leaks
    for name in leaked:
        (pictures / "class" / name).unlink()
    clean = plan_of(pictures, dataset__folders=folders, validation__split="8 images")
    assert not clean.division.leaks and "near-duplicate" not in told(clean)
    own = plan_of(pictures, dataset__folders=[folders[0], {**folders[1]}], validation__folder=str(pictures / "own"))
    assert not own.division.leaks
    picture(pictures / "class" / "100 again.jpg", 100)
    own = plan_of(pictures, dataset__folders=folders, validation__folder=str(pictures / "own"))
    assert "1 regularisation image is a near-duplicate of a held-out one (100 again.jpg = 100.png)" in told(own)


def test_a_path_is_made_absolute_like_the_others(tmp_path: Path) -> None:
    written = tmp_path / "p.toml"
    written.write_text("[validation]\nfolder = 'pictures/held out'\n", encoding="utf-8")
    assert preset.load(written).validation.folder == str(tmp_path / "pictures" / "held out")


def test_with_a_folder_the_split_may_be_off_and_stopping_has_something_to_measure() -> None:
    values = {"validation.stop": "stop", "validation.split": "off", "validation.every": "5 steps"}
    alone = preset.resolve(preset.with_values(preset.build({}), values), families.default_family())
    with_folder = preset.with_values(alone, {"validation.folder": "/some/where"})
    assert "validation.stop" in {note.path for note in advice.notes(alone)}
    assert "validation.stop" not in {note.path for note in advice.notes(with_folder)}


def test_a_started_run_is_remembered_a_preview_is_not(pictures: Path) -> None:
    known = Known(pictures / "cache")
    first = plan_of(pictures, known)
    assert not (pictures / "cache" / "held-out").exists()
    keep(first.preset, first.images, first.division, pictures, known)
    for seed in range(200, 215):
        picture(pictures / "train" / f"{seed}.png", seed)
    later = plan_of(pictures, known)
    assert set(first.held_out_names) < set(later.held_out_names) and len(later.held_out) == 4
    assert set(later.held_out_names) - set(first.held_out_names) <= {f"{seed}.png" for seed in range(200, 215)}
    resumed = plan_of(pictures, Known(pictures / "cache", sides.of_run(pictures)))
    assert resumed.held_out_names == first.held_out_names and len(resumed.train) == 42
    other = plan_of(pictures, known, validation__split="3 images")
    assert not other.division.earlier, "another way of splitting has a memory of its own"


def test_fewer_than_asked_for_is_told(pictures: Path) -> None:
    known = Known(pictures / "cache")
    first = plan_of(pictures, known)
    keep(first.preset, first.images, first.division, pictures, known)
    for name in first.held_out_names[:2]:
        (pictures / "train" / name).unlink()
    plan = plan_of(pictures, known)
    assert plan.held_out_names == first.held_out_names[2:]
    assert "1 of the 3 images asked for are held out: the others were trained on in earlier runs" in told(plan)


def test_a_run_that_goes_on_measures_what_was_in_its_folder_when_it_began(pictures: Path) -> None:
    own = {"validation__folder": str(pictures / "own")}
    first = plan_of(pictures, **own)
    keep(first.preset, first.images, first.division, pictures, Known())
    picture(pictures / "own" / "099.png", 99)
    picture(pictures / "train" / "031.png", 31)
    again = plan_of(pictures, Known(sides=sides.of_run(pictures)), **own)
    assert again.held_out_names == first.held_out_names and len(again.train) == 31
    assert "1 image came to the folder of held-out images since the run began (099.png)" in told(again)
