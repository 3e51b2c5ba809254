"""How long a plan will take: what past runs tell of it, which of them count, what is said, how fast it comes."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from trainer.contract import events as ev
from trainer.contract import families
from trainer.contract.preset import dumps, resolve, with_values
from trainer.contract.rundir import RunDir
from trainer.contract.settings import Preset
from trainer.plan.adapter_size import measure
from trainer.plan.pace import Paces, read, spoken
from trainer.plan.plan import Plan, make_plan

MODEL = "/models/one.safetensors"
BASE = {
    "model.path": MODEL,
    "dataset.resolution": 512,
    "training.length": "100 steps",
    "training.batch_size": 2,
    "validation.split": "off",
    "sampling.every": "never",
    "sampling.at_start": False,
    "saving.every": "never",
    "hardware.gpus": "cpu",
    "captions.mode": "none",
}


def preset_of(folder: Path, **changes: object) -> Preset:
    values = {**BASE, "dataset.folders": [{"path": str(folder)}]}
    values |= {path.replace("__", "."): value for path, value in changes.items()}
    return resolve(with_values(Preset(), values), families.default_family())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "1_cat"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (512, 512), (40 * number, 0, 0)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def plan(images: Path) -> Plan:
    return make_plan(preset_of(images))


def past(
    runs: Path,
    preset: Preset,
    step_s: float = 0.5,
    steps: int = 20,
    parameters: int = 7,
    device: str = "CPU",
    **told: float,
) -> RunDir:
    """A run that took `told["start"]` seconds to start (20) and `step_s` for each step but the first, which is slow."""
    run, began = RunDir.create(runs, "past"), 1000.0
    run.preset.write_text(dumps(preset), encoding="utf-8")
    run.update_state(state="done", created=began, total_steps=steps)
    begun = {"total_steps": steps, "steps_per_epoch": 2, "total_epochs": 10.0, "images": 4, "device": device}
    lines = [ev.RunStarted(time=began, name="past", trained_parameters=parameters, **begun)]  # type: ignore[arg-type]
    now = began + told.get("start", 20.0)
    for step in range(1, steps + 1):
        seconds = 9.0 if step == 1 else step_s
        now += seconds
        lines.append(ev.StepDone(time=now, step=step, epoch=0.0, loss=0.1, learning_rate={}, seconds=seconds))  # type: ignore[arg-type]
    if "picture" in told:
        files = ["samples/a.png", "samples/b.png"]
        lines.append(ev.Sampled(step=steps, files=files, prompts=["a", "b"], seconds=told["picture"] * len(files)))  # type: ignore[arg-type]
    if "save" in told:
        lines.append(ev.Saved(step=steps, file="x.safetensors", bytes=1, seconds=told["save"]))  # type: ignore[arg-type]
    run.events.write_text("".join(map(ev.to_line, lines)), encoding="utf-8")
    return run


def test_without_runs_nothing_is_said_of_the_time(plan: Plan, tmp_path: Path) -> None:
    for runs in (tmp_path / "nowhere", tmp_path / "1_cat"):
        told = Paces(runs).expected(plan, {})
        assert told.seconds is None and "no run like this" in told.text


def test_steps_start_and_saving_are_counted(plan: Plan, images: Path, tmp_path: Path) -> None:
    past(tmp_path / "runs", preset_of(images), step_s=0.5, save=3.0)
    told = Paces(tmp_path / "runs").expected(plan, {})
    assert told.seconds == pytest.approx(100 * 0.5 + 20 + 3)  # the first step, at 9 s, moves no median
    assert told.text == "about 73 s, from 1 run like this"


def test_pictures_count_by_their_sampler_steps_and_are_named_where_no_run_tells_of_them(
    images: Path, tmp_path: Path
) -> None:
    drawing = {"sampling__every": "50 steps", "sampling__prompts": ["a", "b"], "sampling__steps": 20}
    plan = make_plan(preset_of(images, **drawing))
    past(tmp_path / "silent", preset_of(images))
    told = Paces(tmp_path / "silent").expected(plan, {})
    assert told.seconds == pytest.approx(50 + 20) and told.text.endswith("; samples not counted")
    past(tmp_path / "runs", preset_of(images, **{**drawing, "sampling__steps": 10}), picture=2.0)
    told = Paces(tmp_path / "runs").expected(plan, {})
    # at steps 50 and 100, two pictures each, of 20 sampler steps at 2 s / 10 each
    assert len(plan.samples) == 2
    assert told.seconds == pytest.approx(50 + 20 + 2 * 2 * 20 * 0.2) and "not counted" not in told.text


def test_the_median_of_the_newest_five_alike_counts(plan: Plan, images: Path, tmp_path: Path) -> None:
    for step_s in (90.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        past(tmp_path / "runs", preset_of(images), step_s=step_s)
        time.sleep(0.01)  # runs are told apart by when they ended
    told = Paces(tmp_path / "runs").expected(plan, {})
    assert told.seconds == pytest.approx(100 * 0.3 + 20) and "from 5 runs" in told.text


def test_the_nearest_run_counts_and_what_differs_is_named(plan: Plan, images: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    past(runs, preset_of(images, dataset__resolution=768, training__batch_size=4), step_s=4.0)
    told = Paces(runs).expected(plan, {})
    assert told.seconds == pytest.approx(420)
    assert told.text == "perhaps 7 min: a step took 4.00 s in 1 run like this but with 768 px and batch size 4"
    past(runs, preset_of(images, dataset__resolution=768), step_s=0.05)
    told = Paces(runs).expected(plan, {})
    assert told.text == "perhaps 25 s: a step took 50 ms in 1 run like this but with 768 px"
    past(runs, preset_of(images), step_s=1.0)
    assert Paces(runs).expected(plan, {}).text == "about 2 min, from 1 run like this"


@pytest.mark.parametrize(
    "other",
    [
        {"hardware__gpus": "1"},
        {"dataset__resolution": 768, "training__batch_size": 4, "training__accumulate": 2},
        {"model__path": "/models/another.safetensors"},
    ],
    ids=["device", "three differences", "model of another size"],
)
def test_runs_that_tell_nothing_of_this_plan_are_left_out(
    plan: Plan, images: Path, tmp_path: Path, other: dict[str, object]
) -> None:
    past(tmp_path / "runs", preset_of(images, **other), device="fake device")
    assert Paces(tmp_path / "runs").expected(plan, {}).seconds is None


def test_another_model_of_the_same_size_counts(plan: Plan, images: Path, tmp_path: Path) -> None:
    values, _ = measure(plan.preset, families.default_family(), {})
    past(tmp_path / "runs", preset_of(images, model__path="/models/another.safetensors"), parameters=values)
    assert Paces(tmp_path / "runs").expected(plan, {}).seconds == pytest.approx(70)


def test_validation_by_the_clock_takes_its_budget(images: Path, tmp_path: Path) -> None:
    checked = preset_of(images, validation__split="1 image", validation__every="auto", validation__budget=20)
    past(tmp_path / "runs", checked)
    told = Paces(tmp_path / "runs").expected(make_plan(checked), {})
    assert told.seconds == pytest.approx(100 * 0.5 * 1.2 + 20) and "validation not counted" in told.text


def test_damaged_run_folders_are_passed_over(plan: Plan, images: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    whole = past(runs, preset_of(images)).events.read_bytes()
    for number, (file, content) in enumerate(
        [
            ("run.json", b"{"),
            ("run.json", b"[1]"),
            ("run.json", b'{"name": "x", "state": "running", "created": "yesterday"}'),
            ("events.jsonl", b""),
            ("events.jsonl", b"\xff\xfe\x00"),
            ("events.jsonl", b"[" * 100_000),
            ("events.jsonl", b'{"kind": "step"}\n' * 9),
            ("events.jsonl", whole.replace(b"0.5", b'"long"')),
            ("preset.toml", b"= ["),
            ("preset.toml", b"\x80"),
        ]
    ):
        broken = past(runs, preset_of(images), step_s=30.0)
        (broken.path / file).write_bytes(content)
        assert read(broken) is None, f"damage {number} went unseen"
    (runs / "a file").write_text("no folder")
    (runs / ".trash").mkdir()
    (runs / "empty").mkdir()
    assert Paces(runs).expected(plan, {}).text == "about 70 s, from 1 run like this"


def test_an_unfinished_last_line_and_too_few_steps(images: Path, tmp_path: Path) -> None:
    run = past(tmp_path / "runs", preset_of(images))
    whole = run.events.read_bytes()
    run.events.write_bytes(whole + b'{"kind": "step", "sec')
    assert (found := read(run)) is not None and found.step == 0.5
    few = past(tmp_path / "runs", preset_of(images), steps=4)
    assert read(few) is None
    tried = past(tmp_path / "runs", preset_of(images))
    tried.update_state(kind="preflight")
    assert read(tried) is None


def test_a_run_that_comes_on_is_read_again(plan: Plan, images: Path, tmp_path: Path) -> None:
    runs, slow = tmp_path / "runs", preset_of(images)
    run = past(runs, slow, step_s=2.0, steps=6)
    known = Paces(runs)
    assert known.expected(plan, {}).seconds == pytest.approx(220)
    faster = past(tmp_path / "elsewhere", slow, step_s=0.5, steps=100)
    run.events.write_bytes(faster.events.read_bytes())
    assert known.expected(plan, {}).seconds == pytest.approx(70)


def test_two_hundred_runs_cost_a_plan_next_to_nothing(plan: Plan, images: Path, tmp_path: Path) -> None:
    """The goal is 20 ms for runs that were read before; it is asserted at three times that. Those that were not are
    read as far as the caller's patience goes."""
    runs = tmp_path / "runs"
    first = past(runs, preset_of(images), steps=300)
    files = {path.name: path.read_bytes() for path in first.path.iterdir() if path.is_file()}
    state = json.loads(files["run.json"])
    for number in range(199):
        folder = runs / f"copy {number}"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (folder / "run.json").write_text(json.dumps({**state, "name": f"copy {number}"}), encoding="utf-8")
    known = Paces(runs)
    began = time.perf_counter()
    known.expected(plan, {}, patience_s=0.0)
    assert time.perf_counter() - began < 1.0, "it read on beyond its patience"
    assert known.expected(plan, {}).seconds == pytest.approx(70)
    times = []
    for length in range(10):
        other = replace(plan, steps=replace(plan.steps, total=100 + length))
        began = time.thread_time()
        known.expected(other, {}, patience_s=0.005)
        times.append(time.thread_time() - began)
    print(f"200 runs: {1000 * statistics.median(times):.1f} ms a plan")
    assert statistics.median(times) < 0.060


def test_times_as_people_say_them() -> None:
    assert [spoken(s) for s in (0.2, 40, 89, 90, 5000, 5400, 7800, 86_400)] == [
        "1 s",
        "40 s",
        "89 s",
        "2 min",
        "83 min",
        "1 h 30 min",
        "2 h 10 min",
        "24 h",
    ]
