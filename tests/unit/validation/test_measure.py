"""The fixed grid: equal to a plain loop, the same each time, blind to the generator's state."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from trainer.parts import BatchFacts, Conditioning
from trainer.validation.measure import grid, measure


@dataclass
class Picture:
    seeds: list[int]
    latents_BCHW: Tensor
    conditioning: Conditioning
    facts: BatchFacts


def picture(seed: int, height: int = 4) -> Picture:
    values = torch.randn((1, 2, height, 3), generator=torch.Generator().manual_seed(seed))
    ones = torch.ones(1, 2)
    return Picture([seed], values, {"text": torch.full((1, 2, 2), float(seed))}, BatchFacts(ones, ones, ones * seed))


def losses(latents: Tensor, timesteps: list[int], seeds: list[int], text: Conditioning, facts: BatchFacts) -> Tensor:
    """Something that depends on all it is given."""
    assert latents.shape[0] == len(timesteps) == len(seeds) == text["text"].shape[0] == facts.target_B2.shape[0]
    noise = torch.stack([torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(s)) for s in seeds])
    size = latents.flatten(1).square().mean(dim=1) + noise.flatten(1).square().mean(dim=1)
    return size * torch.tensor(timesteps) + text["text"][:, 0, 0] + facts.target_B2[:, 0]


def test_the_grid_is_the_middles_of_equal_parts() -> None:
    assert grid(8, 1000) == [62, 187, 312, 437, 562, 687, 812, 937]
    assert grid(1, 1000) == [500]
    assert grid(100, 1000) == list(range(5, 1000, 10))


@pytest.mark.parametrize("passes", [1, 3, 8, 100])
def test_the_result_does_not_depend_on_how_it_is_batched(passes: int) -> None:
    pictures = [picture(1), picture(2, height=6), picture(3)]
    steps = grid(8, 1000)
    ours, one_by_one = measure(losses, pictures, steps, passes), measure(losses, pictures, steps, 1)
    assert ours.loss == pytest.approx(one_by_one.loss, rel=1e-6)
    assert ours.per_image == pytest.approx(one_by_one.per_image, rel=1e-6)


def test_mean_error_and_timesteps() -> None:
    table = {1: [1.0, 2.0], 2: [3.0, 6.0], 3: [5.0, 1.0]}
    result = measure(
        lambda latents, steps, seeds, text, facts: torch.tensor(
            [table[int(text["text"][0, 0, 0])][[10, 20].index(t)] for t in steps]
        ),
        [picture(1), picture(2), picture(3)],
        [10, 20],
    )
    assert result.loss == pytest.approx(3.0)
    assert result.per_image == pytest.approx([1.5, 4.5, 3.0])
    assert result.error == pytest.approx(1.5 / 3**0.5)
    assert result.per_timestep == pytest.approx({10: 3.0, 20: 3.0})


def test_one_image_has_no_error() -> None:
    assert measure(losses, [picture(4)], [500]).error == 0.0


def test_without_images_there_is_nothing_to_measure() -> None:
    with pytest.raises(ValueError, match="no images"):
        measure(losses, [], [500])


def test_it_is_the_same_each_time_and_disturbs_no_generator() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = measure(losses, [picture(1), picture(2)], grid(4, 1000))
    assert torch.equal(state, torch.get_rng_state())
    torch.randn(10)
    assert measure(losses, [picture(1), picture(2)], grid(4, 1000)) == first


def test_every_image_and_timestep_has_noise_of_its_own() -> None:
    seen: list[int] = []

    def note(latents: Tensor, steps: list[int], seeds: list[int], text: Conditioning, facts: BatchFacts) -> Tensor:
        seen.extend(seeds)
        return torch.zeros(len(seeds))

    measure(note, [picture(1), picture(2)], grid(8, 1000))
    assert len(set(seen)) == 16


def test_no_graph_is_built() -> None:
    weight = torch.ones(1, requires_grad=True)

    def with_weight(
        latents: Tensor, steps: list[int], seeds: list[int], text: Conditioning, facts: BatchFacts
    ) -> Tensor:
        made = latents.flatten(1).mean(dim=1) * weight
        assert not made.requires_grad
        return made

    measure(with_weight, [picture(1)], [1, 2])
