"""Noising, targets and weights against diffusers' scheduler and the papers' formulas in numpy."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from trainer.noise.process import Tables, add_noise, snr, target
from trainer.parts import DiscreteProcess

T_B = torch.tensor([0, 1, 250, 600, 998, 999])


def scheduler(prediction: str = "epsilon", zero_snr: bool = False) -> DDPMScheduler:
    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction" if prediction == "v" else "epsilon",
        rescale_betas_zero_snr=zero_snr,
    )


def tables(prediction: str = "epsilon", zero_snr: bool = False) -> Tables:
    betas = scheduler(prediction, zero_snr).betas
    return Tables(DiscreteProcess(tuple(betas.double().tolist()), prediction))


@pytest.fixture
def latents_and_noise() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn((6, 4, 8, 5), generator=generator), torch.randn((6, 4, 8, 5), generator=generator)


def test_noisy_latents_are_those_of_diffusers(latents_and_noise: tuple[torch.Tensor, torch.Tensor]) -> None:
    latents, noise = latents_and_noise
    theirs = scheduler().add_noise(latents, noise, T_B)
    torch.testing.assert_close(add_noise(tables(), latents, noise, T_B), theirs, rtol=1e-4, atol=1e-5)


def test_v_target_is_that_of_diffusers(latents_and_noise: tuple[torch.Tensor, torch.Tensor]) -> None:
    latents, noise = latents_and_noise
    theirs = scheduler("v").get_velocity(latents, noise, T_B)
    torch.testing.assert_close(target(tables("v"), latents, noise, T_B), theirs, rtol=1e-4, atol=1e-5)


def test_epsilon_target_is_the_noise(latents_and_noise: tuple[torch.Tensor, torch.Tensor]) -> None:
    latents, noise = latents_and_noise
    assert torch.equal(target(tables(), latents, noise, T_B), noise)


def test_an_unknown_prediction_is_refused(latents_and_noise: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="flow"):
        target(tables("flow"), *latents_and_noise, T_B)


def alphas_cumprod() -> np.ndarray:
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=np.float64) ** 2
    return np.cumprod(1 - betas)


def test_snr_is_signal_over_noise() -> None:
    kept = alphas_cumprod()[T_B.numpy()]
    np.testing.assert_allclose(snr(tables(), T_B).numpy(), kept / (1 - kept), rtol=1e-3)
