"""The whole plan: what is counted, what is said, what the trainer will be given."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trainer.contract import families, preset
from trainer.contract.problems import Problems
from trainer.plan.names import checkpoint_file, epoch_file, final_file, step_file
from trainer.plan.plan import Plan, batches, describe, examine, make_plan
from trainer.plan.steps import Steps, count_steps, due_steps

ROOT = Path(__file__).parents[3]
SHAPES = [(512, 512)] * 5 + [(768, 512)] * 3 + [(300, 300)] * 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images of three shapes, all but two with captions, all of different content."""
    place = tmp_path / "3_my cat"
    place.mkdir()
    for number, size in enumerate(SHAPES):
        Image.new("RGB", size, (number, 0, 0)).save(place / f"{number}.png")
        if number >= 2:
            (place / f"{number}.txt").write_text(f"cat, on a mat, {number}", encoding="utf-8")
    return place


def plan_of(folder: Path, processes: int = 1, **changes: Any) -> Plan:
    values = {"dataset.folders": [{"path": str(folder)}], "validation.split": "off"}
    values |= {path.replace("__", "."): value for path, value in changes.items()}
    chosen = preset.with_values(preset.build({}), values)
    return make_plan(preset.resolve(chosen, families.default_family()), processes)


def test_steps_are_counted_from_the_real_buckets(folder: Path) -> None:
    plan = plan_of(folder, training__batch_size=4, training__length="10 epochs")
    # 512x512: (5 + 2 enlarged) x 3 repeats = 21 looks -> 6 batches; 640x384 (nearest to 3:2): 9 -> 3
    assert sorted(plan.buckets.values()) == [9, 21]
    assert (plan.steps.batches, plan.steps.per_epoch, plan.steps.total) == (9, 9, 90)
    assert len(batches(plan, 1)) == 9 and sum(map(len, batches(plan, 1))) == plan.steps.looks == 30
    assert plan.looks_per_image() == 30


@pytest.mark.parametrize(
    ("processes", "accumulate", "per_epoch"), [(1, 1, 9), (2, 1, 5), (1, 2, 5), (2, 2, 3), (1, 100, 1)]
)
def test_more_processes_and_accumulation_make_fewer_steps(
    folder: Path, processes: int, accumulate: int, per_epoch: int
) -> None:
    plan = plan_of(folder, processes, training__batch_size=4, training__accumulate=accumulate)
    assert plan.steps.per_epoch == per_epoch == len(plan.steps_of_epoch(3))


def test_files_and_their_numbers_are_kohyas(folder: Path) -> None:
    assert (final_file("a"), epoch_file("a", 10), step_file("a", 500)) == (
        "a.safetensors",
        "a-000010.safetensors",
        "a-step00000500.safetensors",
    )
    plan = plan_of(folder, training__length="3 epochs", saving__every="1 epoch", saving__name="x")
    assert plan.files == ("x-000001.safetensors", "x-000002.safetensors", "x.safetensors")
    plan = plan_of(folder, training__length="50 steps", saving__every="20 steps")
    assert plan.files == ("my cat-step00000020.safetensors", "my cat-step00000040.safetensors", "my cat.safetensors")
    plan = plan_of(folder, training__length="90 steps", saving__every="20 steps", saving__keep_last=1)
    assert plan.files == ("my cat-step00000080.safetensors", "my cat.safetensors")
    plan = plan_of(folder, training__length="9 steps", validation__split="2 images")
    assert plan.files == ("my cat-lowest-validation-loss.safetensors", "my cat.safetensors")
    assert checkpoint_file("x", "30 minutes", 45, plan.steps) == "x-step00000045.safetensors"


def test_due_steps() -> None:
    steps = Steps(per_epoch=7, total=20, batches=7, looks=7)
    assert due_steps("1 epoch", steps) == (7, 14)
    assert due_steps("10 steps", steps) == (10, 20)
    assert due_steps("5 minutes", steps) == due_steps("never", steps) == ()
    assert (steps.epoch_of(7), steps.epoch_of(8), steps.last_epoch) == (1, 2, 3)
    assert count_steps({}, 4, 1, "2 epochs").per_epoch == 1


def test_samples_and_checks_have_a_before_and_an_after(folder: Path) -> None:
    kept = {"training__length": "120 steps", "validation__split": "2 images", "validation__every": "50 steps"}
    plan = plan_of(folder, **kept, sampling__every="50 steps")
    assert plan.samples == plan.validations == (0, 50, 100, 120)
    assert plan_of(folder, **kept, sampling__every="never").samples == (0, 120)
    assert plan_of(folder, **kept, sampling__every="never", sampling__at_start=False).samples == ()
    assert plan_of(folder, **kept, sampling__prompts=[]).samples == ()
    assert plan_of(folder, validation__split="off").validations == ()


def test_held_out_images_are_never_shown_and_never_changed(folder: Path) -> None:
    plan = plan_of(folder, validation__split="3 images", dataset__flip=True, dataset__crop="random")
    assert len(plan.held_out) == len(plan.train_probe) == 3 and set(plan.train_probe) <= set(plan.train)
    shown = {draw.image for epoch in (1, 2) for batch in batches(plan, epoch) for draw in batch}
    assert shown == set(plan.train) and not shown & set(plan.held_out)
    fixed = plan.fixed_draws(plan.held_out)
    assert fixed == plan.fixed_draws(plan.held_out)
    assert all(not draw.flip and draw.crop == plan.placed[draw.image].centre for draw in fixed)


def test_the_pools_hold_whatever_is_shown(folder: Path) -> None:
    for more in (
        {},
        {"captions__dropout": 0.3},
        {"captions__shuffle": True, "memory__caption_variants": 3, "captions__dropout": 0.1},
    ):
        plan = plan_of(folder, dataset__flip=True, validation__split="2 images", **more)
        draws = [draw for epoch in range(1, 5) for batch in batches(plan, epoch) for draw in batch]
        draws += plan.fixed_draws([*plan.held_out, *plan.train_probe])
        assert {draw.caption for draw in draws} <= set(plan.caption_pool())
        pictures = {(draw.image, draw.flip, draw.crop, draw.bucket) for draw in plan.latent_pool()}
        assert {(draw.image, draw.flip, draw.crop, draw.bucket) for draw in draws} <= pictures


@pytest.mark.parametrize(
    ("changes", "text_mode", "latents_cached"),
    [
        ({}, "cached", True),
        ({"captions__shuffle": True}, "live", True),
        ({"captions__shuffle": True, "memory__caption_variants": 2}, "variants", True),
        ({"captions__shuffle": True, "captions__mode": "trigger word"}, "cached", True),
        ({"network__text_encoder": True}, "live", True),
        ({"memory__cache_text": False}, "live", True),
        ({"dataset__crop": "random"}, "cached", False),
        ({"dataset__rotate": 3}, "cached", False),
        ({"memory__cache_latents": False}, "cached", False),
    ],
)
def test_what_is_cached(folder: Path, changes: dict[str, Any], text_mode: str, latents_cached: bool) -> None:
    plan = plan_of(folder, **changes)
    assert (plan.text_mode, plan.latents_cached) == (text_mode, latents_cached)
    told = " ".join(plan.notes)
    assert ("Latents are not cached" in told) == (not latents_cached and "memory__cache_latents" not in changes)


def test_notes_and_lines_say_what_is_so(folder: Path) -> None:
    (folder / "broken.png").write_text("no image", encoding="utf-8")
    plan = plan_of(folder, captions__trigger="zz")
    told = "\n".join(describe(plan))
    for words in (
        "1 file cannot be used",
        "broken.png",
        "2 of 10 images have no caption file: the trigger word is",
        "2 images have less area than 512 x 512",
        "Images: 10",
        "my cat.safetensors",
        'trigger word "zz"',
    ):
        assert words in told
    assert (plan.captions.files, plan.captions.fallback, plan.captions.empty) == (8, 2, 0)
    assert plan_of(folder).captions.empty == 2
    assert "no trigger word is set" in " ".join(plan_of(folder).notes)


def test_unusual_settings_are_told_unless_a_run_has_proved_them(folder: Path) -> None:
    unusual = {"optimizer__name": "ScheduleFreeAdamW", "optimizer__learning_rate": 5e-4}
    assert any("set it to constant" in note for note in plan_of(folder, **unusual).notes)
    assert not any("set it to constant" in note for note in plan_of(folder, **unusual, about__tested="1 run").notes)


def test_the_adapters_size(folder: Path) -> None:
    plan = plan_of(folder)
    assert plan.adapter.bytes == 2 * plan.adapter.parameters
    assert plan_of(folder, network__rank=32).adapter.parameters == 2 * plan.adapter.parameters
    assert plan_of(folder, precision__save="float").adapter.bytes == 2 * plan.adapter.bytes
    assert 12.5e6 < plan.adapter.bytes < 15e6  # 14 MB at rank 16 in 16 bit, as the rank's help says


def test_square_without_buckets_and_nothing_enlarged_where_off(folder: Path) -> None:
    assert set(plan_of(folder, dataset__buckets=False).buckets) == {(512, 512)}
    plan = plan_of(folder, dataset__enlarge=False)
    assert (256, 256) in plan.buckets
    Image.new("RGB", (30, 30)).save(folder / "tiny.png")
    assert [bad.path.name for bad in plan_of(folder, dataset__enlarge=False).unreadable] == ["tiny.png"]


def test_the_demo_draws_the_same_in_another_process(folder: Path) -> None:
    def code() -> str:
        return (
            "import sys; from trainer.contract import families, preset; from trainer.plan.plan import make_plan;"
            f"p=preset.build({{'dataset':{{'folders':[{{'path':{str(folder)!r}}}]}},'captions':{{'shuffle':True}}}});"
            "plan=make_plan(preset.resolve(p, families.default_family()));"
            "print(plan.step_draws(7)); assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
        )

    outputs = {
        subprocess.run(
            [sys.executable, "-c", code()],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            text=True,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1 and "Draw(" in outputs.pop()


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    chosen = preset.build(
        {
            "model": {"path": str(tmp_path / "none.safetensors"), "vae": str(tmp_path / "vae.safetensors")},
            "dataset": {"folders": [{"path": str(tmp_path / "none")}]},
            "network": {"unet": False},
            "sampling": {"prompts_file": str(tmp_path / "prompts.txt")},
        }
    )
    with pytest.raises(Problems) as caught:
        examine(chosen)
    paths = [problem.path for problem in caught.value.problems]
    assert sorted(paths) == ["dataset.folders", "model.path", "model.vae", "network.unet", "sampling.prompts_file"]
    assert caught.value.exit_code == 2


def test_the_demo_preset_is_examined(demo_model_dir: Path, folder: Path) -> None:
    chosen = preset.build({"model": {"path": str(demo_model_dir)}, "dataset": {"folders": [{"path": str(folder)}]}})
    resolved, recognised, plan = examine(chosen)
    assert recognised.family == "SD 1.x" and resolved.saving.name == "my cat"
    assert 0 < plan.adapter.parameters < plan_of(folder).adapter.parameters
