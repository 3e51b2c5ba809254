"""A plan as the page shows it: a small table, its buckets as bars, the rate over the run. No Gradio in here."""

from __future__ import annotations

import re

from gui import text
from gui.form.fixes import field_id
from gui.form.values import number_text
from trainer.contract import catalog
from trainer.contract.settings import BY_PATH
from trainer.plan.curve import curve, options_of
from trainer.plan.facts import Fact, buckets, facts, last_step, part_name
from trainer.plan.layers import part_rates
from trainer.plan.plan import Plan
from trainer.report.charts import Series, line_chart
from trainer.report.words import escape

MOST_BUCKETS = 8
_FOLDED = 400
"""Names that are listed when a row is unfolded; the rest are counted."""

JUMPS: dict[str, str] = {
    "Images": "dataset.folders",
    "Looks": "dataset.folders",
    "Steps": "training.length",
    "Batch": "training.batch_size",
    "Captions": "captions.mode",
    "Masks": "dataset.masks",
    "Validation": "validation.split",
    "Will train": "network.text_encoder",
    "Adapter": "network.rank",
    "Checkpoints": "saving.every",
    "Samples": "sampling.every",
    "Buckets": "dataset.buckets",
}
"""Row -> the setting that its name leads to."""


def plan_table(plan: Plan, expected: str) -> str:
    """All of a plan but its curve."""
    rows = [_row(fact) for fact in facts(plan, expected)]
    rows.insert(2, _buckets(plan))
    return f'<table class="plan">{"".join(rows)}</table>{_notes(plan.notes)}'


def _row(fact: Fact) -> str:
    return f'<tr><th scope="row">{_name(fact.name)}</th><td>{_value(fact)}</td></tr>'


def _name(name: str) -> str:
    path = JUMPS.get(name)
    if path is None:
        return escape(name)
    return f'<button type="button" class="jump" data-jump="{escape(field_id(path))}">{escape(name)}</button>'


def _value(fact: Fact) -> str:
    said = escape(fact.value)
    if not fact.more:
        return said
    names = "" if fact.name == "Samples" else ' translate="no"'
    shown = "".join(f"<li{names}>{escape(line)}</li>" for line in fact.more[:_FOLDED])
    rest = f"<li>and {len(fact.more) - _FOLDED:,} more</li>" if len(fact.more) > _FOLDED else ""
    return f'<details data-fold="plan {escape(fact.name)}"><summary>{said}</summary><ul>{shown}{rest}</ul></details>'


def _buckets(plan: Plan) -> str:
    rows = buckets(plan)
    most = rows[0][1]
    bars = "".join(
        f'<li><span>{size.width} x {size.height}</span><i style="--share:{looks / most:.3f}"></i><b>{looks:,}</b></li>'
        for size, looks in rows[:MOST_BUCKETS]
    )
    rest = len(rows) - MOST_BUCKETS
    more = f"<li>and {rest} smaller ones</li>" if rest > 0 else ""
    return (
        f'<tr><th scope="row">{_name("Buckets")}</th><td><ul class="bucket-bars" '
        f'aria-label="Looks per epoch in each bucket">{bars}{more}</ul></td></tr>'
    )


_PATH = re.compile(r"\b[a-z]+\.[a-z_]+\b")


def _notes(notes: tuple[str, ...]) -> str:
    """What else is to be known; a setting that a note names leads to its field."""
    rows = "".join(f"<li>{_linked(note)}</li>" for note in notes)
    return f'<ul class="plan-notes" aria-label="Notes on the plan">{rows}</ul>' if rows else ""


def _linked(note: str) -> str:
    parts, end = [], 0
    for found in _PATH.finditer(note):
        if found[0] in BY_PATH:
            parts += [escape(note[end : found.start()]), _to(found[0])]
            end = found.end()
    return "".join(parts) + escape(note[end:])


def _to(path: str) -> str:
    label = escape(text.label_of(path))
    return f'<button type="button" class="jump" data-jump="{escape(field_id(path))}">{label}</button>'


def rate_chart(plan: Plan) -> str:
    """The learning rate of each step, the warmup shaded; "" where the schedule is not known. What is trained at another
    rate, or up to an earlier step, has its own line."""
    preset, total = plan.preset, plan.steps.total
    if not catalog.find("schedules", preset.schedule.name) or total < 2:
        return ""
    points = curve(preset.schedule, total)
    lines = _lines(plan)
    series = [
        Series(name, [(step, rate * share) for step, share in points if step <= until], "line", 1 + i)
        for i, (name, rate, until) in enumerate(lines)
    ]
    title = "Learning rate, peak " + " and ".join(dict.fromkeys(number_text(rate) for _, rate, _ in lines))
    chart = line_chart(series, title=title, height_px=104, x_end=float(total))
    warm = options_of(preset.schedule, total).warmup_steps
    share = 100 * warm / total
    shade = f'<i style="width:{share:.2f}%"></i><span>warmup: {warm:,} steps</span>' if warm else ""
    return f'<div class="rate-chart"><div class="warm">{shade}</div>{chart}</div>'


def _lines(plan: Plan) -> list[tuple[str, float, int]]:
    """Name, peak and last step of each line: parts of the model that go alike share one."""
    together: dict[tuple[float, int], list[str]] = {}
    for part, rate in part_rates(plan.preset).items():
        if part in plan.parts:
            together.setdefault((rate, last_step(part, plan)), []).append(part_name(part, plan))
    if len(together) == 1:
        [(rate, until)] = together
        return [("learning rate", rate, until)]
    return [(", ".join(names), rate, until) for (rate, until), names in together.items()]
