"""Masks as tensors: equal to a computation by hand, the same from the cache and live, shared by processes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

from trainer.contract.problems import Problems
from trainer.contract.settings import Captions
from trainer.data.cache import Cache
from trainer.data.latents import CachedLatents
from trainer.data.loader import Loader, Share
from trainer.data.masks import LiveMasks, Masks, Weighing, prepare_masks
from trainer.data.text import CachedText
from trainer.plan.balance import Turns
from trainer.plan.buckets import Placed, Size
from trainer.plan.captions import Source
from trainer.plan.draws import Draw, Draws, Recipe, Subject
from trainer.plan.pixels import open_mask, seen_mask, shares
from trainer.plan.scan import ImageFile
from trainer.plan.steps import count_steps

WIDE = Placed(Size(64, 32), Size(80, 32))
SIZE = Size(160, 64)
PLAIN = Weighing(8)


@pytest.fixture
def images(tmp_path: Path) -> list[ImageFile]:
    """Five images: two with a mask of half their size, one with its alpha channel, one without any, one black."""
    made = []
    grey = np.random.default_rng(3).integers(0, 256, (4, 32, 80)).astype(np.uint8)
    for number in range(5):
        path, mask = tmp_path / f"{number}.png", tmp_path / "masks" / f"{number}.png"
        mask.parent.mkdir(exist_ok=True)
        picture = Image.new("RGB", SIZE, (30 * number, 0, 0))
        if number == 2:
            picture.putalpha(Image.fromarray(grey[2]).resize(SIZE))
        elif number != 3:
            Image.fromarray(grey[number] if number < 4 else np.zeros_like(grey[0])).save(mask)
        picture.save(path)
        found = path if number == 2 else mask if mask.is_file() else None
        made.append(ImageFile(path, f"set/{number}.png", SIZE, 0, "set", 1, None, 1, 0.0, found))
    return made


def draws(batch: int = 3, **changes: Any) -> Draws:
    subjects = [Subject(i, f"set/{i}.png", Turns(1), WIDE, Source((), "", "none")) for i in range(5)]
    steps = count_steps({WIDE.bucket: 5}, batch, 1, "4 epochs")
    return Draws(subjects, Recipe(7, batch, 1, steps.per_epoch, steps.total, Captions(), **changes))


def everything(order: Draws) -> list[Draw]:
    return [draw for step in range(1, order.recipe.total + 1) for batch in order.step(step) for draw in batch]


def cached(order: Draws, images: list[ImageFile], folder: Path, weighing: Weighing = PLAIN) -> Masks:
    return prepare_masks(everything(order), images, Cache(folder, "masks", "grey"), weighing)


def by_hand(image: ImageFile, draw: Draw, outside: float = 0.0, by_area: bool = False) -> Tensor:
    """The mask of a look that is not turned, with nothing of ours: crop, mirror, mean of each 8x8 square."""
    if image.mask is None:
        shares = np.ones((4, 8))
    else:
        mask = Image.open(image.mask)
        grey = mask.getchannel("A") if image.mask == image.path else mask
        grey = grey.resize(draw.resized, Image.Resampling.LANCZOS)
        left, top = draw.crop
        grey = grey.crop((left, top, left + 64, top + 32))
        values = np.asarray(ImageOps.mirror(grey) if draw.flip else grey) / 255
        shares = np.array([[values[y : y + 8, x : x + 8].mean() for x in range(0, 64, 8)] for y in range(0, 32, 8)])
    weights = shares + (1 - shares) * outside
    return torch.from_numpy(weights / weights.mean() if by_area and weights.any() else weights)[None].float()


@pytest.mark.parametrize("by_area", [False, True])
@pytest.mark.parametrize("outside", [0.0, 0.3])
def test_cached_and_live_masks_equal_the_computation_by_hand(
    outside: float, by_area: bool, images: list[ImageFile], tmp_path: Path
) -> None:
    weighing = Weighing(8, outside, by_area)
    order = draws(flip=True)
    kept, live = cached(order, images, tmp_path, weighing), LiveMasks(images, weighing)
    for draw in everything(order):
        wanted = by_hand(images[draw.image], draw, outside, by_area)
        for masks in (kept, live):
            found = masks.take([draw])
            if found is None:
                assert images[draw.image].mask is None
            else:
                assert found.dtype == torch.float32 and found.shape == (1, 1, 4, 8)
                assert torch.allclose(found[0], wanted, atol=1e-5)


def test_the_average_is_the_one_that_sd_scripts_takes(images: list[ImageFile]) -> None:
    """library/custom_train_functions.py, apply_masked_loss: torch's "area" interpolation to the size of the loss."""
    for draw in everything(draws(flip=True)):
        image = images[draw.image]
        if image.mask is not None:
            seen = seen_mask(open_mask(image.mask, image.mask == image.path), image.size, draw)
            whole = torch.from_numpy(np.array(seen)).float()[None, None] / 255
            wanted = torch.nn.functional.interpolate(whole, size=(4, 8), mode="area")
            assert torch.allclose(torch.from_numpy(shares(seen, 8)), wanted[0, 0], atol=1e-6)


def test_random_crops_and_mirrored_looks_are_cut_like_the_picture(images: list[ImageFile]) -> None:
    order, live = draws(flip=True, random_crop=True), LiveMasks(images, PLAIN)
    looks = everything(order)
    assert len({draw.crop for draw in looks}) > 5 and {draw.flip for draw in looks} == {False, True}
    for draw in looks:
        found = live.take([draw])
        assert found is None or torch.allclose(found[0], by_hand(images[draw.image], draw), atol=1e-5)


def test_area_weights_have_a_mean_of_one_and_a_black_mask_divides_by_nothing() -> None:
    shares = torch.rand(4, 1, 4, 8)
    shares[3] = 0
    found = Weighing(8, by_area=True)(shares)
    assert torch.allclose(found.mean(dim=(1, 2, 3)), torch.tensor([1.0, 1.0, 1.0, 0.0])) and found.isfinite().all()
    lit = Weighing(8, 0.2, by_area=True)(shares)
    assert torch.allclose(lit.mean(dim=(1, 2, 3)), torch.ones(4))
    assert torch.equal(Weighing(8)(shares), shares)


def test_a_second_run_decodes_nothing_and_a_changed_mask_anew(images: list[ImageFile], tmp_path: Path) -> None:
    order = draws(flip=True)
    first = cached(order, images, tmp_path)
    assert images[0].mask is not None and images[1].mask is not None
    again = prepare_masks(everything(order), images, Cache(tmp_path, "masks", "grey"), PLAIN)
    files = sorted((tmp_path / "masks").rglob("*.safetensors"))
    assert 4 <= len(files) <= 8
    for draw in everything(order):
        one, two = first.take([draw]), again.take([draw])
        assert (one is None and two is None) or torch.equal(one, two)  # type: ignore[arg-type]
    images[0].mask.write_bytes(images[1].mask.read_bytes())
    changed = cached(order, images, tmp_path)
    draw = next(draw for draw in everything(order) if draw.image == 0)
    found = changed.take([draw])
    assert found is not None and torch.allclose(found[0], by_hand(images[1], draw), atol=1e-5)


def test_damaged_masks_are_named_together(images: list[ImageFile], tmp_path: Path) -> None:
    for number in (0, 1):
        mask = images[number].mask
        assert mask is not None
        mask.write_bytes(mask.read_bytes()[:100])
    with pytest.raises(Problems, match=r"0\.png.*1\.png"):
        cached(draws(), images, tmp_path)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_each_process_gets_the_masks_of_its_own_looks(processes: int, images: list[ImageFile], tmp_path: Path) -> None:
    order = draws(batch=4)
    masks = cached(order, images, tmp_path)
    sizes = [(SIZE.width, SIZE.height)] * 5
    latents, text, device = CachedLatents({}), CachedText({}), torch.device("cpu")
    for rank in range(processes):
        made = Loader(order, sizes, latents, text, device, Share(rank, processes), masks=masks)
        for step in range(1, order.recipe.total + 1):
            for batch in made.micro_batches(step):
                found = batch.mask_B1HW
                if found is None:
                    assert {draw.image for draw in batch.draws} == {3}
                    continue
                for draw, mask in zip(batch.draws, found):
                    assert torch.allclose(mask, by_hand(images[draw.image], draw), atol=1e-5)
    plain = Loader(order, sizes, latents, text, device)
    assert all(batch.mask_B1HW is None for batch in plain.micro_batches(1))
