"""Whole runs with every network type and all that can be added to a LoRA: they learn, go on exactly, leave files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import SDXL, build
from whole_runs import of_kind, same_bits, tensors

from trainer.contract import preset as presets
from trainer.contract.events import RunStarted, StepDone
from trainer.contract.families import by_name
from trainer.contract.problems import Problems
from trainer.contract.rundir import RunDir
from trainer.plan.plan import examine

Train = Callable[..., RunDir]

KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "LoHa": ({"network.type": "LoHa"}, ".hada_w1_a"),
    "LoKr": ({"network.type": "LoKr", "network.args": {"factor": 4}, "network.dora": True}, ".dora_scale"),
    "DyLoRA": ({"network.type": "DyLoRA", "network.args": {"block_size": 2}}, ".lora_down.weight"),
    "GLoRA": ({"network.type": "GLoRA", "network.rank_dropout": 0.2}, ".b2.weight"),
    "IA3": ({"network.type": "IA3"}, ".on_input"),
    "OFT": ({"network.type": "OFT", "network.args": {"rescaled": True}}, ".rescale"),
    "BOFT": ({"network.type": "BOFT", "network.rank": 6}, ".oft_blocks"),
    "DoRA": (
        {
            "network.dora": True,
            "network.args": {"wd_on_output": True},
            "network.rank_stabilised": True,
            "network.conv_rank": 2,
            "network.text_encoder": True,
            "optimizer.text_encoder_learning_rate": 1e-3,
            "network.rank_dropout": 0.2,
            "network.module_dropout": 0.2,
            "network.max_norm": 0.05,
            "network.ema": 0.9,
            "optimizer.loraplus": 4.0,
            "saving.diffusers": True,
        },
        ".dora_scale",
    ),
    "DoRA by input": (
        {
            "network.dora": True,
            "network.conv_rank": 2,
            "network.text_encoder": True,
            "optimizer.text_encoder_learning_rate": 1e-3,
        },
        ".dora_scale",
    ),
}


GO_ON = ("LoKr", "DyLoRA", "DoRA", "DoRA by input")
"""Kinds that are paused and resumed too; what a state holds of the others is looked at in the unit tests."""


def goes_on(run: RunDir) -> RunDir:
    """The rest of a paused run, in this process."""
    from trainer.__main__ import main

    assert run.read_state().state == "paused"
    main(["trainer", str(run.path)])
    return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_each_kind_learns_and_goes_on_exactly(train_here: Train, kind: str) -> None:
    changes, mark = KINDS[kind]
    whole = train_here(changes)
    assert whole.read_state().state == "done"
    if kind in GO_ON:
        paused = train_here(changes, before=lambda run: run.request("pause", "2"))
        assert same_bits(whole, goes_on(paused))
    assert any(name.endswith(mark) for name in tensors(whole))
    (started,) = of_kind(whole, RunStarted)
    _, _, plan = examine(presets.load(whole.preset))
    assert started.trained_parameters == plan.adapter.parameters
    steps = of_kind(whole, StepDone)
    assert all(event.grad_norm > 0 for event in steps) and steps[-1].adapter_norm > 0


EACH_STEP = {
    "training.length": "4 steps",
    "saving.every": "1 step",
    "network.text_encoder": True,
    "optimizer.text_encoder_learning_rate": 1e-3,
    "optimizer.text_encoder_stop": 50.0,
    "network.down_rates": "0,0,0,0.5",
    "network.layers": [{"match": "attn1_to_q$", "rank": 0}, {"match": "attn2_to_q$", "rank": 3, "rate": 2.0}],
}


def test_parts_stop_blocks_are_left_out_and_the_average_is_saved(train_here: Train) -> None:
    """The frozen encoder does not move by a bit; what has rate or rank 0 has no keys; the EMA is that of the files."""
    run, averaged = train_here(EACH_STEP), train_here({**EACH_STEP, "network.ema": 0.5})
    files = [tensors(run, f"zorb-step{step:08}.safetensors") for step in (1, 2, 3)] + [tensors(run)]
    text = [name for name in files[0] if name.startswith("lora_te_") and name.endswith("up.weight")]
    drawn = [name for name in files[0] if name.startswith("lora_unet_") and name.endswith("up.weight")]
    assert text and all((files[1][name] == files[3][name]).all() for name in text)
    assert any((files[0][name] != files[1][name]).any() for name in text)
    assert all((files[1][name] != files[3][name]).any() for name in drawn)
    rates = [event.learning_rate for event in of_kind(run, StepDone)]
    assert [rate["text_encoder"] for rate in rates[2:]] == [0.0, 0.0] and rates[1]["text_encoder"] > 0
    assert all(rate["unet"] > 0 for rate in rates)

    left_out = [name for name in files[0] if "down_blocks_0" in name and "attn2_to_q" not in name]
    assert not left_out and not any("attn1_to_q" in name for name in files[0]), "a rule goes before its block's rate"
    assert any("down_blocks_1" in name for name in files[0])
    assert {value.shape[0] for name, value in files[0].items() if "attn2_to_q.lora_down" in name} == {3}
    (started,) = of_kind(run, RunStarted)
    assert started.trained_parameters == sum(value.numel() for name, value in files[0].items() if ".lora_" in name)

    final, mean = tensors(averaged), dict.fromkeys(drawn, 0.0)
    for step, file in enumerate(files, start=1):
        share = 1 - min(0.5, (1 + step) / (10 + step))
        mean = {name: value + (file[name] - value) * share for name, value in mean.items()}
    assert all(torch.allclose(final[name], mean[name], rtol=1e-5, atol=1e-8) for name in drawn)
    assert not same_bits(run, averaged)


def test_a_run_starts_from_an_adapter_and_on_top_of_others(train_here: Train, small: Callable[..., Any]) -> None:
    """Its first values are the file's effect, whatever its alpha; what lies under it is added to the weights."""
    first = train_here({"network.rank": 4, "network.alpha": 2.0, "network.conv_rank": 2})
    file = first.path / "zorb.safetensors"
    still = {"optimizer.name": "SGD", "optimizer.learning_rate": 1e-30, "optimizer.weight_decay": 0.0}
    start = {"network.start": str(file), "network.start_ranks": True, "network.rank": 16, "training.length": "1 step"}
    again = train_here({**still, **start})
    assert all(torch.equal(value, tensors(first)[name]) for name, value in tensors(again).items())
    other = train_here({**still, **start, "network.start_ranks": False, "network.rank": 4, "network.conv_rank": 2})
    up = "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight"
    assert torch.allclose(tensors(other)[up] * 2, tensors(first)[up]), "alpha 4 instead of 2"
    assert not any(event.loss != event.loss for event in of_kind(other, StepDone))

    from trainer import prepare
    from trainer.contract.families import recognise
    from trainer.families.sd1 import StableDiffusion1

    preset = presets.with_values(small(), {"model.adapters": [f"{file} @ 0.5"]})
    models = []
    for chosen in (small(), preset):
        family, resolved = StableDiffusion1(), presets.resolve(chosen, by_name("SD 1.x"))
        prepare.load(family, resolved, recognise(resolved.model.path), torch.device("cpu"))
        models.append(dict(family.parts["unet"].named_parameters())["mid_block.attentions.0.proj_in.weight"])
    key = "lora_unet_mid_block_attentions_0_proj_in"
    down, up_values = tensors(first)[f"{key}.lora_down.weight"], tensors(first)[up]
    added = (up_values.flatten(1) @ down.flatten(1)).view_as(models[0]) * (2 / 4) * 0.5
    assert added.abs().max() > 0 and torch.allclose(models[1], models[0] + added, atol=1e-7)
    missing = presets.with_values(
        small(), {"model.adapters": ["nowhere.safetensors"], "network.start": "no.safetensors"}
    )
    with pytest.raises(Problems) as caught:
        examine(missing)
    assert {problem.path for problem in caught.value.problems} == {"model.adapters", "network.start"}


def test_two_encoders_have_their_own_rates_and_ends(train_here: Train, tmp_path: Path) -> None:
    """On a tiny SDXL: 23 blocks, of which the first with a LoRA is left out; the second encoder stops at half time."""
    ranks = [4] * 23
    ranks[5] = 0
    run = train_here(
        {
            "model.path": str(build(SDXL, tmp_path / "model")),
            "training.length": "4 steps",
            "saving.every": "1 step",
            "network.text_encoder": True,
            "network.block_ranks": ranks,
            "network.mid_rates": "1,0.5",
            "optimizer.text_encoder_learning_rate": 1e-3,
            "optimizer.text_encoder_2_learning_rate": 2e-3,
            "optimizer.text_encoder_2_stop": 50.0,
            "schedule.name": "constant",
            "schedule.warmup": 0,
        }
    )
    assert run.read_state().exit_code == 0, run.read_state().cause
    steps = of_kind(run, StepDone)
    assert [event.learning_rate for event in steps] == [
        {"unet": 3e-3, "text_encoder": 1e-3, "text_encoder_2": 2e-3 if step <= 2 else 0.0} for step in (1, 2, 3, 4)
    ]
    half, end = tensors(run, "zorb-step00000002.safetensors"), tensors(run)
    moved = {name.split("_")[1] for name in end if (half[name] != end[name]).any()}
    assert moved == {"unet", "te1"} and any(name.startswith("lora_te2_") for name in end)
    assert not any("input_blocks_4_" in name for name in end) and any("input_blocks_5_" in name for name in end)
    (started,) = of_kind(run, RunStarted)
    assert started.trained_parameters == examine(presets.load(run.preset))[2].adapter.parameters
