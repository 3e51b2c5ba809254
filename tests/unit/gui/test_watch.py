"""What the page knows of a run, read from real run folders that grow while they are watched."""

from __future__ import annotations

import math
import os
import threading
import time
from pathlib import Path

import pytest

from gui.runs import watch
from trainer.contract import events as ev
from trainer.contract.rundir import RunDir, process_start
from trainer.report import curves


def started(total: int = 100) -> ev.RunStarted:
    return ev.RunStarted(name="badge", total_steps=total, steps_per_epoch=10, total_epochs=total / 10, images=40)


def step(number: int, loss: float = 0.5, begun: float = 1000.0, seconds: float = 2.0) -> ev.StepDone:
    rates = {"unet": 1e-4 * number, "text_encoder": 5e-5}
    return ev.StepDone(
        time=begun + number * seconds, step=number, epoch=number / 10, loss=loss, learning_rate=rates,
        seconds=seconds, images=4,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "badge")


def alive(run: RunDir, **changes: object) -> None:
    run.update_state(state="running", pid=os.getpid(), process_started=process_start(os.getpid()), **changes)


def write(run: RunDir, *events: ev.Event) -> None:
    writer = ev.Writer(run.events)
    for event in events:
        writer.write(event)
    writer.close()


def test_figures(run: RunDir) -> None:
    write(run, started(), *(step(n, 0.5 - n / 100) for n in range(1, 21)))
    view = watch.Watcher(run.path.parent).view(run)
    assert (view.step, view.total_steps, view.epoch, view.last_loss) == (20, 100, 2.0, pytest.approx(0.3))
    assert view.step_seconds == 2.0 and view.images_per_second == 2.0
    assert view.eta_s == pytest.approx(80 * 2.0)
    assert view.rate_curves()["unet"][-1] == (20.0, pytest.approx(2e-3)) and set(view.rates) == {"unet", "text_encoder"}


def test_one_slow_step_moves_the_speed_not_but_the_time_left(run: RunDir) -> None:
    """A sample every ten steps that takes ten seconds: the speed is the step's, the time left has the pauses in it."""
    times, now = [], 0.0
    for n in range(1, 41):
        now += 12.0 if n % 10 == 0 else 2.0
        times.append(ev.StepDone(time=now, step=n, epoch=0, loss=1, learning_rate={}, seconds=2.0 + 10 * (n % 10 == 0)))
    write(run, started(), *times)
    view = watch.Watcher(run.path.parent).view(run)
    assert view.step_seconds == 2.0
    assert view.eta_s == pytest.approx(60 * 3.0, rel=0.1)


def test_each_look_reads_only_what_is_new(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    real = ev.from_line
    monkeypatch.setattr(ev, "from_line", lambda line: (parsed.extend([line] if line else []), real(line))[1])
    watching = watch.Watcher(run.path.parent)
    write(run, started(), *(step(n) for n in range(1, 51)))
    assert watching.view(run).step == 50
    parsed.clear()
    assert watching.view(run).step == 50 and parsed == []
    write(run, step(51))
    assert watching.view(run).step == 51 and len(parsed) == 1


def test_half_a_line_waits_for_its_end(run: RunDir) -> None:
    watching, line = watch.Watcher(run.path.parent), ev.to_line(step(1)).encode()
    run.events.write_bytes(line[:30])
    assert watching.view(run).step == 0
    run.events.write_bytes(line)
    assert watching.view(run).step == 1


def test_a_log_that_was_cut_is_read_anew(run: RunDir) -> None:
    """A resumed run drops the steps that came after its state: they must not stay on the chart."""
    watching = watch.Watcher(run.path.parent)
    write(run, started(), *(step(n, 9.0) for n in range(1, 31)))
    watching.view(run)
    run.events.unlink()
    write(run, started(), *(step(n, 1.0) for n in range(1, 11)))
    view = watching.view(run)
    assert view.step == 10 and len(view.losses) == 10 and max(view.losses) == 1.0


def test_strange_letters_in_a_prompt_do_not_cut_its_line(run: RunDir) -> None:
    prompt = "a\u2028b\u0085c\x1dd"
    write(run, ev.Sampled(step=3, files=["samples/1.png"], prompts=[prompt], seeds=[1]))
    assert watch.Watcher(run.path.parent).view(run).samples[0].prompts == [prompt]


def test_unknown_kinds_and_broken_lines_are_passed_over(run: RunDir) -> None:
    run.events.write_text('{"kind":"resumed","step":4}\nnot json\n[]\n{"kind":"step"}\n', encoding="utf-8")
    write(run, step(7))
    assert watch.Watcher(run.path.parent).view(run).step == 7


def test_losses_that_are_no_numbers_are_counted_and_left_out(run: RunDir) -> None:
    write(run, started(), step(1, 0.4), step(2, math.nan), step(3, math.inf), step(4, 0.2))
    view = watch.Watcher(run.path.parent).view(run)
    assert view.not_numbers == 2
    assert view.raw_losses() == [(1.0, 0.4), (4.0, 0.2)]


def test_many_sessions_add_each_event_once(run: RunDir) -> None:
    watching = watch.Watcher(run.path.parent)
    write(run, started(4000), *(step(n) for n in range(1, 2001)))

    def look() -> None:
        for _ in range(20):
            with watching.lock:
                view = watching.view(run)
                assert list(view.steps) == list(map(float, range(1, len(view.steps) + 1)))

    sessions = [threading.Thread(target=look) for _ in range(6)]
    for session in sessions:
        session.start()
    write(run, *(step(n) for n in range(2001, 2201)))
    for session in sessions:
        session.join()
    assert len(watching.view(run).steps) == 2200


def test_list_of_runs(tmp_path: Path) -> None:
    old, new = RunDir.create(tmp_path, "old"), RunDir.create(tmp_path, "new")
    old.update_state(created=1000.0)
    alive(old, started=time.time() - 60, total_steps=100)
    write(old, started(), *(step(n) for n in range(1, 6)), ev.Phase(text="sampling"))
    new.update_state(state="done", created=2000.0, started=2000.0, ended=2090.0, step=10, total_steps=10)
    (tmp_path / "no run").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text("{")
    watching = watch.Watcher(tmp_path)
    rows = watching.rows()
    assert [(row.state.name, row.state.state, row.step, row.loss) for row in rows] == [
        ("new", "done", 10, None),
        ("old", "running", 5, 0.5),
    ]
    assert rows[0].seconds == 90.0 and 59 < rows[1].seconds < 70
    assert watching.first_choice() == old.id, "the one that runs comes before a newer one that is over"
    old.update_state(state="done")
    assert watching.first_choice() == new.id


def test_a_run_whose_process_is_gone_is_interrupted(run: RunDir) -> None:
    alive(run)
    watching = watch.Watcher(run.path.parent)
    assert watching.rows()[0].state.state == "running"
    run.update_state(process_started=1.0)
    assert watching.rows()[0].state.state == "interrupted"


@pytest.mark.parametrize("name", ["..", "../..", "/etc", "", ".", "nothing", "a/b", "x\0y"])
def test_only_folders_that_are_runs_have_a_name(run: RunDir, name: str) -> None:
    assert watch.Watcher(run.path.parent).run(name) is None


def test_no_folder_of_runs_yet(tmp_path: Path) -> None:
    watching = watch.Watcher(tmp_path / "runs")
    assert watching.rows() == [] and watching.first_choice() == ""


def test_console_as_a_terminal_shows_it(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"loading\r\n\x1b[31mred\x1b[0m\rgreen\rblue\n 10%|#\r 20%|##\x07\nwin\r\nlast\xff half\n\n\n")
    assert watch.console_tail(log) == ["loading", "blue", " 20%|##", "win", "last\ufffd half"]
    log.write_text("".join(f"line {n}\n" for n in range(100_000)))
    tail = watch.console_tail(log, 50)
    assert len(tail) == 50 and tail[-1] == "line 99999" and all(line.startswith("line ") for line in tail)
    assert watch.console_tail(tmp_path / "none") == []


def test_a_hundred_thousand_steps_stay_small_and_quick(run: RunDir) -> None:
    run.events.write_text("".join(ev.to_line(step(n, 0.1 + (n == 77_777))) for n in range(1, 100_001)))
    watching = watch.Watcher(run.path.parent)
    view = watching.view(run)
    begun = time.perf_counter()
    raw, smooth, rates = view.raw_losses(), view.smooth_losses(), view.rate_curves()
    seconds = time.perf_counter() - begun
    assert len(raw) <= 600 and len(smooth) <= 300 and all(len(points) <= 240 for points in rates.values())
    assert (77_777.0, 1.1) in [(x, pytest.approx(y)) for x, y in raw], "no peak is lost"
    assert seconds < 1.5


def test_thinning_keeps_order_and_ends() -> None:
    steps = list(range(1, 5001))
    values = [math.sin(n / 40) for n in steps]
    thin = curves.thin(steps, values, 100)
    assert len(thin) <= 100 and [x for x, _ in thin] == sorted({x for x, _ in thin})
    assert max(y for _, y in thin) == max(values) and min(y for _, y in thin) == min(values)
    assert curves.thin(steps[:50], values[:50], 100) == list(zip(steps[:50], values[:50]))


def test_smoothing_does_not_lag() -> None:
    """A step up at the middle is half-way up at the middle, mirrored in time it gives the mirrored curve, and a
    constant stays where it is up to its ends."""
    steps = list(range(401))
    flat = curves.smooth(steps, [0.25] * 401)
    assert all(y == pytest.approx(0.25) for _, y in flat)
    up = curves.smooth(steps, [0.0] * 200 + [0.5] + [1.0] * 200, points=401)
    assert dict(up)[200] == pytest.approx(0.5)
    wild = [math.sin(n * n) for n in steps]
    forward, back = curves.smooth(steps, wild, 401), curves.smooth(steps, wild[::-1], 401)
    assert [y for _, y in forward] == pytest.approx([y for _, y in back][::-1])


def test_a_resumed_run_is_read_anew_even_where_its_file_has_grown_since(run: RunDir) -> None:
    watcher = watch.Watcher(run.path.parent)
    write(run, started(), *(step(n, 0.5) for n in range(1, 6)))
    assert list(watcher.view(run).steps) == [1, 2, 3, 4, 5]
    lines = run.events.read_bytes().splitlines(keepends=True)
    run.events.write_bytes(b"".join(lines[:3]))
    alive(run, started=2000.0)
    write(run, ev.Resumed(step=2), *(step(n, 0.25) for n in range(3, 10)))
    view = watcher.view(run)
    assert list(view.steps) == list(range(1, 10)) and list(view.losses)[:3] == [0.5, 0.5, 0.25]
