"""Run folders that come from anybody, or are damaged: the page shows the others, and nothing in them is markup."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gui.runs.watch import Watcher
from gui.tabs.runs import _news
from trainer.contract import checkpoints
from trainer.contract.events import Sampled, StepDone, Timing, Validated, from_line, to_line
from trainer.contract.rundir import RunDir, RunState
from trainer.report.preflight import Chart, Curve, Preflight, Rung, dumps, loads
from trainer.report.view import RunView

EVIL = '"><img src=x onerror=alert(1)>'
STEP = StepDone(step=1, time=1.0, epoch=0.1, loss=0.1, learning_rate={"unet": 1e-4})


def page(runs: Path, shown: RunDir) -> str:
    told = _news(Watcher(runs), shown.id, (False, True, {}), {})
    return "".join(part for part in told if isinstance(part, str))


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": "12"},
        {"total_steps": 1 << 80},
        {"created": float("nan")},
        {"ended": 1e300},
        {"started": -5.0},
        {"versions": []},
        {"state": "<b>"},
        {"exit_code": "0"},
    ],
)
def test_a_strange_run_json_hides_no_other_run(tmp_path: Path, wrong: dict[str, Any]) -> None:
    strange, good = RunDir.create(tmp_path, "strange"), RunDir.create(tmp_path, "good")
    values = {**asdict(RunState(name="strange", state="done", ended=1.0)), **wrong}
    strange.state_file.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        strange.read_state()
    assert good.id in page(tmp_path, strange) and good.id in page(tmp_path, good)


@pytest.mark.parametrize("text", ["[" * 200_000, "[]", "null", "{", '{"name": "x", "step": Infinity}'])
def test_what_is_no_run_json_is_told_as_that(tmp_path: Path, text: str) -> None:
    run = RunDir.create(tmp_path, "x")
    run.state_file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="damaged"):
        run.read_state()


def test_events_of_other_types_are_passed_over() -> None:
    whole = json.loads(to_line(STEP))
    for name, value in (("step", "1"), ("step", True), ("step", 10**300), ("learning_rate", {"unet": [1]})):
        assert from_line(json.dumps({**whole, name: value})) is None, name
    assert from_line("[" * 200_000) is None
    assert from_line(json.dumps({**whole, "loss": "nan", "new": 1})) is not None
    sampled = json.loads(to_line(Sampled(files=["a.png"], prompts=["x"])))
    assert from_line(json.dumps({**sampled, "seeds": [EVIL]})) is None


def test_every_event_fits_its_own_types() -> None:
    events = [
        STEP,
        Validated(loss=float("inf"), per_timestep={"62": float("nan")}, per_image=[1.0, 2.0]),
        Timing(seconds={"data": 1.0}, wall_s=1, memory={"host_used": 5.0}),
        Sampled(files=["a"], prompts=["b"], seeds=[1 << 63], recipes=[{"guidance": 7.5, "steps": 3, "sampler": "x"}]),
    ]
    for event in events:
        assert repr(from_line(to_line(event))) == repr(event)


def flight(**changes: Any) -> dict[str, Any]:
    chart = Chart("t", "step", [Curve("c", [(1.0, 2.0), (2.0, 3.0)])])
    rung = Rung(1, "One", "green", "fine", figures={"steps": 3.0}, charts=[chart])
    values: dict[str, Any] = json.loads(dumps(Preflight("r", "p", "cpu", 1.0, 2.0, [rung])))
    return {**values, **changes}


def test_a_strange_preflight_brings_no_markup(tmp_path: Path) -> None:
    whole = flight()
    assert loads(json.dumps(whole)).verdict == "green"
    rung = whole["rungs"][0]
    strange = [{**rung, "number": EVIL}, {**rung, "verdict": EVIL}]
    strange.append(
        {**rung, "charts": [{**rung["charts"][0], "curves": [{**rung["charts"][0]["curves"][0], "ink": EVIL}]}]}
    )
    run = RunDir.create(tmp_path, "x")
    run.update_state(kind="preflight", state="done")
    for row in strange:
        (run.path / "preflight.json").write_text(json.dumps({**whole, "rungs": [row]}), encoding="utf-8")
        shown = page(tmp_path, run)
        assert "<img" not in shown and run.id in shown
    for changes in ({"created": 1e300}, {"seconds": -1.0}, {"rungs": 5}, {"rungs": [5]}, {"device": 3}):
        with pytest.raises(ValueError):
            loads(json.dumps(flight(**changes)))


def test_what_cannot_be_drawn_hides_no_other_part(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "x")
    run.update_state(state="done", step=2)
    wild = [
        STEP,
        StepDone(step=2, epoch=0.2, loss=-1e308, learning_rate={}),
        StepDone(step=3, epoch=0.3, loss=1e308, learning_rate={}),
    ]
    recipe: dict[str, str | int | float] = {"strength": EVIL, "clip_skip": "x", "guidance": "y", "adapter": "a"}
    drawn = Sampled(step=3, files=["samples/a.png"], prompts=[EVIL], seeds=[1], recipes=[recipe])
    run.events.write_text("".join(to_line(event) for event in [*wild, drawn]), encoding="utf-8")
    shown = page(tmp_path, run)
    assert "<img src=x" not in shown and "samples/a.png" in shown and "draw it elsewhere" in shown


def test_a_state_of_impossible_steps_is_none(tmp_path: Path) -> None:
    import struct

    run = RunDir.create(tmp_path, "x")
    run.checkpoints.mkdir()
    for step in ("Infinity", "NaN", '"x"'):
        facts = f'{{"format": 1, "step": {step}, "events_bytes": 0}}'
        header = json.dumps({"__metadata__": {checkpoints.FACTS: facts}}).encode()
        (run.checkpoints / "state-step00000001.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
        assert checkpoints.newest(run) is None


def test_long_curves_are_drawn_anew_by_the_thousandth_only() -> None:
    view = RunView()
    for step in range(1, 5001):
        view.add(StepDone(step=step, epoch=1.0, loss=1.0 / step, learning_rate={}))
        if step in (1, 2, 1500):
            assert view.raw_losses()[-1][0] == step
    first = view.raw_losses()
    assert first[-1][0] == 5000
    for step in range(5001, 5006):
        assert view.raw_losses() is first
        view.add(StepDone(step=step, epoch=1.0, loss=1.0 / step, learning_rate={}))
    assert view.raw_losses()[-1][0] == 5005
