"""A look's noise and timestep depend on its seed alone."""

import torch

from trainer.noise.draws import draw_noise, draw_timesteps

SHAPE = (4, 16, 16)


def test_a_batch_is_its_micro_batches() -> None:
    whole = draw_noise(SHAPE, [11, 12, 13, 14], offset=0.1)
    parts = torch.cat([draw_noise(SHAPE, [11, 12], offset=0.1), draw_noise(SHAPE, [13, 14], offset=0.1)])
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


def test_offset_moves_each_channel_as_a_whole() -> None:
    plain, moved = draw_noise(SHAPE, [3, 4]), draw_noise(SHAPE, [3, 4], offset=0.5)
    shift = (moved - plain).flatten(2)
    assert shift.std(dim=2).max() < 1e-6
    assert shift[:, :, 0].unique().numel() == 8
    shifts = (draw_noise((4, 1, 1), list(range(3000)), offset=0.5) - draw_noise((4, 1, 1), list(range(3000)))).flatten()
    assert abs(float(shifts.std()) - 0.5) < 0.02
