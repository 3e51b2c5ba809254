"""Folders that share an epoch by weights: exact sizes, even turns, a number of batches that every epoch has."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.contract import families, preset
from trainer.plan.balance import Member, Turns, apportion, by_weights, most_batches
from trainer.plan.buckets import Size
from trainer.plan.facts import facts
from trainer.plan.plan import Plan, batches, make_plan

SHAPES = (Size(64, 64), Size(96, 64), Size(64, 96))
MEMBERS = st.lists(
    st.builds(
        lambda row, shape, number: (row, shape, number), st.integers(0, 3), st.sampled_from(SHAPES), st.integers()
    ),
    min_size=1,
    max_size=40,
)


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=8), st.integers(0, 500))
def test_parts_are_whole_none_is_empty_and_all_are_near_their_share(weights: list[float], more: int) -> None:
    total = len(weights) + more
    parts = apportion(total, weights)
    assert sum(parts) == total and min(parts) >= 1
    shares = [total * weight / sum(weights) for weight in weights]
    small = sum(share < 1 for share in shares)
    assert all(part == 1 or abs(part - share) < 1 + small for part, share in zip(parts, shares))


@given(st.integers(0, 3), st.integers(1, 9), st.data())
def test_turns_of_all_add_up_and_come_round_evenly(each: int, of: int, data: st.DataObject) -> None:
    extra = data.draw(st.integers(0, of - 1))
    ring = [Turns(each, extra, of, place) for place in range(of)]
    for epoch in range(1, 12):
        assert sum(turn.within(epoch) for turn in ring) == each * of + extra
        counts = [turn.before(epoch + 1) for turn in ring]
        assert max(counts) - min(counts) <= 1
        assert [sum(turn.within(e) for e in range(1, epoch + 1)) for turn in ring] == counts


@settings(max_examples=60, deadline=None)
@given(MEMBERS, st.lists(st.floats(0.1, 50), min_size=4, max_size=4), st.integers(1, 5), st.integers(1, 4))
def test_no_epoch_needs_more_batches_than_were_counted(
    drawn: list[tuple[int, Size, int]], weights: list[float], batch: int, repeats: int
) -> None:
    members = [Member(row, f"{row}/{place}", shape) for place, (row, shape, _) in enumerate(drawn)]
    total = len(members) * repeats
    turns = by_weights(members, weights, total, seed=7)
    most = most_batches(members, turns, batch)
    needed = []
    for epoch in range(1, 45):
        looks = [turn.within(epoch) for turn in turns]
        assert sum(looks) == total
        buckets: Counter[Size] = Counter()
        for member, count in zip(members, looks):
            buckets[member.bucket] += count
        needed.append(sum(math.ceil(count / batch) for count in buckets.values()))
    if most:
        assert max(needed) <= most <= total and most <= max(needed) + 2 * len(SHAPES)
    else:
        assert len(set(needed)) == 1


def folders(tmp_path: Path, counts: tuple[int, ...] = (7, 12)) -> list[Path]:
    made = []
    for place, count in enumerate(counts):
        folder = tmp_path / f"set {place}"
        folder.mkdir()
        for number in range(count):
            Image.new("RGB", SHAPES[number % 3], (place, number, 0)).save(folder / f"{number}.png")
        made.append(folder)
    return made


def plan_of(rows: list[dict[str, Any]], processes: int = 1, **changes: Any) -> Plan:
    values = {
        "dataset.folders": rows,
        "dataset.balance": "weights",
        "dataset.resolution": 128,
        "dataset.bucket_min": 64,
        "dataset.bucket_max": 256,
        "dataset.bucket_step": 32,
        "validation.split": "off",
        "training.length": "40 epochs",
        **{path.replace("__", "."): value for path, value in changes.items()},
    }
    chosen = preset.with_values(preset.build({}), values)
    return make_plan(preset.resolve(chosen, families.default_family()), processes)


def test_an_epoch_is_as_long_as_before_and_divided_by_the_weights(tmp_path: Path) -> None:
    small, large = folders(tmp_path)
    rows = [{"path": str(small), "weight": 3, "repeats": 2}, {"path": str(large), "weight": 1}]
    plan = plan_of(rows, training__batch_size=4)
    assert plan.steps.looks == 7 * 2 + 12 == sum(plan.buckets.values())
    seen: Counter[int] = Counter()
    for epoch in range(1, 8):
        shown = [draw.image for batch in batches(plan, epoch) for draw in batch]
        by_row = Counter(plan.images[image].folder for image in shown)
        assert by_row == {0: 20, 1: 6}  # 26 looks as 3 to 1: 19.5 and 6.5
        seen.update(shown)
        for row in (0, 1):
            counts = [seen[i] for i in plan.train if plan.images[i].folder == row]
            assert max(counts) - min(counts) <= 1
    assert any(fact.value.startswith("26 looks per epoch at 19 images") for fact in facts(plan))
    listed = next(fact.more for fact in facts(plan) if fact.name == "Images")
    assert [line.partition(": ")[2] for line in listed] == [
        "7, weight 3, 20 looks an epoch",
        "12, weight 1, 6 looks an epoch",
    ]


def test_every_epoch_has_the_steps_that_were_counted_and_no_history(tmp_path: Path) -> None:
    small, large = folders(tmp_path)
    rows = [{"path": str(small), "weight": 2.5}, {"path": str(large)}]
    for processes, accumulate in ((1, 1), (2, 1), (1, 3)):
        plan = plan_of(rows, processes, training__batch_size=3, training__accumulate=accumulate)
        assert plan.steps.total == 40 * plan.steps.per_epoch
        for epoch in range(1, 15):
            steps = plan.steps_of_epoch(epoch)
            made = [batch for step in steps for batch in step]
            assert len(steps) == plan.steps.per_epoch and all(steps) and len(made) == plan.steps.batches
            assert sum(map(len, made)) == plan.steps.looks
            assert all(1 <= len(batch) <= 3 * processes and len({d.bucket for d in batch}) == 1 for batch in made)
            looks = [(draw.image, draw.repeat) for batch in made for draw in batch]
            assert len(set(looks)) == len(looks)
        again = plan_of(rows, processes, training__batch_size=3, training__accumulate=accumulate)
        late = plan.steps.per_epoch * 9 + 2
        assert again.step_draws(late) == plan.step_draws(late)


def test_prepared_captions_take_turns_over_uneven_epochs(tmp_path: Path) -> None:
    small, large = folders(tmp_path, (5, 5))
    for folder in (small, large):
        for number in range(5):
            (folder / f"{number}.txt").write_text("a, b, c, d, e", encoding="utf-8")
    rows = [{"path": str(small), "weight": 2}, {"path": str(large)}]
    plan = plan_of(rows, captions__shuffle=True, memory__caption_variants=3)
    variants: dict[int, list[int]] = {}
    for epoch in range(1, 10):
        for draw in sorted((d for batch in batches(plan, epoch) for d in batch), key=lambda draw: draw.repeat):
            variants.setdefault(draw.image, []).append(draw.variant)
    assert all(taken == [number % 3 for number in range(len(taken))] for taken in variants.values())


def test_by_repeats_weights_do_nothing_and_that_is_told(tmp_path: Path) -> None:
    small, large = folders(tmp_path)
    plain = plan_of([{"path": str(small)}, {"path": str(large)}], dataset__balance="repeats")
    weighed = plan_of([{"path": str(small), "weight": 9}, {"path": str(large)}], dataset__balance="repeats")
    assert plain.step_draws(3) == weighed.step_draws(3) and plain.steps == weighed.steps
    assert any("weights have no effect" in note for note in weighed.notes)
