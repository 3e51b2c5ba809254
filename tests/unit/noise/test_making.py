"""What is added to the noise, against slow computations number by number; each look for itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainer.contract.settings import Noise
from trainer.noise.draws import draw_layers, draw_noise
from trainer.noise.making import adapt, add_layers, make_noise

SHAPE = (4, 12, 8)
SEEDS = [3, 4, 5]
LATENTS = torch.randn((3, *SHAPE), generator=torch.Generator().manual_seed(1)) + torch.arange(4.0).view(1, 4, 1, 1) - 1

EVERY = [
    Noise(),
    Noise(noise_offset=0.1),
    Noise(noise_offset=0.1, noise_offset_random=True),
    Noise(noise_offset=0.1, adaptive_noise_scale=0.05),
    Noise(noise_offset=0.05, adaptive_noise_scale=-0.1, noise_offset_random=True),
    Noise(multires_iterations=6, multires_discount=0.3),
    Noise(perturbation=0.1),
    Noise(perturbation=0.1, perturbation_random=True),
    Noise(noise_offset=0.1, perturbation=0.2),
]


@pytest.mark.parametrize("chosen", EVERY)
def test_a_look_does_not_depend_on_its_neighbours_nor_on_what_was_drawn_before(chosen: Noise) -> None:
    together = make_noise(chosen, LATENTS, SEEDS)
    state = torch.get_rng_state()
    alone = [make_noise(chosen, LATENTS[place : place + 1], [seed]) for place, seed in enumerate(SEEDS)]
    assert torch.equal(together.wanted_BCHW, torch.cat([one.wanted_BCHW for one in alone]))
    assert torch.equal(together.seen_BCHW, torch.cat([one.seen_BCHW for one in alone]))
    assert torch.equal(state, torch.get_rng_state())


def test_nothing_added_is_the_plain_noise() -> None:
    made = make_noise(Noise(), LATENTS, SEEDS)
    assert torch.equal(made.wanted_BCHW, draw_noise(SHAPE, SEEDS)) and made.seen_BCHW is made.wanted_BCHW


def test_offset_moves_each_channel_as_a_whole() -> None:
    plain, moved = draw_noise(SHAPE, SEEDS), make_noise(Noise(noise_offset=0.5), LATENTS, SEEDS).wanted_BCHW
    shift = (moved - plain).flatten(2)
    assert shift.std(dim=2).max() < 1e-6 and shift[:, :, 0].unique().numel() == 12


@pytest.mark.parametrize(("at_random", "deviation"), [(False, 0.5), (True, 0.5 / math.sqrt(3))])
def test_offsets_are_as_strong_as_asked_for(at_random: bool, deviation: float) -> None:
    """A strength that is uniform up to s has the mean square s² / 3."""
    count = 3000
    chosen = Noise(noise_offset=0.5, noise_offset_random=at_random)
    blank = torch.zeros((count, 4, 1, 1))
    shifts = make_noise(chosen, blank, range(count)).wanted_BCHW - draw_noise((4, 1, 1), range(count))
    assert abs(float(shifts.std()) - deviation) < 0.02


def test_the_offset_adapts_to_each_channels_mean() -> None:
    strengths = adapt(torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1, 1), LATENTS, -0.2)
    by_hand = [
        [max(0.1 * (place + 1) - 0.2 * abs(float(channel.double().mean())), 0) for channel in latents]
        for place, latents in enumerate(LATENTS)
    ]
    assert strengths.shape == (3, 4, 1, 1) and (strengths == 0).any()
    np.testing.assert_allclose(strengths.flatten(1).numpy(), by_hand, atol=1e-6)


def enlarged(layer: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear enlargement of [h, w], pixel by pixel, with the pixels' middles as places."""
    h, w = layer.shape
    result = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            down, right = max((y + 0.5) * h / height - 0.5, 0), max((x + 0.5) * w / width - 0.5, 0)
            top, left = int(down), int(right)
            low, far = min(top + 1, h - 1), min(left + 1, w - 1)
            upper = layer[top, left] * (1 - right + left) + layer[top, far] * (right - left)
            lower = layer[low, left] * (1 - right + left) + layer[low, far] * (right - left)
            result[y, x] = upper * (1 - down + top) + lower * (down - top)
    return result


def test_multi_resolution_noise_pixel_by_pixel() -> None:
    layers = draw_layers(SHAPE, 9, 6)
    assert len(layers) > 2
    noise = draw_noise(SHAPE, [9])[0]
    total = noise.double().numpy()
    for place, layer in enumerate(layers):
        total = total + 0.4**place * np.stack([enlarged(channel, 12, 8) for channel in layer.double().numpy()])
    np.testing.assert_allclose(add_layers(noise, layers, 0.4).numpy(), total / total.std(ddof=1), atol=1e-5)


def test_multi_resolution_noise_has_deviation_1_and_more_of_the_coarse() -> None:
    shape, seeds = (4, 32, 32), list(range(60))
    made = make_noise(Noise(multires_iterations=8, multires_discount=0.6), torch.zeros((60, *shape)), seeds).wanted_BCHW
    assert made.flatten(1).std(dim=1).numpy() == pytest.approx(np.ones(60), abs=1e-4)
    coarse = made.unfold(2, 8, 8).unfold(3, 8, 8).mean(dim=(-1, -2))
    plain = draw_noise(shape, seeds).unfold(2, 8, 8).unfold(3, 8, 8).mean(dim=(-1, -2))
    assert float(coarse.std()) > 1.5 * float(plain.std())


@pytest.mark.parametrize(("at_random", "deviation"), [(False, 0.3), (True, 0.3 / math.sqrt(3))])
def test_perturbation_is_seen_and_not_wanted(at_random: bool, deviation: float) -> None:
    chosen = Noise(perturbation=0.3, perturbation_random=at_random)
    made = make_noise(chosen, torch.zeros((500, *SHAPE)), range(500))
    assert torch.equal(made.wanted_BCHW, draw_noise(SHAPE, range(500)))
    added = made.seen_BCHW - made.wanted_BCHW
    assert abs(float(added.std()) - deviation) < 0.02
    assert abs(float((added * made.wanted_BCHW).mean())) < 0.01
