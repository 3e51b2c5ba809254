"""Regularisation images: shown as often as asked, without the trigger word, never held out, counted apart."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trainer.contract import families, preset
from trainer.contract.problems import Problems
from trainer.plan.describe import describe
from trainer.plan.draws import looks_in, rank_slice
from trainer.plan.plan import Plan, batches, make_plan


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    """40 images to be learnt, each of another content, with captions; 20 regularisation images."""
    made = []
    for name, count in (("2_anna", 40), ("1_woman", 20)):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(count):
            Image.new("RGB", (64, 64), (count, number, 0)).save(folder / f"{number}.png")
            (folder / f"{number}.txt").write_text(f"a woman, {number}", encoding="utf-8")
        made.append({"path": str(folder), "regularisation": name == "1_woman"})
    return made


def plan_of(rows: list[dict[str, Any]], **changes: Any) -> Plan:
    values = {
        "dataset.folders": rows,
        "captions.trigger": "zxq",
        "validation.split": "off",
        "training.batch_size": 3,
        "training.length": "10 epochs",
        **{path.replace("__", "."): value for path, value in changes.items()},
    }
    chosen = preset.with_values(preset.build({}), values)
    return make_plan(preset.resolve(chosen, families.default_family()))


def test_they_are_counted_apart(rows: list[dict[str, Any]]) -> None:
    plan = plan_of(rows)
    assert (len(plan.learnt), len(plan.regularisation), plan.steps.looks) == (40, 20, 100)
    assert plan.looks_per_image() == 20  # 2 repeats in 10 epochs; not 100 x 10 / 60
    told = "\n".join(describe(plan))
    assert "Images: 40, all train; 20 regularisation images with 20 looks an epoch in all" in told
    assert "Looks: 40 x 2 repeats = 80 per epoch, each image about 20 times in the run" in told
    assert "1_woman: 20, repeats 1, regularisation" in told


def test_the_trigger_word_is_left_out_of_their_captions(rows: list[dict[str, Any]]) -> None:
    plan = plan_of(rows)
    for draw in (draw for batch in batches(plan, 1) for draw in batch):
        assert draw.caption.startswith("zxq, ") is (draw.image in plan.learnt)
    rows[1]["trigger"] = "portrait"
    plan = plan_of(rows, captions__mode="trigger word")
    assert {plan.caption_of(index) for index in plan.regularisation} == {"portrait"}
    del rows[1]["trigger"]
    bare = plan_of(rows, captions__mode="trigger word")
    assert any("20 regularisation images will be trained with no text" in note for note in bare.notes)
    assert not any("empty caption" in note for note in bare.notes)


@pytest.mark.parametrize("split", ["50 %", "30 images", "auto"])
def test_they_are_never_held_out(rows: list[dict[str, Any]], split: str) -> None:
    plan = plan_of(list(reversed(rows)), validation__split=split)
    assert len(plan.held_out) == {"50 %": 20, "30 images": 30, "auto": 4}[split]
    assert not {plan.images[index].folder for index in (*plan.held_out, *plan.train_probe)} - {1}
    assert len(plan.regularisation) == 20 and set(plan.regularisation) <= set(plan.train)
    assert sorted((*plan.train, *plan.held_out, *plan.division.aside)) == list(range(60))
    assert not any("have been looked at so far" in note for note in plan.notes)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_their_weight_is_a_factor_and_the_divisor_stays_all_looks(rows: list[dict[str, Any]], weight: float) -> None:
    plan = plan_of(rows, dataset__regularisation_weight=weight)
    kept = set(plan.regularisation)
    for step in range(1, plan.steps.per_epoch + 1):
        batch = plan.step_draws(step)
        assert looks_in(batch) == sum(len(micro) for micro in batch)
        for draw in (draw for micro in batch for draw in rank_slice(micro, 0, 1)):
            assert draw.weight == (weight if draw.image in kept else 1.0)
    assert all(draw.weight == 1.0 for draw in plan.fixed_draws(plan.learnt))
    assert any("their weight is 0" in note for note in plan.notes) is (weight == 0)


def test_more_of_them_than_of_the_subject_is_told(rows: list[dict[str, Any]]) -> None:
    rows[1]["repeats"] = 5
    assert any("get 100 looks an epoch" in note and "only 80:" in note for note in plan_of(rows).notes)
    assert not any("most of the training" in note for note in plan_of(rows[:1]).notes)


def test_nothing_but_them_is_refused(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(Problems, match="nothing to learn"):
        plan_of(rows[1:])
