"""The rates that are set are the plan's curve times each group's peak."""

import pytest
import torch
from torch import nn

from trainer.contract import catalog, settings
from trainer.optim.optimizers import Group, applied_rates, make_optimizer
from trainer.optim.schedule import Scheduler


def optimizer() -> torch.optim.Optimizer:
    groups = [
        Group("unet", [nn.Parameter(torch.zeros(2))], 1e-3),
        Group("text_encoder", [nn.Parameter(torch.zeros(2))], 1e-5),
    ]
    return make_optimizer(torch.optim.AdamW, catalog.optimizer("AdamW"), groups, settings.Optimizer())


def test_linear_with_warmup_by_hand() -> None:
    made = optimizer()
    scheduler = Scheduler(made, settings.Schedule(name="linear", warmup=20), 10)
    seen = []
    for step in range(1, 11):
        scheduler.set(step)
        seen.append(applied_rates(made)["unet"])
    expected = [1 / 3, 2 / 3, *(1 - k / 8 for k in range(8))]
    assert seen == pytest.approx([1e-3 * value for value in expected])


def test_groups_keep_their_ratio_and_order_does_not_matter() -> None:
    made = optimizer()
    scheduler = Scheduler(made, settings.Schedule(name="cosine", warmup=0, minimum=0.1), 100)
    scheduler.set(90)
    there = applied_rates(made)
    scheduler.set(3)
    scheduler.set(90)
    assert applied_rates(made) == there
    assert there["unet"] / there["text_encoder"] == pytest.approx(100)


@pytest.mark.parametrize("name", catalog.names("schedules"))
def test_every_schedule_sets_a_usable_rate_at_every_step(name: str) -> None:
    made = optimizer()
    scheduler = Scheduler(made, settings.Schedule(name=name), 40)
    for step in range(1, 41):
        scheduler.set(step)
        assert 0 <= applied_rates(made)["unet"] <= 1e-3
