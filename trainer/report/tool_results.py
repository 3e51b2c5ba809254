"""What an adapter tool found or made, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from trainer.contract.adapter_tasks import Result

WIDEST = 40
"""Characters of the longest bar."""


def lines(result: Result) -> Iterator[str]:
    """All of a result, a line each."""
    yield result.headline[:1].upper() + result.headline[1:]
    width = max((len(name) for name, _ in result.facts), default=0)
    yield from (f"  {name:<{width}}  {text}" for name, text in result.facts)
    yield from (f"  wrong: {text}" for text in result.faults)
    yield from (f"  note: {text}" for text in result.notes)
    yield from _bars(result)
    if result.metadata:
        yield "Metadata"
        yield from (f"  {name} = {text}" for name, text in result.metadata)
    if result.file:
        yield f"File: {result.file}"


def _bars(result: Result) -> Iterator[str]:
    """The norms as bars of signs, to the scale of the longest."""
    most = max((bar.value for bar in result.bars), default=0.0)
    if most <= 0:
        return
    yield "Norm of the update in each block"
    width = max(len(bar.name) for bar in result.bars)
    for bar in result.bars:
        yield f"  {bar.name:<{width}}  {'#' * round(WIDEST * bar.value / most):<{WIDEST}}  {bar.value:.3g}"
