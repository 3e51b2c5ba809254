"""From the plan's draws to batches, with a family so simple that every latent and caption can be told by hand."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from trainer.contract.problems import Problems
from trainer.contract.settings import Captions
from trainer.data.cache import Cache
from trainer.data.latents import BrokenImages, CachedLatents, Latents, LiveLatents, check_decodable, prepare_latents
from trainer.data.loader import Batch, Loader, Share
from trainer.data.text import CachedText, LiveText, prepare_text
from trainer.parts import Conditioning, DiscreteProcess, SamplingDefaults
from trainer.plan.balance import Turns
from trainer.plan.buckets import Placed, Size
from trainer.plan.captions import Source
from trainer.plan.draws import Draw, Draws, Recipe, Subject
from trainer.plan.pixels import BrokenImage, look
from trainer.plan.steps import count_steps

CPU = torch.device("cpu")
WIDE, TALL = Placed(Size(64, 32), Size(70, 32)), Placed(Size(32, 64), Size(32, 66))


class Averages:
    """A whole, very small family: a latent is the mean of each 8x8 square plus 0.01 x its noise; a caption is its
    length. It counts what it encodes."""

    process = DiscreteProcess((0.1, 0.2))
    sampling = SamplingDefaults({})
    latent_channels = 3
    parts: Mapping[str, nn.Module] = {}

    def __init__(self) -> None:
        self.images = 0
        self.captions: list[str] = []

    def encode_images(self, pixels_BCHW: Tensor, seeds: Sequence[int]) -> Tensor:
        self.images += len(seeds)
        means = nn.functional.avg_pool2d(pixels_BCHW, 8)
        noise = [torch.randn(means.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return means + 0.01 * torch.stack(noise)

    def encode_captions(self, captions: Sequence[str], train: bool = False) -> Conditioning:
        self.captions += captions
        lengths = torch.tensor([[[float(len(caption))]] for caption in captions], requires_grad=train)
        return {"text": lengths * 2}

    def load(self, files: Any, plan: Any) -> None: ...

    def release(self, part: str) -> None: ...

    def count_tokens(self, caption: str) -> int:
        return len(caption)

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Any, facts: Any) -> Tensor:
        return noisy_BCHW

    def decode(self, latents_BCHW: Tensor) -> Tensor:
        return latents_BCHW

    def targets(self, convolutions: bool, parts: Sequence[str]) -> list[Any]:
        return []


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Seven pictures, each of one colour: image i has red 30 i; the first five are wide."""
    made = []
    for index in range(7):
        size = (140, 64) if index < 5 else (64, 132)
        path = tmp_path / f"{index}.png"
        Image.new("RGB", size, (30 * index, 100, 200)).save(path)
        made.append(path)
    return made


def draws(batch: int = 2, accumulate: int = 1, epochs: int = 2, **changes: Any) -> Draws:
    subjects = [
        Subject(i, f"set/{i}.png", Turns(1), WIDE if i < 5 else TALL, Source((f"picture {i}",), "", "file"))
        for i in range(7)
    ]
    steps = count_steps({WIDE.bucket: 5, TALL.bucket: 2}, batch, accumulate, f"{epochs} epochs")
    return Draws(subjects, Recipe(7, batch, accumulate, steps.per_epoch, steps.total, Captions(), **changes))


def everything(order: Draws) -> list[Draw]:
    return [draw for step in range(1, order.recipe.total + 1) for batch in order.step(step) for draw in batch]


SIZES = [(140, 64)] * 5 + [(64, 132)] * 2


def cached(order: Draws, paths: list[Path], folder: Path, family: Averages | None = None) -> CachedLatents:
    return prepare_latents(everything(order), paths, family or Averages(), Cache(folder, "latents", "averages"))


def loader(order: Draws, latents: Latents, rank: int = 0, processes: int = 1) -> Loader:
    return Loader(order, SIZES, latents, LiveText(Averages()), CPU, Share(rank, processes))


def test_batches_hold_what_the_draws_say(paths: list[Path], tmp_path: Path) -> None:
    order = draws()
    made = loader(order, cached(order, paths, tmp_path))
    shown = []
    for step in range(1, order.recipe.per_epoch + 1):
        for batch in made.micro_batches(step):
            width, height = batch.draws[0].bucket
            assert batch.latents_BCHW.shape == (len(batch), 3, height // 8, width // 8)
            for draw, latents_CHW, text in zip(batch.draws, batch.latents_BCHW, batch.conditioning["text"]):
                shown.append(draw.image)
                assert float(latents_CHW[0].mean()) == pytest.approx(30 * draw.image / 127.5 - 1, abs=0.02)
                assert float(text) == 2 * len(f"picture {draw.image}")
            assert batch.facts.original_B2.tolist() == [list(SIZES[draw.image]) for draw in batch.draws]
            assert batch.facts.target_B2.tolist() == [[width, height]] * len(batch)
            assert batch.facts.crop_B2.tolist() == [list(cut_off(draw)) for draw in batch.draws]
    assert sorted(shown) == list(range(7))


def cut_off(draw: Draw) -> tuple[int, int]:
    """What is missing at the left and the top of what is seen, by where the marks of a picture are then."""
    columns, rows = draw.resized
    marked = np.zeros((rows, columns, 3), dtype=np.uint8)
    marked[:, :, 0], marked[:, :, 1] = np.arange(columns)[None], np.arange(rows)[:, None]
    picture = np.asarray(look(Image.fromarray(marked), draw.resized, draw.crop, draw.bucket, draw.flip))
    x = int(picture[0, 0, 0])
    return (columns - 1 - x if draw.flip else x), int(picture[0, 0, 1])


def test_corners_are_those_of_what_is_seen() -> None:
    """Of a mirrored look the corner is counted in the mirrored picture, as the model sees it."""
    order = draws(flip=True, random_crop=True)
    made = loader(order, CachedLatents({}))
    batches = [batch for step in range(1, order.recipe.total + 1) for batch in made.micro_batches(step)]
    seen = [draw for batch in batches for draw in batch.draws]
    assert {draw.flip for draw in seen} == {False, True} and len({cut_off(draw) for draw in seen}) > 4
    for batch in batches:
        assert batch.facts.crop_B2.tolist() == [list(cut_off(draw)) for draw in batch.draws]


def test_the_weights_of_a_step_sum_to_one_and_are_equal(paths: list[Path], tmp_path: Path) -> None:
    order = draws(batch=2, accumulate=3)
    made = loader(order, cached(order, paths, tmp_path))
    for step in range(1, order.recipe.total + 1):
        weights = torch.cat([batch.weights_B for batch in made.micro_batches(step)])
        assert weights.sum() == pytest.approx(1) and weights.unique().numel() == 1
        assert len(weights) == made.looks(step)


def looks_of(batches: list[Batch]) -> list[tuple[int, float, Tensor]]:
    rows = [
        (seed, weight, latents_CHW)
        for batch in batches
        for seed, weight, latents_CHW in zip(batch.seeds, batch.weights, batch.latents_BCHW)
    ]
    return sorted((row for row in rows if row[1] > 0), key=lambda row: row[0])


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_show_what_one_shows(processes: int, paths: list[Path], tmp_path: Path) -> None:
    order = draws(batch=4)
    latents = cached(order, paths, tmp_path)
    alone = loader(order, latents)
    ranks = [loader(order, latents, rank, processes) for rank in range(processes)]
    for step in range(1, order.recipe.total + 1):
        theirs = [made.micro_batches(step) for made in ranks]
        assert len({len(batches) for batches in theirs}) == 1
        one, all_ranks = looks_of(alone.micro_batches(step)), looks_of([b for batches in theirs for b in batches])
        assert [row[:2] for row in one] == [row[:2] for row in all_ranks]
        assert all(torch.equal(a[2], b[2]) for a, b in zip(one, all_ranks))


def test_a_second_run_encodes_nothing_and_shows_the_same(paths: list[Path], tmp_path: Path) -> None:
    order = draws(flip=True, epochs=6)
    first, second = Averages(), Averages()
    one, other = cached(order, paths, tmp_path, first), cached(order, paths, tmp_path, second)
    assert 7 < first.images == len(one) <= 14 and second.images == 0
    for draw in everything(order):
        assert torch.equal(one.take([draw]), other.take([draw]))


def test_a_changed_image_is_encoded_anew_and_a_renamed_one_is_not(paths: list[Path], tmp_path: Path) -> None:
    order = draws()
    cached(order, paths, tmp_path)
    facts = paths[2].stat()
    paths[1].rename(renamed := paths[1].with_name("other name.png"))
    noise = np.random.default_rng(1).integers(0, 255, (64, 140, 3), dtype=np.uint8)
    Image.fromarray(noise).save(paths[2])
    os.utime(paths[2], ns=(facts.st_atime_ns, facts.st_mtime_ns))
    family = Averages()
    latents = cached(order, [paths[0], renamed, *paths[2:]], tmp_path, family)
    assert family.images == 1
    changed = next(draw for draw in everything(order) if draw.image == 2)
    assert float(latents.take([changed])[0, 0].std()) > 0.02


@pytest.mark.parametrize("batch_size", [1, 3])
def test_encoding_several_at_once_gives_the_same(batch_size: int, paths: list[Path], tmp_path: Path) -> None:
    order = draws()
    one = cached(order, paths, tmp_path / "one")
    told: list[tuple[str, int, int]] = []
    many = prepare_latents(
        everything(order),
        paths,
        Averages(),
        Cache(tmp_path / "many", "latents", "averages"),
        batch_size,
        lambda *values: told.append(values),
    )
    for draw in everything(order):
        assert torch.equal(one.take([draw]), many.take([draw]))
    assert told[-1] == ("encoding images", 7, 7)


def test_broken_images_are_all_named_after_the_good_ones_were_encoded(paths: list[Path], tmp_path: Path) -> None:
    order = draws()
    paths[3].write_bytes(paths[3].read_bytes()[:90])
    paths[6].unlink()
    family = Averages()
    with pytest.raises(BrokenImages) as caught:
        cached(order, paths, tmp_path, family)
    assert {error.path for error in caught.value.broken} == {paths[3], paths[6]}
    assert family.images == 5
    assert {error.path for error in check_decodable(paths)} == {paths[3], paths[6]}


def test_an_image_whose_latents_are_no_numbers_is_named_and_never_cached(paths: list[Path], tmp_path: Path) -> None:
    class Overflows(Averages):
        def encode_images(self, pixels_BCHW: Tensor, seeds: Sequence[int]) -> Tensor:
            latents_BCHW = super().encode_images(pixels_BCHW, seeds)
            bright = pixels_BCHW[:, 0].mean(dim=(1, 2)) > 0.3  # picture 6 alone
            return torch.where(bright[:, None, None, None], torch.inf, latents_BCHW)

    with pytest.raises(BrokenImages, match="no numbers") as caught:
        cached(draws(), paths, tmp_path, Overflows())
    assert {error.path for error in caught.value.broken} == {paths[6]}
    family = Averages()
    cached(draws(), paths, tmp_path, family)
    assert family.images == 1


def test_a_caption_whose_encoding_is_no_number_is_a_problem(tmp_path: Path) -> None:
    class Overflows(Averages):
        def encode_captions(self, captions: Sequence[str], train: bool = False) -> Conditioning:
            return {"text": super().encode_captions(captions)["text"] * torch.inf}

    with pytest.raises(Problems, match='"a cat"'):
        prepare_text(["a cat"], Overflows(), Cache(tmp_path, "text", "averages"))


@pytest.mark.parametrize("change", [{"rotate": 5.0}, {"jitter": 0.1}])
def test_what_differs_at_each_look_is_never_cached(change: dict[str, float], paths: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be cached"):
        cached(draws(**change), paths, tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_live_latents_follow_crop_flip_rotation_and_jitter(paths: list[Path], tmp_path: Path) -> None:
    ramp = np.zeros((64, 140, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 255, 140)
    Image.fromarray(ramp).save(paths[0])
    order = draws(random_crop=True, flip=True, epochs=12, jitter=0.2)
    live = LiveLatents(paths, Averages())
    looks = [draw for draw in everything(order) if draw.image == 0]
    live.expect(looks[:3])
    for draw in looks:
        latents_CHW = live.take([draw])[0]
        falling = float(latents_CHW[0, :, 0].mean() - latents_CHW[0, :, -1].mean())
        assert (falling > 0) == draw.flip
    live.close()
    assert len({draw.crop for draw in looks}) > 3 and len({draw.flip for draw in looks}) == 2


def test_live_and_cached_show_the_same_but_for_the_vaes_noise(paths: list[Path], tmp_path: Path) -> None:
    order = draws()
    held, live = cached(order, paths, tmp_path), LiveLatents(paths, Averages())
    for step in range(1, order.recipe.total + 1):
        for one, other in zip(loader(order, held).micro_batches(step), loader(order, live).micro_batches(step)):
            assert float((one.latents_BCHW - other.latents_BCHW).abs().max()) < 0.1
    live.close()


def test_a_step_is_the_same_whatever_was_asked_before(paths: list[Path], tmp_path: Path) -> None:
    order = draws(shuffled := 2, epochs=3)
    latents = cached(order, paths, tmp_path)
    forward, jumping = loader(order, latents), loader(draws(shuffled, epochs=3), latents)
    steps = range(1, order.recipe.total + 1)
    seen = {step: [batch.seeds for batch in forward.micro_batches(step)] for step in steps}
    for step in reversed(steps):
        assert [batch.seeds for batch in jumping.micro_batches(step)] == seen[step]


def test_an_image_that_goes_bad_while_training_is_named(paths: list[Path]) -> None:
    order = draws()
    paths[0].write_bytes(b"gone bad")
    with pytest.raises(BrokenImage, match=r"0\.png"):
        LiveLatents(paths, Averages()).take([draw for draw in everything(order) if draw.image == 0])


def test_each_caption_is_encoded_once_in_all_runs(tmp_path: Path) -> None:
    first, second = Averages(), Averages()
    cache = Cache(tmp_path, "text", "lengths")
    held = prepare_text(["a cat", "", "a cat", "two dogs"], first, cache)
    assert sorted(first.captions) == ["", "a cat", "two dogs"] and len(held) == 3
    again = prepare_text(["two dogs", "a cat"], second, cache)
    assert second.captions == []
    assert again.take(["a cat", "two dogs", "a cat"])["text"].flatten().tolist() == [10, 16, 10]
    assert held.take([""])["text"].shape == (1, 1, 1)


def test_a_caption_that_was_not_prepared_is_an_error_not_a_guess() -> None:
    with pytest.raises(KeyError):
        CachedText({"a": {"text": torch.zeros(1, 1, 1)}}).take(["b"])


def test_live_text_carries_gradients_only_where_it_is_trained() -> None:
    assert LiveText(Averages(), train=True).take(["a"])["text"].requires_grad
    assert not LiveText(Averages()).take(["a"])["text"].requires_grad
