"""A plan as lines of text, for `--check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .facts import Fact, buckets, facts, measured_when, size_text

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["describe", "measured_when", "size_text"]

_SHOWN_BUCKETS = 12


def describe(plan: Plan, expected: str = "") -> list[str]:
    """The plan in plain lines, notes last. `expected`: the time that it will take, in words."""
    rows = [_line(fact) for fact in facts(plan, expected)]
    return [*rows[:2], _buckets(plan), *rows[2:], *(f"Note: {note}" for note in plan.notes)]


def _line(fact: Fact) -> str:
    if not fact.more:
        return f"{fact.name}: {fact.value}"
    shown = fact.more if len(fact.more) <= 6 else (*fact.more[:3], "...", *fact.more[-2:])
    return f"{fact.name}: {fact.value} ({'; '.join(shown)})"


def _buckets(plan: Plan) -> str:
    shown = [f"{bucket} ({looks:,})" for bucket, looks in buckets(plan)]
    rest = f" and {len(shown) - _SHOWN_BUCKETS} more" if len(shown) > _SHOWN_BUCKETS else ""
    return f"Buckets (looks in each per epoch): {', '.join(shown[:_SHOWN_BUCKETS])}{rest}"
