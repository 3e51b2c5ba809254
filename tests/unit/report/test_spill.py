"""Spilling into shared memory, on probes made up by hand after what users of Windows tell: no recording of a real card
was to be had."""

from __future__ import annotations

from itertools import pairwise

import pytest

from trainer.report.spill import Probe, spills

GB = 1e9
CARD = 8.0


def probes(*rows: tuple[float, float]) -> list[Probe]:
    """Rows of (GB in use, seconds a step) on an 8 GB card, ten seconds apart."""
    return [Probe(used * GB, CARD * GB, seconds) for used, seconds in rows]


STEADY = [(6.9, 1.05), (6.9, 1.02), (7.0, 1.04)]

SPILL = [*STEADY, (7.3, 1.06), (7.78, 3.4), (7.8, 5.1), (7.8, 5.0)]
"""A browser is opened beside the training: the card fills, and from then on steps take five times as long."""

LARGER_BATCHES = [(7.2, 2.0), (7.3, 2.1), (7.4, 2.0), (7.74, 6.9), (7.75, 7.2)]
"""Text encoder and U-Net, and a bucket of larger images comes."""

TIGHT_BUT_STEADY = [(7.7, 1.4), (7.72, 1.41), (7.72, 1.38), (7.74, 1.43), (7.74, 1.4), (7.74, 1.42)]
"""The card is full to the brim and no step is slower for it."""

ONE_SLOW_PROBE = [*STEADY, (7.75, 4.8), (7.75, 1.05), (7.75, 1.06)]
"""Samples filled the card once; the steps after them have their pace again."""

HOT = [(7.7, 1.0), (7.7, 1.0), (7.7, 1.1), (7.7, 1.3), (7.7, 1.45), (7.7, 1.5), (7.7, 1.5)]
"""Full, and the fan cannot keep up: the clock goes down by a third."""

GAME = [*STEADY, (7.1, 2.6), (7.1, 2.8), (7.1, 2.7)]
"""Another program computes on the card, with memory to spare."""

SLOW_DISK = [(5.0, 0.8), (5.0, 0.8), (5.0, 3.0), (5.0, 3.1), (5.0, 3.0)]


@pytest.mark.parametrize("rows", [SPILL, LARGER_BATCHES], ids=["browser", "larger bucket"])
def test_a_full_card_and_a_jump(rows: list[tuple[float, float]]) -> None:
    found = [spills(probes(*rows[: n + 1])) for n in range(len(rows))]
    first_slow = next(n for n, ((_, before), (_, after)) in enumerate(pairwise(rows), start=1) if after > 2 * before)
    assert found == [n > first_slow for n in range(len(rows))], "told at the second slow probe, and not before"


@pytest.mark.parametrize(
    "rows",
    [TIGHT_BUT_STEADY, ONE_SLOW_PROBE, HOT, GAME, SLOW_DISK],
    ids=["full but steady", "one slow probe", "hot", "another program", "slow disk"],
)
def test_no_alarm(rows: list[tuple[float, float]]) -> None:
    assert not any(spills(probes(*rows[: n + 1])) for n in range(len(rows)))


def test_more_tensors_than_the_card_holds_need_no_jump() -> None:
    """Too large from the first step on: there is no faster one to compare with."""
    assert spills([Probe(7.8 * GB, 8 * GB, 9.0, own=8.9 * GB)])
    assert not spills([Probe(7.8 * GB, 8 * GB, 9.0, own=7.2 * GB)])


def test_probes_without_figures_say_nothing() -> None:
    assert not spills([]) and not spills([Probe(0, 0, 1.0)] * 9) and not spills([Probe(8 * GB, 8 * GB, 0.0)] * 9)
