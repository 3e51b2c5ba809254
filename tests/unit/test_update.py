"""An update's losses, and its end: gradients measured, clipped and applied."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.contract.settings import Noise
from trainer.noise import loss
from trainer.noise.process import Tables
from trainer.noise.weighting import chosen_weights
from trainer.parallel import Ranks
from trainer.parts import DiscreteProcess
from trainer.update import Clipping, Objective, Update


def made(parameter: torch.nn.Parameter, max_norm: float, on_device: bool = False) -> Update:
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    nothing: Any = None  # the loss is not computed here
    return Update(nothing, nothing, Objective(nothing), optimizer, Clipping(max_norm, None, on_device), Ranks())


@pytest.mark.parametrize(("max_norm", "moved"), [(0.0, 4.0), (1.0, 0.8)])
def test_the_norm_is_that_before_clipping(max_norm: float, moved: float) -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    assert float(made(parameter, max_norm)._apply(1, torch.tensor(0.5))) == pytest.approx(5.0)
    assert float(-parameter[1]) == pytest.approx(moved, rel=1e-4)


def test_devices_without_batched_operations_are_clipped_too() -> None:
    """As Apple's: torch has no multi-tensor operations there. The meta device has none either."""
    parameter = torch.nn.Parameter(torch.zeros(2, device="meta"))
    parameter.grad = torch.ones(2, device="meta")
    assert made(parameter, 1.0, on_device=True)._apply(1, torch.zeros((), device="meta")).shape == ()


class Nothing:
    """A family whose model predicts nothing at all."""

    def predict(self, noisy_BCHW: Tensor, *_: Any) -> Tensor:
        return torch.zeros_like(noisy_BCHW)


BETAS = tuple((torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2).tolist())
SEEDS = list(range(400))
LATENTS = torch.randn((400, 4, 8, 8), generator=torch.Generator().manual_seed(0))


def minimising(noise: Noise) -> Update:
    objective: Any = Objective(getattr(loss, noise.loss), noise, chosen_weights(noise))
    family: Any = Nothing()
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    return Update(family, Tables(DiscreteProcess(BETAS)), objective, optimizer, Clipping(), Ranks())


def batch(mask_B1HW: Tensor | None = None) -> Any:
    return SimpleNamespace(latents_BCHW=LATENTS, seeds=SEEDS, conditioning={}, facts=None, mask_B1HW=mask_B1HW)


EVERYTHING = Noise(
    min_snr_gamma=5.0, v_like=0.5, noise_offset=0.2, perturbation=0.3, timesteps="mode", timestep_min=300
)


@pytest.mark.parametrize("chosen", [Noise(), Noise(loss="smooth_l1", huber_c=0.3), Noise(multires_iterations=6)])
def test_the_blank_loss_is_that_of_a_model_that_predicts_nothing(chosen: Noise) -> None:
    update = minimising(chosen)
    assert update.blank_loss() == pytest.approx(float(update.losses(batch()).mean()), rel=0.03)


@pytest.mark.parametrize("chosen", [Noise(debiased=True), Noise(loss="huber", huber_schedule="snr")])
def test_there_is_no_blank_loss_where_the_timestep_changes_it(chosen: Noise) -> None:
    assert minimising(chosen).blank_loss() == math.inf
    assert minimising(Noise(huber_schedule="snr")).blank_loss() < math.inf  # l2 has no threshold


def test_validation_sees_neither_weights_nor_what_is_added_to_the_noise() -> None:
    plain, other = (minimising(noise).measure(LATENTS, [500] * 400, SEEDS, {}, None) for noise in (Noise(), EVERYTHING))  # type: ignore[arg-type]
    assert torch.equal(plain, other)


def test_timesteps_are_drawn_as_the_settings_say() -> None:
    drawn = minimising(EVERYTHING).timesteps(SEEDS)
    assert drawn.min() >= 300 and drawn.max() > 900


def test_the_mask_weighs_the_loss_of_its_own_image() -> None:
    update = minimising(EVERYTHING)
    mask = torch.ones((400, 1, 8, 8))
    mask[0], mask[1], mask[2, :, :, 4:] = 0.0, 0.5, 0.0
    whole, masked = update.losses(batch()), update.losses(batch(mask))
    assert masked[0] == 0 and torch.equal(masked[3:], whole[3:])
    assert float(masked[1]) == pytest.approx(float(whole[1]) / 2) and 0 < masked[2] < whole[2]
