"""Buckets against sd-scripts' published behaviour, and their properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.plan.buckets import Size, fit, fit_without_enlarging, make_buckets, nearest_bucket


@pytest.mark.parametrize(
    ("side", "low", "high", "step", "count"),
    [(512, 256, 1024, 64, 17), (1024, 256, 2048, 64, 41), (1024, 512, 2048, 64, 33), (1024, 256, 2048, 32, 81)],
)
def test_as_many_buckets_as_sd_scripts(side: int, low: int, high: int, step: int, count: int) -> None:
    buckets = make_buckets(side * side, low, high, step)
    assert len(buckets) == len(set(buckets)) == count
    assert Size(side, side) in buckets
    assert all(low <= edge <= high and edge % step == 0 for bucket in buckets for edge in bucket)
    assert all(bucket.area <= side * side for bucket in buckets)


def test_limits_that_are_no_multiples_of_the_step_are_kept() -> None:
    assert all(
        300 <= side <= 700 and side % 64 == 0 for bucket in make_buckets(512**2, 300, 700, 64) for side in bucket
    )


SIZES = st.builds(Size, st.integers(16, 6000), st.integers(16, 6000))


@given(SIZES)
def test_the_nearest_bucket_is_the_one_with_the_nearest_shape(size: Size) -> None:
    buckets = make_buckets(512 * 512, 256, 1024, 64)
    chosen = nearest_bucket(size, buckets)
    if size in buckets:
        assert chosen == size
    else:
        assert abs(chosen.aspect - size.aspect) == min(abs(bucket.aspect - size.aspect) for bucket in buckets)


@given(SIZES)
def test_a_fitted_image_covers_its_bucket_with_slack_on_one_side_only(size: Size) -> None:
    placed = fit(size, nearest_bucket(size, make_buckets(512 * 512, 256, 1024, 64)))
    across, down = placed.slack
    assert across >= 0 and down >= 0 and min(across, down) <= 1
    assert placed.centre == (across // 2, down // 2)


@given(SIZES)
def test_without_enlarging_nothing_grows_and_the_area_holds(size: Size) -> None:
    placed = fit_without_enlarging(size, 512 * 512, 64)
    if placed is None:
        return
    assert placed.resized.width <= size.width + 1 and placed.resized.height <= size.height + 1
    assert all(side % 64 == 0 for side in placed.bucket)
    assert 0 <= placed.slack[0] < 64 and 0 <= placed.slack[1] < 64
    if size.area <= 512 * 512:
        assert placed.resized == size


def test_without_enlarging_known_cases() -> None:
    # by sd-scripts' arithmetic: 572.4 x 457.9 -> 512x(384), ratio 1.333, beats (512)x448, ratio 1.143
    assert fit_without_enlarging(Size(1000, 800), 512 * 512, 64) == (Size(512, 384), Size(512, 410))
    assert fit_without_enlarging(Size(300, 200), 512 * 512, 64) == (Size(256, 192), Size(300, 200))
    assert fit_without_enlarging(Size(40, 40), 512 * 512, 64) is None
    assert fit_without_enlarging(Size(6000, 60), 512 * 512, 64) is None
