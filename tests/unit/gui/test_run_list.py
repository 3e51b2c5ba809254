"""The list of runs: what it tells of each at a glance, and that only what changed is sent."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from gui.runs import listing
from gui.runs.glance import Glance
from gui.runs.watch import Watcher
from trainer.contract import events as ev
from trainer.contract.rundir import RunDir
from trainer.report.view import RunView


def step(number: int, loss: float) -> str:
    return ev.to_line(ev.StepDone(time=float(number), step=number, epoch=0.5, loss=loss, learning_rate={"unet": 1e-4}))


def check(number: int, loss: float) -> str:
    return ev.to_line(ev.Validated(step=number, loss=loss, per_image=[loss] * 8))


def test_a_glance_finds_the_lowest_check_and_the_course(tmp_path: Path) -> None:
    noise, file, glance = random.Random(1), tmp_path / "events.jsonl", Glance()
    lines = [step(n, 2.0 - n / 2000 + 0.01 * noise.random()) for n in range(1, 2001)]
    for n in range(100, 2001, 100):
        lines[n - 1] += check(n, 1.0 + abs(n - 700) / 1000)
    file.write_text("".join(lines[:1000]))
    glance.look(file)
    assert glance.lowest == (1.0, 700)
    with file.open("a") as more:
        more.write("".join(lines[1000:]) + check(2001, 0.5)[:-9])  # its last line is not whole yet
    glance.look(file)
    assert glance.lowest == (1.0, 700) and len(glance.spark) > 20
    assert glance.spark == sorted(glance.spark, reverse=True)
    assert glance.spark[0] == pytest.approx(2.0, abs=0.05) and glance.spark[-1] == pytest.approx(1.0, abs=0.05)
    with file.open("a") as more:
        more.write(check(2001, 0.5)[-9:])
    glance.look(file)
    assert glance.lowest == (0.5, 2001)
    file.write_text(step(1, 1.0))  # a run that was gone on with from an earlier state
    glance.look(file)
    assert glance.lowest is None


def test_only_rows_that_changed_are_sent(tmp_path: Path) -> None:
    runs = [RunDir.create(tmp_path, name) for name in ("one", "two", "three")]
    for run in runs:
        run.update_state(state="done")
    watching = Watcher(tmp_path)
    told: dict[str, Any] = {}

    def news() -> dict[str, Any] | None:
        said = listing.news(watching.rows(), runs[0].id, told)
        return None if said is None else dict(json.loads(said))

    first = news()
    assert first is not None and first["whole"] and set(first["rows"]) == {run.id for run in runs}
    assert news() is None
    runs[1].events.write_text(step(3, 0.25))
    second = news()
    assert second is not None and not second["whole"] and list(second["rows"]) == [runs[1].id]
    assert second["seq"] == first["seq"] + 1 and second["rows"][runs[1].id]["loss"] == "0.2500"
    told = listing.forget(told)
    again = news()
    assert again is not None and again["whole"] and len(again["rows"]) == 3


def test_a_window_shows_all_points_of_its_steps() -> None:
    view = RunView()
    for n in range(1, 100_001):
        view.add(ev.StepDone(step=n, epoch=n / 1000, loss=1.0 + (n == 50_123) * 50, learning_rate={"unet": 1e-4}))
    assert len(view.raw_losses()) <= 600 and max(view.raw_losses(), key=lambda point: point[1]) == (50_123, 51.0)
    near = view.raw_losses((50_000.0, 50_400.0))
    assert len(near) == 401 and [x for x, _ in near] == [float(n) for n in range(50_000, 50_401)]
    smooth = view.smooth_losses((50_000.0, 50_400.0))
    assert (
        smooth[0][0] >= 50_000
        and smooth[-1][0] <= 50_400
        and max(smooth, key=lambda p: p[1])[0] == pytest.approx(50_123, abs=3)
    )
    top, above, count = view.ordinary()
    assert above == 1 and count == 100_000 and 1.0 <= top < 51.0
