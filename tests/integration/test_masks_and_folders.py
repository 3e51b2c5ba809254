"""Masks, regularisation images and folders by weight in a whole run: what is shown is what counts, and it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from whole_runs import DEMO, of_kind, same_bits, tensors

from trainer.contract.events import StepDone, Warned
from trainer.contract.rundir import RunDir
from trainer.plan.draws import Draw

Train = Callable[..., RunDir]
IMAGES = DEMO.parent / "demo" / "images"


@pytest.fixture
def everything(tmp_path: Path) -> dict[str, Any]:
    """The demo's images with a mask each but one, its left half white, and two regularisation images without."""
    masks, others = tmp_path / "masks", tmp_path / "1_badge"
    masks.mkdir()
    others.mkdir()
    pictures = sorted(IMAGES.glob("*.png"))
    for picture in pictures[1:]:
        with Image.open(picture) as opened:
            mask = Image.new("L", opened.size, 0)
            mask.paste(255, (0, 0, opened.width // 2, opened.height))
            mask.save(masks / picture.name)
    for number in range(2):
        Image.new("RGB", (64, 64), (200, 80 * number, 30)).save(others / f"{number}.png")
    rows = [
        {"path": str(IMAGES), "repeats": 1, "mask": str(masks), "weight": 3},
        {"path": str(others), "regularisation": True, "trigger": "badge"},
    ]
    return {
        "dataset.folders": rows,
        "dataset.masks": "folders",
        "dataset.mask_normalise": "area",
        "dataset.balance": "weights",
        "dataset.regularisation_weight": 0.5,
        "dataset.flip": True,
        "training.batch_size": 4,
        "training.length": "6 steps",
        "validation.split": "2 images",
        "validation.every": "never",
    }


class Nothing:
    """Masks that let nothing count."""

    def expect(self, draws: Sequence[Draw]) -> None: ...

    def take(self, draws: Sequence[Draw]) -> torch.Tensor:
        return torch.zeros(len(draws), 1, 8, 8)


def test_a_run_shows_masks_and_weights_and_goes_on_exactly(train_here: Train, everything: dict[str, Any]) -> None:
    whole = train_here(everything)
    steps = of_kind(whole, StepDone)
    assert [step.step for step in steps] == list(range(1, 7)) and whole.read_state().exit_code == 0
    told = " ".join(event.text for event in of_kind(whole, Warned))
    assert "1 image has no mask" in told or "3 images have no mask" in told
    paused = train_here(everything, before=lambda run: run.request("pause", "4"))
    assert len(of_kind(paused, StepDone)) == 4
    from trainer.__main__ import main

    main(["trainer", str(paused.path)])
    assert same_bits(whole, paused) and len(tensors(whole)) > 0


def test_a_batch_carries_them_and_the_loss_counts_them(train_here: Train, everything: dict[str, Any]) -> None:
    from trainer.run import make_loader, make_network, make_update, set_up, with_sources
    from trainer.sinks.fan import Fan

    for live in (False, True):
        run = train_here({**everything, "dataset.crop": "random" if live else "centre", "training.length": "1 steps"})
        bench, sources = with_sources(set_up(run, Fan([])))
        loader, plan = make_loader(bench, sources), bench.plan
        network, optimizer = make_network(bench)
        update, seen = make_update(bench, optimizer, network), set()
        for step in range(1, plan.steps.per_epoch + 1):
            for batch in loader.micro_batches(step):
                mask = batch.mask_B1HW
                for place, draw in enumerate(batch.draws):
                    image = plan.images[draw.image]
                    counts = torch.ones(1, 8, 8) if mask is None else mask[place]
                    half = torch.zeros(1, 8, 8)
                    half[..., 4:] = 2.0
                    wanted = torch.ones(1, 8, 8) if image.mask is None else half if draw.flip else half.flip(-1)
                    assert torch.allclose(counts, wanted, atol=0.02)
                    assert draw.weight == (0.5 if image.folder else 1.0)
                    assert draw.caption.startswith("badge" if image.folder else "zorb") or not draw.caption
                    seen.add((image.mask is None, draw.flip))
                with torch.no_grad():
                    plain, counted = update.losses(replace(batch, mask_source=None)), update.losses(batch)
                    nothing = update.losses(replace(batch, mask_source=Nothing()))
                masked = [plan.images[draw.image].mask is not None for draw in batch.draws]
                assert [bool(a != b) for a, b in zip(plain, counted)] == masked and not nothing.any()
        assert len(seen) >= 3


def test_the_adapters_metadata_count_them_apart(train_here: Train, everything: dict[str, Any]) -> None:
    from safetensors import safe_open

    run = train_here({**everything, "saving.publish": True, "training.length": "1 steps"})
    with safe_open(run.path / "zorb.safetensors", "pt") as file:
        told = file.metadata()
    assert (
        told["ss_prior_loss_weight"] == "0.5" and json.loads(told["ss_reg_dataset_dirs"])["1_badge"]["img_count"] == 2
    )
    assert int(told["ss_num_train_images"]) + int(told["ss_num_reg_images"]) == 16
