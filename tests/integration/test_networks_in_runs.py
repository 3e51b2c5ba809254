"""Whole runs with every network type and with what can be added to a LoRA: they learn, go on, and leave files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from whole_runs import of_kind, same_bits, tensors

from trainer.contract import preset as presets
from trainer.contract.events import RunStarted, StepDone
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
}


def goes_on(run: RunDir) -> RunDir:
    """The rest of a paused run, in this process."""
    from trainer.__main__ import main

    assert run.read_state().state == "paused"
    main(["trainer", str(run.path)])
    return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_each_kind_goes_on_exactly(train_here: Train, kind: str) -> None:
    changes, mark = KINDS[kind]
    whole = train_here(changes)
    assert whole.read_state().state == "done"
    paused = train_here(changes, before=lambda run: run.request("pause", "2"))
    assert same_bits(whole, goes_on(paused))
    assert any(name.endswith(mark) for name in tensors(whole))
    (started,) = of_kind(whole, RunStarted)
    _, _, plan = examine(presets.load(whole.preset))
    assert started.trained_parameters == plan.adapter.parameters
    steps = of_kind(whole, StepDone)
    assert all(event.grad_norm > 0 for event in steps) and steps[-1].adapter_norm > 0
