"""Weights by timestep against the papers' formulas, worked out from the betas number by number."""

import math

import numpy as np
import pytest
import torch

from trainer.contract.settings import Noise
from trainer.noise.process import Tables, add_noise, target
from trainer.noise.weighting import Weight, chosen_weights, debiased, min_snr, scale_v_like_noise, v_like
from trainer.parts import DiscreteProcess

BETAS = np.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=np.float64) ** 2
T = (0, 1, 250, 600, 998, 999)
T_B = torch.tensor(T)


def zero_snr(betas: np.ndarray) -> np.ndarray:
    """Betas with zero terminal SNR: algorithm 1 of arXiv 2305.08891."""
    root = np.sqrt(np.cumprod(1 - betas))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    kept = root**2
    return 1 - np.concatenate([kept[:1], kept[1:] / kept[:-1]])


def tables(prediction: str = "epsilon", terminal: bool = False) -> Tables:
    betas = zero_snr(BETAS) if terminal else BETAS
    return Tables(DiscreteProcess(tuple(map(float, betas)), prediction))


def ratio(t: int) -> float:
    kept = math.prod(1 - beta for beta in BETAS[: t + 1])
    return kept / (1 - kept)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_min_snr(prediction: str, gamma: float) -> None:
    expected = [min(ratio(t), gamma) / (ratio(t) + (prediction == "v")) for t in T]
    np.testing.assert_allclose(min_snr(tables(prediction), T_B, gamma).numpy(), expected, rtol=1e-5)


def test_debiased() -> None:
    noise = [1 / math.sqrt(min(ratio(t), 1000)) for t in T]
    v = [1 / (min(ratio(t), 1000) + 1) for t in T]
    np.testing.assert_allclose(debiased(tables(), T_B).numpy(), noise, rtol=1e-5)
    np.testing.assert_allclose(debiased(tables("v"), T_B).numpy(), v, rtol=1e-5)


@pytest.fixture
def answer() -> dict[str, torch.Tensor]:
    """Latents, noise and some model's answer for v, in float64."""
    generator = torch.Generator().manual_seed(3)
    names = ("latents", "noise", "answer")
    return {name: torch.randn((6, 4, 8, 5), generator=generator, dtype=torch.float64) for name in names}


def squared(one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    return (one - other).square().flatten(1).mean(1).numpy()


def test_the_scaled_loss_of_v_is_that_of_the_noise_that_it_means(answer: dict[str, torch.Tensor]) -> None:
    made = tables("v")
    alpha, sigma = made.alpha_T[T_B].view(-1, 1, 1, 1), made.sigma_T[T_B].view(-1, 1, 1, 1)
    noisy = add_noise(made, answer["latents"], answer["noise"], T_B)
    meant = alpha * answer["answer"] + sigma * noisy  # epsilon from v, arXiv 2202.00512, appendix D
    loss = squared(answer["answer"], target(made, answer["latents"], answer["noise"], T_B))
    np.testing.assert_allclose(
        scale_v_like_noise(made, T_B).numpy() * loss, squared(meant, answer["noise"]), rtol=2e-4
    )  # 2e-4: where the ratio is above 1000, it counts as 1000


def test_the_v_like_loss_adds_that_of_the_v_that_is_meant(answer: dict[str, torch.Tensor]) -> None:
    made = tables()
    alpha, sigma = made.alpha_T[T_B].view(-1, 1, 1, 1).double(), made.sigma_T[T_B].view(-1, 1, 1, 1).double()
    noisy = alpha * answer["latents"] + sigma * answer["noise"]
    meant = (answer["answer"] - sigma * noisy) / alpha
    real = alpha * answer["noise"] - sigma * answer["latents"]
    loss = squared(answer["answer"], answer["noise"])
    expected = loss + 0.3 * squared(meant, real)
    np.testing.assert_allclose(v_like(made, T_B, 0.3).numpy() * loss, expected, rtol=1e-3)


WEIGHTS: list[Noise] = [
    Noise(min_snr_gamma=5.0),
    Noise(debiased=True),
    Noise(scale_v_like_noise=True),
    Noise(v_like=0.5),
]


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("noise", WEIGHTS, ids=["min-SNR", "debiased", "scaled v", "v-like"])
def test_all_weights_are_finite_at_zero_terminal_snr(noise: Noise, prediction: str) -> None:
    made = tables(prediction, terminal=True)
    assert made.snr_T[-1] == 0 and made.alpha_T[-1] == 0 and made.sigma_T[-1] == 1
    (weight,) = chosen_weights(noise)
    values = weight(made, torch.arange(1000))
    assert torch.isfinite(values).all() and (values >= 0).all()


def test_min_snr_does_not_lose_the_last_timestep_of_noise_prediction() -> None:
    assert float(min_snr(tables(terminal=True), torch.tensor([999]), 5.0)) == 1.0


@pytest.mark.parametrize("noise", WEIGHTS, ids=["min-SNR", "debiased", "scaled v", "v-like"])
def test_the_settings_choose_the_weights(noise: Noise) -> None:
    assert chosen_weights(Noise()) == ()
    (one,) = chosen_weights(noise)
    both: tuple[Weight, ...] = chosen_weights(noise.model_copy(update={"min_snr_gamma": 5.0, "debiased": True}))
    assert callable(one) and len(both) >= 2
