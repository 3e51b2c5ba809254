"""Where the time went, on the page and as the last words on the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from gui.follow import follow
from gui.runs import panels, watch
from trainer.contract import events as ev
from trainer.contract import preset as presets
from trainer.contract.rundir import RunDir, write_whole

WAITING = ev.Timing(
    step=50, seconds={"data": 61.0, "forward": 39.0}, wall_s=100.0, steps=50, images=200, inside={"read": 90.0}
)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir.create(tmp_path, "badge")
    changed = presets.with_values(
        presets.build({}), {"dataset.folders": [{"path": str(tmp_path)}], "dataset.jitter": 0.1}
    )
    write_whole(run.preset, presets.dumps(changed))
    return run


def write(run: RunDir, *events: ev.Event) -> None:
    writer = ev.Writer(run.events)
    for event in events:
        writer.write(event)
    writer.close()


def test_the_page_shows_the_bar_with_the_runs_own_setting(run: RunDir) -> None:
    watching = watch.Watcher(run.path.parent)
    assert panels.time_split(run, watching.view(run)) == "", "nothing before the run has told"
    write(run, WAITING, WAITING)
    shown = panels.time_split(run, watching.view(run))
    assert "Where the time went (3:20)" in shown and "61 % of the time waits for data" in shown
    assert "dataset.jitter" in shown


def test_a_run_whose_preset_cannot_be_read_is_shown_too(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "bare")
    run.preset.write_text("this is no preset", encoding="utf-8")
    write(run, WAITING)
    assert "61 % of the time waits for data" in panels.time_split(run, watch.Watcher(tmp_path).view(run))


def test_the_terminals_last_words_name_it(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    write(run, WAITING, ev.Finished(step=50, how="done"))
    run.update_state(state="done", exit_code=0, step=50, total_steps=50)
    assert follow(run) == 0
    said = capsys.readouterr().out
    assert "Time: waiting for data 61 %, forward 39 % (of 1:40)" in said
    assert said.count("waiting for data") == 1 and "dataset.jitter keeps the latent cache off" in said
