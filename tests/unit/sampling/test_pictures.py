"""The denoising loop against diffusers' own pipeline; PNG texts; before and after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.contract import catalog
from trainer.contract.families import recognise
from trainer.families.sd1 import StableDiffusion1
from trainer.parts import LoadPlan, ModelFiles
from trainer.run import resolve
from trainer.sampling.denoise import draw, start_noise
from trainer.sampling.grid import before_after, parameters, save_picture, to_picture
from trainer.sampling.previews import Previews, Recipe
from trainer.sampling.prompts import Prompt

PROMPT = Prompt("a red circle on a blue background", "a green square", 64, 64, 7, 6, 4.0)


@pytest.fixture(scope="module")
def family(demo_model_dir: Path) -> Iterator[StableDiffusion1]:
    loaded = StableDiffusion1()
    plan = LoadPlan(torch.device("cpu"), torch.float32, torch.float32)
    loaded.load(ModelFiles(str(demo_model_dir), recognise(str(demo_model_dir))), plan)
    yield loaded


def scheduler(family: StableDiffusion1, name: str) -> Any:
    return resolve("samplers", name).from_config(dict(family.sampling.scheduler))


def drawn(family: StableDiffusion1, name: str, prompt: Prompt = PROMPT) -> torch.Tensor:
    texts = (family.encode_captions([prompt.text]), family.encode_captions([prompt.negative]))
    return draw(family, scheduler(family, name), prompt, *texts, torch.device("cpu"))


@pytest.mark.parametrize("name", ["ddim", "dpm++ 2m", "pndm", "euler"])
def test_the_loop_draws_what_diffusers_pipeline_draws(
    family: StableDiffusion1, demo_model_dir: Path, name: str
) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        str(demo_model_dir), safety_checker=None, torch_dtype=torch.float32
    )
    pipeline.scheduler = scheduler(family, name)
    pipeline.set_progress_bar_config(disable=True)
    latents = start_noise(PROMPT, 4, 8)
    picture = pipeline(
        PROMPT.text,
        negative_prompt=PROMPT.negative,
        width=64,
        height=64,
        num_inference_steps=PROMPT.steps,
        guidance_scale=PROMPT.guidance,
        latents=latents,
        output_type="np",
    ).images[0]
    ours = drawn(family, name).permute(1, 2, 0).numpy()
    assert np.abs(ours - picture).max() < 1e-3


@pytest.mark.parametrize("name", catalog.names("samplers"))
def test_every_sampler_gives_the_same_picture_for_the_same_seed(family: StableDiffusion1, name: str) -> None:
    state = torch.get_rng_state()
    first = drawn(family, name)
    assert torch.equal(state, torch.get_rng_state()), "a sampler drew from the global generator"
    torch.manual_seed(99)
    assert torch.equal(first, drawn(family, name))
    assert first.shape == (3, 64, 64) and float(first.min()) >= 0 and float(first.max()) <= 1


def test_guidance_one_leaves_the_negative_prompt_out(family: StableDiffusion1) -> None:
    texts = [Prompt("a star", negative, 64, 64, 7, 3, 1.0) for negative in ("", "a circle")]
    assert torch.equal(drawn(family, "ddim", texts[0]), drawn(family, "ddim", texts[1]))


def test_a_picture_tells_how_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    text = parameters(PROMPT, "ddim", 250)
    save_picture(path, to_picture(torch.rand(3, 16, 24)), text)
    with Image.open(path) as image:
        assert image.size == (24, 16) and image.text["parameters"] == text
    assert "Negative prompt: a green square" in text and "Seed: 7" in text and "Size: 64x64" in text


def test_before_and_after_stand_side_by_side(tmp_path: Path) -> None:
    for name, colour in (("before", "red"), ("after", "blue")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{name}.png")
    row = ("a prompt that is much too long for its column " * 5, tmp_path / "before.png", tmp_path / "after.png")
    sheet = before_after([row, row], ("before", "after 9 steps"))
    left, right = sheet.getpixel((60, 100)), sheet.getpixel((sheet.width - 60, 100))
    assert left == (255, 0, 0) and right == (0, 0, 255)


def test_previews_keep_prompts_encoded_and_tell_faults_once(family: StableDiffusion1, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    told: list[str] = []
    usual = Prompt("", "", 64, 64, 42, 2, 4.0)
    recipe = Recipe(("a star --w 7", "a circle"), "", usual, "ddim", lambda: scheduler(family, "ddim"))
    previews = Previews(family, recipe, tmp_path, torch.device("cpu"), told.append)
    previews.encode()
    first, second = previews.draw(0), previews.draw(5)
    assert first is not None and second is not None
    assert first.files == ["samples/step00000000_00.png", "samples/step00000000_01.png"] and first.seeds == [42, 43]
    assert len(told) == 1 and "--w 7" in told[0]
    assert (tmp_path / first.files[0]).read_bytes()[-4000:] == (tmp_path / second.files[0]).read_bytes()[-4000:]
    sheet = previews.sheet()
    assert sheet is not None and sheet.is_file()
