"""Draws: complete epochs, steps equal to batches, independence of history, processes that add up to one."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.contract.settings import Captions
from trainer.plan.balance import Turns
from trainer.plan.buckets import Placed, Size
from trainer.plan.captions import Source
from trainer.plan.draws import Draw, Draws, Recipe, Subject, looks_in, looks_per_bucket, rank_slice
from trainer.plan.steps import count_steps

WIDE, TALL = Placed(Size(96, 64), Size(120, 64)), Placed(Size(64, 96), Size(64, 99))


def make(images: int = 7, repeats: int = 2, batch: int = 3, accumulate: int = 1, **more: object) -> Draws:
    """Draws over images of two shapes, every third one tall."""
    subjects = [
        Subject(i, f"f/{i}.png", Turns(repeats), TALL if i % 3 == 0 else WIDE, Source(("a, b, c, d",), "zz", "file"))
        for i in range(images)
    ]
    steps = count_steps(looks_per_bucket(subjects), batch, accumulate, "10 epochs")
    rules = more.pop("rules", Captions())
    recipe = Recipe(42, batch, accumulate, steps.per_epoch, steps.total, rules, **more)  # type: ignore[arg-type]
    return Draws(subjects, recipe)


def epoch_of(draws: Draws, epoch: int) -> list[list[list[Draw]]]:
    per_epoch = draws.recipe.per_epoch
    return [draws.step(step) for step in range((epoch - 1) * per_epoch + 1, epoch * per_epoch + 1)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(1, 5), st.integers(1, 4))
def test_an_epoch_shows_every_look_once_in_batches_of_one_bucket(
    images: int, repeats: int, batch: int, accumulate: int
) -> None:
    steps = epoch_of(make(images, repeats, batch, accumulate), 2)
    batches = [b for step in steps for b in step]
    assert Counter((d.image, d.repeat) for b in batches for d in b) == Counter(
        (i, r) for i in range(images) for r in range(repeats)
    )
    assert all(1 <= len(b) <= batch and len({d.bucket for d in b}) == 1 for b in batches)
    assert all(len(step) == accumulate for step in steps[:-1]) and 1 <= len(steps[-1]) <= accumulate
    assert all(d.epoch == 2 for b in batches for d in b)


def test_any_step_can_be_asked_for_in_any_order() -> None:
    forward = [make().step(step) for step in range(1, 20)]
    one = make()
    backward = [one.step(step) for step in reversed(range(1, 20))][::-1]
    assert forward == backward


def test_accumulation_and_batch_order_see_the_same_looks() -> None:
    small, large = make(batch=2, accumulate=2), make(batch=2, accumulate=1)
    flat = [b for step in epoch_of(small, 1) for b in step]
    assert flat == [b for step in epoch_of(large, 1) for b in step]


def test_epochs_differ_and_adding_an_image_leaves_the_others_draws() -> None:
    def looks(draws: Draws) -> dict[tuple[int, int], Draw]:
        return {(d.image, d.repeat): d for step in epoch_of(draws, 1) for b in step for d in b}

    changes = {"flip": True, "random_crop": True, "rotate": 5.0, "jitter": 0.1}
    before, after = looks(make(7, **changes)), looks(make(8, **changes))
    assert all(after[look] == draw for look, draw in before.items())
    draws = make(7, **changes)
    assert epoch_of(draws, 1) != epoch_of(draws, 2)


def test_changes_stay_in_their_range_and_use_it() -> None:
    draws = make(60, 2, 4, flip=True, random_crop=True, rotate=5.0, jitter=0.1)
    looks = [d for step in epoch_of(draws, 1) for b in step for d in b]
    assert 0.3 < sum(d.flip for d in looks) / len(looks) < 0.7
    wide = [d for d in looks if d.bucket == WIDE.bucket]
    assert {0, 24} <= {d.crop[0] for d in wide} <= set(range(25)) and {d.crop[1] for d in wide} == {0}
    assert all(-5 <= d.rotate <= 5 and all(0.9 <= f <= 1.1 for f in d.jitter) for d in looks)
    assert max(d.rotate for d in looks) > 3 and min(d.rotate for d in looks) < -3
    assert len({d.seed for d in looks}) == len(looks)


def test_plain_looks_are_centred_and_unchanged() -> None:
    looks = [d for step in epoch_of(make(), 1) for b in step for d in b]
    assert {(d.crop, d.flip, d.rotate, d.jitter) for d in looks if d.bucket == WIDE.bucket} == {
        ((12, 0), False, 0.0, (1.0, 1.0, 1.0))
    }


def test_caption_dropout_takes_the_whole_caption_at_its_rate() -> None:
    looks = [d for step in epoch_of(make(100, 4, rules=Captions(dropout=0.25)), 1) for b in step for d in b]
    empty = sum(d.caption == "" for d in looks)
    assert 0.18 < empty / len(looks) < 0.32
    assert {d.caption for d in looks} == {"", "zz, a, b, c, d"}
    assert make().fixed(make().subjects[0]).caption == "zz, a, b, c, d"


def test_variants_take_turns_and_come_from_the_prepared_ones() -> None:
    draws = make(5, 2, 2, rules=Captions(shuffle=True), variants=3)
    prepared = {(s.image, v): draws.variant_caption(s, v) for s in draws.subjects for v in range(3)}
    seen = [d for epoch in (1, 2, 3) for step in epoch_of(draws, epoch) for b in step for d in b]
    assert all(d.caption == prepared[d.image, d.variant] for d in seen)
    assert Counter((d.image, d.variant) for d in seen) == Counter(dict.fromkeys(prepared, 2))


def loss_of(draw: Draw) -> float:
    """A stand-in for the loss of a look: any function of the look alone."""
    return (draw.seed % 1000) / 1000


def step_loss(step: list[list[Draw]], processes: int, loss: Callable[[Draw], float]) -> float:
    """What averaging over processes makes of each one's `sum(weight x loss) x processes / looks`."""
    total = looks_in(step)
    ranks = [
        sum(sum(d.weight * loss(d) for d in rank_slice(batch, rank, processes)) * processes / total for batch in step)
        for rank in range(processes)
    ]
    return sum(ranks) / processes


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_processes_and_accumulation_give_the_mean_over_all_looks(processes: int) -> None:
    for step in epoch_of(make(7, 1, 4, 2), 1):
        looks = [d for batch in step for d in batch]
        wanted = sum(map(loss_of, looks)) / len(looks)
        assert step_loss(step, processes, loss_of) == pytest.approx(wanted)
        assert all(rank_slice(batch, rank, processes) for batch in step for rank in range(processes))
