"""The Try tab's work: pictures with adapters beside the base model, exact at strength 0 and 1, in whatever order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from whole_runs import of_kind

from trainer.__main__ import main
from trainer.contract import preset as presets
from trainer.contract import tasks
from trainer.contract.events import Sampled, Warned
from trainer.contract.rundir import RunDir
from trainer.contract.tasks import Generating, Strength

SAMPLED = {
    "sampling.prompts": ["a zorb badge on a table", "a red table"],
    "sampling.every": "3 steps",
    "sampling.at_start": True,
    "network.text_encoder": True,
    "network.conv_rank": 4,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, small: Callable[..., Any]) -> RunDir:
    """A run that trained U-Net, convolutions and text encoder, and drew its samples."""
    from gui import jobs

    run = RunDir.create(tmp_path_factory.mktemp("runs"), "test")
    run.preset.write_text(presets.dumps(jobs.resolve(small(SAMPLED))), encoding="utf-8")
    assert main(["trainer", str(run.path)]) == 0
    return run


def task_of(run: RunDir, columns: list[list[tuple[Path, float]]], **changes: Any) -> Generating:
    """The pictures that the run itself draws, in these columns."""
    preset = presets.load(run.preset)
    sampling = preset.sampling
    values = {
        "model": preset.model.path,
        "prompts": sampling.prompts,
        "negative": sampling.negative,
        "columns": [[{"file": str(file), "strength": strength} for file, strength in column] for column in columns],
        "seed": sampling.seed,
        "width": sampling.width,
        "height": sampling.height,
        "steps": sampling.steps,
        "guidance": sampling.guidance,
        "sampler": sampling.sampler,
        "gpus": "cpu",
        "max_tokens": preset.captions.max_tokens,
        **changes,
    }
    return tasks.make("generating", values)  # type: ignore[return-value]


def drawn(folder: Path, task: Generating, name: str = "try", code: int = 0) -> RunDir:
    run = RunDir.create(folder, name)
    tasks.save(run, task)
    run.update_state(kind="generating")
    assert main(["trainer", str(run.path)]) == code
    return run


def pixels(run: RunDir, file: str) -> bytes:
    with Image.open(run.path / file) as image:
        return image.convert("RGB").tobytes()


def farthest(some: list[bytes], others: list[bytes]) -> int:
    """The largest difference of two lists of pictures, in 255ths."""
    return max(abs(a - b) for one, other in zip(some, others, strict=True) for a, b in zip(one, other, strict=True))


def test_columns_are_exact_in_any_order(trained: RunDir, tmp_path: Path) -> None:
    final = trained.path / "zorb.safetensors"
    columns = [[], [(final, 0.0)], [(final, 1.0)], [(final, 0.5)], [], [(final, 0.5), (final, 0.5)]]
    run = drawn(tmp_path, task_of(trained, columns))
    assert not of_kind(run, Warned), "a run folder without a preset is whole"
    told = of_kind(run, Sampled)
    assert [len(event.files) for event in told] == [2] * 6
    base, zero, full, half, again, twice = [[pixels(run, file) for file in event.files] for event in told]
    own = of_kind(trained, Sampled)
    assert base == zero == again == [pixels(trained, file) for file in own[0].files], "nothing of a column stays"
    assert full == [pixels(trained, file) for file in own[-1].files], "the run's own last pictures"
    assert full != base and half not in (base, full)
    assert farthest(full, twice) <= 2, "twice half is the whole, but for rounding"

    shuffled = drawn(tmp_path, task_of(trained, [[(final, 0.5)], [(final, 1.0)], []]), "other-order")
    other = [[pixels(shuffled, file) for file in event.files] for event in of_kind(shuffled, Sampled)]
    assert other == [half, full, base]


@pytest.mark.parametrize("changes", [{"network.type": "LoHa"}, {"network.dora": True}], ids=["LoHa", "DoRA"])
def test_other_kinds_are_drawn_as_they_were_trained(
    small: Callable[..., Any], tmp_path: Path, changes: dict[str, Any]
) -> None:
    from gui import jobs

    run = RunDir.create(tmp_path / "runs", "test")
    preset = jobs.resolve(small({**SAMPLED, **changes, "sampling.prompts": ["a zorb badge"]}))
    run.preset.write_text(presets.dumps(preset), encoding="utf-8")
    assert main(["trainer", str(run.path)]) == 0
    before, after = ([pixels(run, file) for file in event.files] for event in of_kind(run, Sampled))
    final = run.path / "zorb.safetensors"
    tried = drawn(tmp_path, task_of(run, [[], [(final, 1.0)], [(final, 0.0)], [(final, 0.5), (final, 0.5)]]))
    base, full, zero, twice = [[pixels(tried, file) for file in event.files] for event in of_kind(tried, Sampled)]
    assert base == zero and full != base
    assert max(farthest(*pair) for pair in ((base, before), (full, after), (twice, full))) <= 2


def test_the_place_of_values_in_a_file_decides_no_bit(trained: RunDir, tmp_path: Path) -> None:
    """The length of a file's metadata, which a date changes, moves its values: 16, 24, 32 bytes off a boundary."""
    tensors, columns = load_file(trained.path / "zorb.safetensors"), []
    for padding in range(0, 64, 8):
        columns.append([(tmp_path / f"padded-{padding}.safetensors", 1.0)])
        save_file(tensors, columns[-1][0][0], {"padding": "x" * padding})
    own = [pixels(trained, file) for file in of_kind(trained, Sampled)[-1].files]
    run = drawn(tmp_path, task_of(trained, columns))
    for event in of_kind(run, Sampled):
        assert [pixels(run, file) for file in event.files] == own


def test_recipes_stand_in_pictures_and_events(trained: RunDir, tmp_path: Path) -> None:
    final = trained.path / "zorb.safetensors"
    run = drawn(tmp_path, task_of(trained, [[], [(final, 0.75)]], prompts=["a zorb (x)"]))
    plain, tried = of_kind(run, Sampled)
    assert "adapter" not in plain.recipes[0]
    assert tried.recipes[0]["strength"] == 0.75 and tried.recipes[0]["adapter_step"] == 3
    with Image.open(run.path / tried.files[0]) as image:
        assert image.text["parameters"].startswith("a zorb \\(x\\) <lora:zorb:0.75>\nNegative prompt:")
        assert json.loads(image.text["loratory"])["prompt"] == "a zorb (x)"
    assert run.read_state().cause == "2 pictures drawn" and run.read_state().state == "done"


def test_a_stop_keeps_what_is_drawn(trained: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.tools import generating

    run = RunDir.create(tmp_path, "try")
    put = RunDir.put

    def asks(self: RunDir, path: Path, *rest: Any, **more: Any) -> None:
        put(self, path, *rest, **more)
        if path.parent.name == "samples":
            self.request("stop")

    monkeypatch.setattr(RunDir, "put", asks)
    done = generating.work(run, task_of(trained, [[], []]), lambda event: None)
    assert (done.how, done.said) == ("stopped", "stopped after 1 of 4 pictures")
    assert [path.name for path in run.samples.iterdir()] == [tasks.picture_name(0, 0)]


def test_what_does_not_fit_is_said(trained: RunDir, tmp_path: Path) -> None:
    final = trained.path / "zorb.safetensors"
    tensors = load_file(final)
    broken, foreign, extra = (
        tmp_path / name for name in ("broken.safetensors", "foreign.safetensors", "extra.safetensors")
    )
    broken.write_bytes(final.read_bytes()[:5000])
    save_file({key.replace("lora_", "other_", 1): value for key, value in tensors.items()}, foreign)
    save_file({**tensors, "lora_unet_nowhere.lora_up.weight": torch.zeros(2, 2)}, extra)
    peft = tmp_path / "peft.safetensors"
    save_file({"unet.conv_in.lora_A.weight": torch.zeros(2, 2)}, peft)
    for file, why in ((broken, "cannot be read"), (foreign, "another kind of model"), (peft, "PEFT's key names")):
        run = drawn(tmp_path, task_of(trained, [[(file, 1.0)]]), file.stem, 2 if file is not broken else 3)
        assert why in run.read_state().cause, file.name
    run = drawn(tmp_path, task_of(trained, [[(extra, 0.0)]], prompts=["x"], steps=1), "extra")
    assert any("1 of its layers" in event.text for event in of_kind(run, Warned))
    assert "multiple of 8" in drawn(tmp_path, task_of(trained, [[]], width=100), "odd", 2).read_state().cause


def test_strength_has_bounds() -> None:
    with pytest.raises(ValueError):
        Strength(file="x", strength=9.0)
