"""A held-out image after each step: drawn by seed and step, every image and all of the process in turn."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.parts import BatchFacts, Conditioning
from trainer.validation.measure import Glance

PROCESS = 1000


def glance(seen: list[tuple[int, int, int]], seed: int = 1, images: int = 3) -> Glance:
    """One that writes down (image, timestep, seed of the noise) of each look."""

    def batch(draw: Any) -> Any:
        ones = torch.ones(1, 2)
        values = torch.full((1, 2, 4, 4), float(draw.image))
        return SimpleNamespace(
            seeds=[draw.image], latents_BCHW=values, conditioning={}, facts=BatchFacts(ones, ones, ones)
        )

    def losses(
        latents_BCHW: Tensor, timesteps: Sequence[int], seeds: Sequence[int], text: Conditioning, facts: BatchFacts
    ) -> Tensor:
        assert latents_BCHW.shape[0] == len(timesteps) == len(seeds) == 1
        seen.append((int(latents_BCHW[0, 0, 0, 0]), timesteps[0], seeds[0]))
        return torch.tensor([float(timesteps[0])])

    draws: Any = [SimpleNamespace(image=index) for index in range(images)]
    return Glance(losses, batch, draws, PROCESS, seed)


def looks(count: int, seed: int = 1, first: int = 1) -> list[tuple[int, int, int]]:
    seen: list[tuple[int, int, int]] = []
    look = glance(seen, seed)
    values = [float(look(step)) for step in range(first, first + count)]
    assert values == [timestep for _, timestep, _ in seen]
    return seen


def test_it_depends_on_seed_and_step_alone() -> None:
    assert looks(9)[4:] == looks(5, first=5)
    assert looks(9) != looks(9, seed=2)
    assert len({noise for _, _, noise in looks(200)}) == 200


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_few_steps_in_a_row_cover_images_and_process(seed: int) -> None:
    seen = looks(60, seed)
    for start in range(0, 50, 10):
        part = seen[start : start + 10]
        times = sorted(timestep for _, timestep, _ in part)
        assert max(b - a for a, b in zip([0, *times], [*times, PROCESS])) < 0.3 * PROCESS
        assert {image for image, _, _ in part} == {0, 1, 2}
    assert all(0 <= timestep < PROCESS for _, timestep, _ in seen)


def test_no_graph_is_built_and_no_generator_is_touched() -> None:
    state = torch.get_rng_state()
    assert not glance([])(7).requires_grad
    assert torch.equal(state, torch.get_rng_state())
