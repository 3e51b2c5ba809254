"""The list of runs as the browser draws it: rows are sent when they are new or have changed, not all of them each
second. Filtering and sorting happen there (`web/runs.js`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gui.runs.panels import when
from gui.runs.watch import Row
from trainer.report.words import duration


def news(rows: Sequence[Row], chosen: str, told: dict[str, Any]) -> str | None:
    """What one session has to be told, as JSON; None for nothing. `told` is what it knows and is kept up to date.

    {"seq", "whole", "order", "chosen", "rows"}: `whole` replaces all that was there; a browser that misses a number of
    `seq` asks for the whole again."""
    known: dict[str, int] = told.get("rows", {})
    drawn = {row.id: _drawn(row) for row in rows}
    marks = {id: hash(json.dumps(values)) for id, values in drawn.items()}
    order = [row.id for row in rows]
    seen = (order, chosen)
    if told.get("order") == seen and known == marks:
        return None
    whole = not known or "seq" not in told
    told["seq"] = told.get("seq", 0) + 1
    changed = {id: values for id, values in drawn.items() if whole or known.get(id) != marks[id]}
    told["rows"], told["order"] = marks, seen
    return json.dumps(
        {"seq": told["seq"], "whole": whole, "order": order, "chosen": chosen, "rows": changed},
        ensure_ascii=False,
        separators=(",", ":"),
    )


def forget(told: dict[str, Any]) -> dict[str, Any]:
    """What a session is told when it has missed something: all of it."""
    return {name: value for name, value in told.items() if name not in ("rows", "order")}


def _drawn(row: Row) -> dict[str, Any]:
    state = row.state
    steps = f"{row.step} / {row.total_steps}" if row.total_steps else str(row.step or "")
    return {
        "name": state.name or row.id,
        "kind": state.kind,
        "state": state.state,
        "steps": steps,
        "loss": f"{row.loss:.4f}" if row.loss is not None else "",
        "lowest": f"{row.lowest[0]:.4f}" if row.lowest else "",
        "lowest_step": f"step {row.lowest[1]:,}" if row.lowest else "",
        "spark": [float(f"{loss:.4g}") for loss in row.spark],
        "when": when(state.created),
        "took": duration(row.seconds),
        "by": [round(state.created, 1), round(row.seconds), row.lowest[0] if row.lowest else None, row.step],
    }
