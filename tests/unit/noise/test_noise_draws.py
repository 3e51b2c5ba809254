"""A look's noise and timestep depend on its seed alone."""

import torch

from trainer.contract.settings import Noise
from trainer.noise.draws import draw_layers, draw_noise, draw_strengths, draw_timesteps
from trainer.plan.draws import number
from trainer.plan.timesteps import density

SHAPE = (4, 16, 16)


def test_a_batch_is_its_micro_batches() -> None:
    whole = draw_noise(SHAPE, [11, 12, 13, 14])
    parts = torch.cat([draw_noise(SHAPE, [11, 12]), draw_noise(SHAPE, [13, 14])])
    assert torch.equal(whole, parts)
    assert torch.equal(draw_timesteps([11, 12, 13], 1000)[1:], draw_timesteps([12, 13], 1000))


def test_the_generators_history_does_not_matter_and_is_not_touched() -> None:
    torch.manual_seed(1)
    first = draw_noise(SHAPE, [7])
    torch.randn(100)
    state = torch.get_rng_state()
    assert torch.equal(first, draw_noise(SHAPE, [7]))
    draw_timesteps([7], 1000)
    assert torch.equal(state, torch.get_rng_state())


def test_looks_differ() -> None:
    noise = draw_noise(SHAPE, list(range(50))).flatten(1)
    correlation = torch.corrcoef(noise) - torch.eye(50)
    assert correlation.abs().max() < 0.2


def test_noise_is_normal() -> None:
    noise = draw_noise((4, 64, 64), list(range(20)))
    assert abs(float(noise.mean())) < 0.01
    assert abs(float(noise.std()) - 1) < 0.01


def test_timesteps_are_uniform_over_the_whole_process() -> None:
    counts = torch.bincount(draw_timesteps(list(range(20000)), 1000), minlength=1000)
    assert len(counts) == 1000
    tenths = counts.view(10, 100).sum(dim=1) / 2000
    assert (tenths - 1).abs().max() < 0.1


def test_timesteps_come_as_the_settings_say() -> None:
    chosen = Noise(timesteps="logit normal", timestep_mean=0.5, timestep_min=100, timestep_max=900)
    counts = torch.bincount(draw_timesteps(list(range(20000)), 1000, chosen), minlength=1000)
    assert counts[:100].sum() == counts[900:].sum() == 0
    expected = torch.tensor(density(chosen)).view(10, 100).sum(1)
    assert (counts.view(10, 100).sum(1) / 20000 - expected).abs().max() < 0.01


def test_timesteps_that_are_all_alike_are_the_remainder_of_the_looks_number() -> None:
    seeds = list(range(3000))
    assert draw_timesteps(seeds, 1000).tolist() == [number(seed, "timestep") % 1000 for seed in seeds]


def test_strengths_are_whole_or_anything_up_to_it() -> None:
    assert draw_strengths(0.3, False, [1, 2], "x").flatten().tolist() == [torch.tensor(0.3).item()] * 2
    drawn = draw_strengths(0.3, True, list(range(2000)), "x").flatten()
    assert 0 <= drawn.min() < 0.01 and 0.29 < drawn.max() <= 0.3 and abs(float(drawn.mean()) - 0.15) < 0.01


def test_layers_shrink_until_one_is_a_line() -> None:
    for seed in range(30):
        sides = [tuple(layer.shape[1:]) for layer in draw_layers((4, 32, 24), seed, 10)]
        assert sides[0] == (32, 24) and 1 in sides[-1]
        assert all(1 not in side for side in sides[:-1])
        for place, (h, w) in enumerate(sides):
            assert max(1, int(32 / 4**place)) <= h <= max(1, int(32 / 2**place))
            assert max(1, int(24 / 4**place)) <= w <= max(1, int(24 / 2**place))
    assert len(draw_layers((4, 64, 64), 3, 2)) == 2
