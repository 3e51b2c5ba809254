"""Early stopping on curves whose answer is known."""

import json
import math

import pytest

from trainer.validation.stopping import EarlyStopping


def feed(stopping: EarlyStopping, curve: list[float]) -> list[tuple[bool, int, bool]]:
    verdicts = [stopping.add(50 * (index + 1), loss) for index, loss in enumerate(curve)]
    return [(verdict.lowest, verdict.waited, verdict.stop) for verdict in verdicts]


def test_a_falling_loss_never_stops() -> None:
    assert feed(EarlyStopping(1), [0.5, 0.4, 0.3]) == [(True, 0, False)] * 3


def test_patience_counts_checks_in_a_row() -> None:
    curve = [0.5, 0.6, 0.4, 0.5, 0.45, 0.41, 0.42]
    assert [verdict[2] for verdict in feed(EarlyStopping(4), curve)] == [False] * 6 + [True]


def test_an_equal_loss_is_not_lower() -> None:
    assert feed(EarlyStopping(2), [0.5, 0.5, 0.5])[-1] == (False, 2, True)


def test_minimum_improvement_in_percent() -> None:
    assert [verdict[0] for verdict in feed(EarlyStopping(5, 10.0), [1.0, 0.95, 0.91, 0.89])] == [
        True,
        False,
        False,
        True,
    ]


def test_the_lowest_is_remembered_with_its_step() -> None:
    stopping = EarlyStopping(3)
    feed(stopping, [0.5, 0.3, 0.4])
    assert (stopping.lowest, stopping.lowest_step) == (0.3, 100)


def test_a_loss_that_is_no_number_is_not_lower() -> None:
    assert feed(EarlyStopping(2), [math.nan, math.nan, 0.5]) == [(False, 1, False), (False, 2, True), (True, 0, False)]


@pytest.mark.parametrize("at", [0, 1, 3, 5])
def test_a_resumed_run_decides_as_one_without_a_break(at: int) -> None:
    curve = [0.5, 0.6, 0.4, 0.5, 0.45, 0.41, 0.42]
    whole, first, second = EarlyStopping(3, 1.0), EarlyStopping(3, 1.0), EarlyStopping(3, 1.0)
    expected = feed(whole, curve)
    feed(first, curve[:at])
    second.restore(json.loads(json.dumps(first.state())))
    assert feed(second, curve[at:]) == expected[at:]


def test_the_sentence_names_the_figures() -> None:
    stopping = EarlyStopping(2)
    assert stopping.add(50, 0.25).text == "The validation loss is the lowest so far: 0.2500 at step 50."
    assert stopping.add(100, 0.3).text == "The validation loss has not fallen below 0.2500 of step 50 for 1 check."
    assert stopping.add(150, 0.3).text.endswith("of step 50 for 2 checks in a row.")
    text = stopping.add(200, 0.25, rate=0.01).text
    assert text.endswith("3 checks in a row: the learning rate is below 10% of its peak by now.")
